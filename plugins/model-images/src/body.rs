//! Posted documents, read without turning anything into anything else: a text is no number, and `1` is not true.
//!
//! Everything that is wrong is told at once. A field that is wrong reads as empty, and [`Fields::finish`] answers what was wrong before any of it is used.

use serde_json::{Map, Value};
use wharf_sdk::{ByteStream, Error, Request};

use crate::failure::{Detail, Failure};

/// The longest name of anything, in characters.
const MAX_NAME: usize = 255;

/// The longest document, in bytes. A site lets bodies of gigabytes through, for artifacts, and a document is read whole.
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;

/// The fields of an object that are still to be read, and what was wrong with those before. Unknown ones are ignored.
pub(crate) struct Fields {
    fields: Map<String, Value>,
    place: Vec<Value>,
    wrong: Vec<Detail>,
}

impl Fields {
    /// The object that `request` has as its body, whatever its `Content-Type`.
    ///
    /// # Errors
    ///
    /// [`Failure::NotJson`], [`Failure::TooLarge`], and [`Failure::Invalid`] for what is no object.
    pub(crate) fn read(request: &Request) -> Result<Fields, Failure> {
        let document = match request.take_stream() {
            Some(stream) => serde_json::from_slice(&whole(stream)?),
            None => serde_json::from_slice(request.bytes()?),
        };
        match document.map_err(|_| Failure::NotJson)? {
            Value::Object(fields) => Ok(Fields::of(fields)),
            _ => Err(Failure::invalid(wrong_type(&["__root__".into()], "value is not a valid dict", "type_error.dict"))),
        }
    }

    /// Fields that came another way.
    pub(crate) fn of(fields: Map<String, Value>) -> Fields {
        Fields { fields, place: Vec::new(), wrong: Vec::new() }
    }

    /// Whether the field is there and not null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(|value| !value.is_null())
    }

    /// The name of a thing: 1 to 255 characters.
    pub(crate) fn name(&mut self, key: &str) -> String {
        let before = self.wrong.len();
        let name = self.text(key);
        let length = name.chars().count();
        if self.wrong.len() == before && length == 0 {
            self.wrong_at(key, "ensure this value has at least 1 characters", "value_error.any_str.min_length");
        }
        if length > MAX_NAME {
            self.wrong_at(key, &format!("ensure this value has at most {MAX_NAME} characters"), "value_error.any_str.max_length");
        }
        name
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, key: &str) -> String {
        let value = self.required(key);
        self.as_text(key, value).unwrap_or_default()
    }

    /// A text that may be absent or null.
    pub(crate) fn optional_text(&mut self, key: &str) -> Option<String> {
        let value = self.optional(key);
        self.as_text(key, value)
    }

    /// An id that must be there.
    pub(crate) fn id(&mut self, key: &str) -> i64 {
        let value = self.required(key);
        self.as_id(key, value).unwrap_or_default()
    }

    /// An id that may be absent or null.
    pub(crate) fn optional_id(&mut self, key: &str) -> Option<i64> {
        let value = self.optional(key);
        self.as_id(key, value)
    }

    /// An id that must be there, written as a text.
    pub(crate) fn written_id(&mut self, key: &str) -> i64 {
        let before = self.wrong.len();
        let text = self.text(key);
        let value = match crate::query::integer(&text) {
            _ if self.wrong.len() > before => return 0,
            Some(Ok(id)) => return id,
            Some(Err(_)) => Value::from(f64::MAX),
            None => Value::Null,
        };
        self.as_id(key, Some(value)).unwrap_or_default()
    }

    /// Notes it if the field is not there.
    pub(crate) fn require(&mut self, key: &str) {
        self.required(key);
    }

    /// Whether nothing was wrong with the field `key`.
    pub(crate) fn is_right_so_far(&self, key: &str) -> bool {
        !self.wrong.iter().any(|detail| detail.place.last().is_some_and(|last| last == key))
    }

    /// A truth value that may be absent or null; false then.
    pub(crate) fn flag(&mut self, key: &str) -> bool {
        match self.optional(key) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.wrong_at(key, "value is not a valid boolean", "value_error.strictbool");
                false
            }
        }
    }

    /// A list that must be there.
    pub(crate) fn list(&mut self, key: &str) -> Vec<Value> {
        match self.required(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.wrong_at(key, "value is not a valid list", "type_error.list");
                Vec::new()
            }
        }
    }

    /// An object that may be absent or null, whose fields `read` reads.
    pub(crate) fn object<T>(&mut self, key: &str, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        let value = self.optional(key)?;
        self.within(key.into(), value, read)
    }

    /// As [`Fields::object`], for one that must be there.
    pub(crate) fn required_object<T>(&mut self, key: &str, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        let value = self.required(key)?;
        self.within(key.into(), value, read)
    }

    /// Reads the objects of the list `key`, which must be there.
    pub(crate) fn objects<T>(&mut self, key: &str, read: impl Fn(&mut Fields) -> T) -> Vec<T> {
        let items = self.list(key);
        self.place.push(key.into());
        let objects = items.into_iter().enumerate().filter_map(|(index, item)| self.within(index.into(), item, &read)).collect();
        self.place.pop();
        objects
    }

    /// The names and values that are left.
    pub(crate) fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.fields)
    }

    /// Notes that the field `key` breaks a rule.
    pub(crate) fn refuse(&mut self, key: &str, message: &str) {
        self.wrong_at(key, message, "value_error");
    }

    /// Notes that there must not be a field `key`.
    pub(crate) fn refuse_extra(&mut self, key: &str) {
        self.wrong_at(key, "extra fields not permitted", "value_error.extra");
    }

    /// Notes what was found elsewhere.
    pub(crate) fn note<T: Default>(&mut self, found: Result<T, Detail>) -> T {
        found.unwrap_or_else(|detail| {
            self.wrong.push(detail);
            T::default()
        })
    }

    /// Answers what was wrong.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if self.wrong.is_empty() { Ok(()) } else { Err(Failure::Invalid(self.wrong)) }
    }

    fn within<T>(&mut self, key: Value, value: Value, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        let mut place = self.place.clone();
        place.push(key);
        let Value::Object(fields) = value else {
            self.wrong.push(wrong_type(&place, "value is not a valid dict", "type_error.dict"));
            return None;
        };
        let mut inner = Fields { fields, place, wrong: Vec::new() };
        let read = read(&mut inner);
        self.wrong.append(&mut inner.wrong);
        Some(read)
    }

    fn optional(&mut self, key: &str) -> Option<Value> {
        self.fields.remove(key).filter(|value| !value.is_null())
    }

    fn required(&mut self, key: &str) -> Option<Value> {
        match self.fields.remove(key) {
            None => self.wrong_at(key, "field required", "value_error.missing"),
            Some(Value::Null) => self.wrong_at(key, "none is not an allowed value", "type_error.none.not_allowed"),
            Some(value) => return Some(value),
        }
        None
    }

    fn as_text(&mut self, key: &str, value: Option<Value>) -> Option<String> {
        match value? {
            Value::String(text) if text.contains('\0') => self.wrong_at(key, "a NUL has no place in a text", "value_error"),
            Value::String(text) => return Some(text),
            _ => self.wrong_at(key, "str type expected", "type_error.str"),
        }
        None
    }

    fn as_id(&mut self, key: &str, value: Option<Value>) -> Option<i64> {
        match value? {
            Value::Number(number) if number.is_i64() => return number.as_i64(),
            // An integer of more digits arrives as a float.
            Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() >= 9e18) => {
                self.wrong_at(key, "the integer has no place in 64 bits", "value_error.number.not_le");
            }
            _ => self.wrong_at(key, "value is not a valid integer", "type_error.integer"),
        }
        None
    }

    fn wrong_at(&mut self, key: &str, message: &str, word: &'static str) {
        let mut place = self.place.clone();
        place.push(key.into());
        self.wrong.push(wrong_type(&place, message, word));
    }
}

/// All of `stream`, if it is no longer than a document may be.
fn whole(mut stream: ByteStream) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    loop {
        match stream.read(64 * 1024) {
            Ok(None) => return Ok(whole),
            Ok(Some(chunk)) => whole.extend_from_slice(&chunk),
            Err(Error::QuotaExceeded) => return Err(Failure::TooLarge),
            Err(_) => return Err(Failure::Refused("the body was cut short".to_owned())),
        }
        if whole.len() > MAX_DOCUMENT {
            return Err(Failure::DocumentTooLarge);
        }
    }
}

fn wrong_type(place: &[Value], message: &str, word: &'static str) -> Detail {
    Detail { place: place.to_vec(), message: message.to_owned(), word }
}

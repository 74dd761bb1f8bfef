//! What a client posts of an image: its fields, read one by one, and for each what is wrong with it.
//!
//! The clients were written against a server whose forms take a number for a text and `"5"` for 5, and which says what is wrong as a list of sentences for each field. These sentences are part of
//! the API; unknown and read-only fields are passed over.

use serde_json::{Map, Value};

use crate::reference_data::{CUDA, DOMAINS, FRAMEWORKS, HARDWARE, JOB_TYPES, LICENCES, key_of};

/// Which fields must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needed {
    /// All that have no default: a new image, or one that is replaced.
    Required,
    /// None.
    Nothing,
}

/// What was posted. None is what was left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Posted {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) registry: Option<String>,
    pub(crate) registry_username: Option<Option<String>>,
    pub(crate) registry_password: Option<Option<String>>,
    pub(crate) cuda_version: Option<i64>,
    pub(crate) min_hardware_generation: Option<Option<i64>>,
    pub(crate) cpu: Option<bool>,
    pub(crate) framework: Option<i64>,
    /// The domain's key.
    pub(crate) domain: Option<i64>,
    /// The keys of job types, in the order posted, each once.
    pub(crate) tasks: Option<Vec<i64>>,
    pub(crate) licence: Option<i64>,
}

/// What is wrong with each field.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mistakes(Map<String, Value>);

impl Mistakes {
    /// One sentence about one field; `non_field_errors` is about all of them.
    pub(crate) fn of(field: &str, sentence: &str) -> Mistakes {
        let mut mistakes = Mistakes::default();
        mistakes.add(field, sentence);
        mistakes
    }

    /// One more.
    pub(crate) fn add(&mut self, field: &str, sentence: impl Into<String>) {
        self.0.insert(field.to_owned(), Value::Array(vec![Value::String(sentence.into())]));
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As clients know it: an object with a list of sentences for each field.
    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// The fields of a body, and what was wrong so far.
struct Reader<'a> {
    body: &'a Map<String, Value>,
    needed: Needed,
    mistakes: Mistakes,
}

const REQUIRED: &str = "This field is required.";
const NOT_NULL: &str = "This field may not be null.";
const NOT_BLANK: &str = "This field may not be blank.";

/// Reads a body.
///
/// # Errors
///
/// All that is wrong with it.
pub(crate) fn read(body: &Value, needed: Needed) -> Result<Posted, Mistakes> {
    let Value::Object(body) = body else {
        let sentence = format!("Invalid data. Expected a dictionary, but got {}.", kind_of(body));
        return Err(Mistakes::of("non_field_errors", &sentence));
    };
    let mut reader = Reader { body, needed, mistakes: Mistakes::default() };
    let registry = if body.contains_key("registry") || !body.contains_key("registry_url") { "registry" } else { "registry_url" };
    let posted = Posted {
        name: reader.text("name", 64),
        version: reader.text("version", 32),
        url: reader.text("url", 200),
        registry: reader.text(registry, 200),
        registry_username: reader.text_or_null("registry_username", 64),
        registry_password: reader.text_or_null("registry_password", 64),
        cuda_version: reader.key("cuda_version", CUDA.len()),
        min_hardware_generation: reader.key_or_null("min_hardware_generation", HARDWARE.len()),
        cpu: reader.flag("cpu"),
        framework: reader.key("framework", FRAMEWORKS.len()),
        domain: reader.domain(),
        tasks: reader.tasks(),
        licence: reader.key("licence", LICENCES.len()),
    };
    if reader.mistakes.is_empty() { Ok(posted) } else { Err(reader.mistakes) }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

impl<'a> Reader<'a> {
    fn wrong<T>(&mut self, field: &str, sentence: impl Into<String>) -> Option<T> {
        self.mistakes.add(field, sentence);
        None
    }

    /// The field, which has no default.
    fn required(&mut self, field: &str) -> Option<&'a Value> {
        match self.body.get(field) {
            Some(Value::Null) => self.wrong(field, NOT_NULL),
            None if self.needed == Needed::Required => self.wrong(field, REQUIRED),
            value => value,
        }
    }

    fn text(&mut self, field: &str, at_most: usize) -> Option<String> {
        let value = self.required(field)?;
        self.text_of(field, value, at_most)
    }

    fn text_or_null(&mut self, field: &str, at_most: usize) -> Option<Option<String>> {
        match self.body.get(field)? {
            Value::Null => Some(None),
            value => self.text_of(field, value, at_most).map(Some),
        }
    }

    fn text_of(&mut self, field: &str, value: &Value, at_most: usize) -> Option<String> {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return self.wrong(field, "Not a valid string."),
        };
        if text.is_empty() {
            return self.wrong(field, NOT_BLANK);
        }
        if text.chars().count() > at_most {
            return self.wrong(field, format!("Ensure this field has no more than {at_most} characters."));
        }
        if text.contains('\0') {
            return self.wrong(field, "Null characters are not allowed.");
        }
        Some(text)
    }

    fn key(&mut self, field: &str, count: usize) -> Option<i64> {
        let value = self.required(field)?;
        self.key_of(field, value, count)
    }

    fn key_or_null(&mut self, field: &str, count: usize) -> Option<Option<i64>> {
        match self.body.get(field)? {
            Value::Null => Some(None),
            value => self.key_of(field, value, count).map(Some),
        }
    }

    /// One of the first `count` keys. What is written as a text counts as the number in it.
    fn key_of(&mut self, field: &str, value: &Value, count: usize) -> Option<i64> {
        let text = match value {
            Value::Number(number) if !number.is_f64() => number.to_string(),
            Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text.clone(),
            other => return self.wrong(field, format!("Incorrect type. Expected pk value, received {}.", kind_of(other))),
        };
        let key = text.parse::<i64>().ok().filter(|key| *key >= 1 && usize::try_from(*key).is_ok_and(|key| key <= count));
        key.or_else(|| self.wrong(field, format!("Invalid pk \"{text}\" - object does not exist.")))
    }

    fn flag(&mut self, field: &str) -> Option<bool> {
        match self.body.get(field)? {
            Value::Null => self.wrong(field, NOT_NULL),
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
            Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "t" | "y" | "yes" | "true" | "on" | "1" => Some(true),
                "f" | "n" | "no" | "false" | "off" | "0" => Some(false),
                _ => self.wrong(field, "Must be a valid boolean."),
            },
            _ => self.wrong(field, "Must be a valid boolean."),
        }
    }

    fn domain(&mut self) -> Option<i64> {
        let value = self.required("domain")?;
        self.named("domain", value, |name| key_of(DOMAINS.iter().map(|(name, _)| *name), name))
    }

    fn tasks(&mut self) -> Option<Vec<i64>> {
        let Value::Array(items) = self.required("tasks")? else {
            let kind = self.body.get("tasks").map_or("NoneType", kind_of);
            return self.wrong("tasks", format!("Expected a list of items but got type \"{kind}\"."));
        };
        let mut tasks = Vec::with_capacity(items.len().min(JOB_TYPES.len()));
        for item in items {
            let task = self.named("tasks", item, |name| key_of(JOB_TYPES.iter().copied(), name))?;
            if !tasks.contains(&task) {
                tasks.push(task);
            }
        }
        Some(tasks)
    }

    /// Something that is posted by its name.
    fn named(&mut self, field: &str, value: &Value, find: impl FnOnce(&str) -> Option<i64>) -> Option<i64> {
        let name = match value {
            Value::String(name) => name.clone(),
            Value::Number(number) => number.to_string(),
            _ => return self.wrong(field, "Invalid value."),
        };
        find(&name).or_else(|| self.wrong(field, format!("Object with name={name} does not exist.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn whole() -> Value {
        json!({
            "name": "yolo", "version": "1", "url": "https://x/y", "registry": "https://x", "cuda_version": 1, "min_hardware_generation": 3, "framework": 1,
            "domain": "od", "tasks": ["predict", "train"], "licence": 2,
        })
    }

    #[track_caller]
    fn check_mistake(patch: &Value, field: &str, sentence: &str) {
        let mut body = whole();
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        let mistakes = read(&body, Needed::Required).unwrap_err().to_json();
        assert_eq!(mistakes, json!({field: [sentence]}), "{patch}");
    }

    #[test]
    fn a_whole_body_is_read() {
        let posted = read(&whole(), Needed::Required).unwrap();
        assert_eq!((posted.name.as_deref(), posted.domain, posted.tasks), (Some("yolo"), Some(2), Some(vec![2, 1])));
        assert_eq!((posted.cpu, posted.registry_password, posted.min_hardware_generation), (None, None, Some(Some(3))));
    }

    #[test]
    fn forms_of_older_clients_are_understood() {
        let body = json!({
            "name": " a ", "version": 1.5, "cuda_version": "2", "cpu": "yes", "registry_url": "r", "registry_username": null, "tasks": ["train", "train"], "pk": 7,
            "creator": "me", "other": [],
        });
        let posted = read(&body, Needed::Nothing).unwrap();
        let expected = Posted {
            name: Some("a".to_owned()),
            version: Some("1.5".to_owned()),
            cuda_version: Some(2),
            cpu: Some(true),
            registry: Some("r".to_owned()),
            registry_username: Some(None),
            tasks: Some(vec![1]),
            ..Posted::default()
        };
        assert_eq!(posted, expected);
        assert_eq!(read(&json!({}), Needed::Nothing), Ok(Posted::default()));
    }

    #[test]
    fn each_field_says_what_is_wrong_with_it() {
        check_mistake(&json!({"name": ""}), "name", NOT_BLANK);
        check_mistake(&json!({"name": "  "}), "name", NOT_BLANK);
        check_mistake(&json!({"name": null}), "name", NOT_NULL);
        check_mistake(&json!({"name": true}), "name", "Not a valid string.");
        check_mistake(&json!({"name": "x".repeat(65)}), "name", "Ensure this field has no more than 64 characters.");
        check_mistake(&json!({"version": "x".repeat(33)}), "version", "Ensure this field has no more than 32 characters.");
        check_mistake(&json!({"url": "a\u{0}b"}), "url", "Null characters are not allowed.");
        check_mistake(&json!({"registry_password": ""}), "registry_password", NOT_BLANK);
        check_mistake(&json!({"cuda_version": 999}), "cuda_version", "Invalid pk \"999\" - object does not exist.");
        check_mistake(&json!({"cuda_version": 0}), "cuda_version", "Invalid pk \"0\" - object does not exist.");
        check_mistake(&json!({"licence": u64::MAX}), "licence", "Invalid pk \"18446744073709551615\" - object does not exist.");
        check_mistake(&json!({"framework": "x"}), "framework", "Incorrect type. Expected pk value, received str.");
        check_mistake(&json!({"framework": 1.5}), "framework", "Incorrect type. Expected pk value, received float.");
        check_mistake(&json!({"framework": true}), "framework", "Incorrect type. Expected pk value, received bool.");
        check_mistake(&json!({"framework": null}), "framework", NOT_NULL);
        check_mistake(&json!({"min_hardware_generation": 99}), "min_hardware_generation", "Invalid pk \"99\" - object does not exist.");
        check_mistake(&json!({"cpu": null}), "cpu", NOT_NULL);
        check_mistake(&json!({"cpu": "perhaps"}), "cpu", "Must be a valid boolean.");
        check_mistake(&json!({"domain": "xx"}), "domain", "Object with name=xx does not exist.");
        check_mistake(&json!({"domain": ["od"]}), "domain", "Invalid value.");
        check_mistake(&json!({"tasks": "train"}), "tasks", "Expected a list of items but got type \"str\".");
        check_mistake(&json!({"tasks": ["train", "fly"]}), "tasks", "Object with name=fly does not exist.");
        check_mistake(&json!({"tasks": [null]}), "tasks", "Invalid value.");
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let mistakes = read(&json!({}), Needed::Required).unwrap_err().to_json();
        let fields: Vec<&String> = mistakes.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["name", "version", "url", "registry", "cuda_version", "framework", "domain", "tasks", "licence"]);
        assert!(mistakes.as_object().unwrap().values().all(|sentences| *sentences == json!([REQUIRED])));
    }

    #[test]
    fn a_body_is_an_object() {
        for (body, kind) in [(json!([]), "list"), (json!("x"), "str"), (json!(1), "int"), (json!(null), "NoneType")] {
            let expected = json!({"non_field_errors": [format!("Invalid data. Expected a dictionary, but got {kind}.")]});
            assert_eq!(read(&body, Needed::Nothing).unwrap_err().to_json(), expected);
        }
    }
}

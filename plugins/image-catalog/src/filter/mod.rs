//! The filter language: what a client posts to a list.
//!
//! Read strictly: an unknown key, a wrong type or a field that is not there is the client's mistake, and is told with the place where it stands. A filter becomes one parameterised statement
//! ([`statement`]); nothing is filtered here.
//!
//! An expression is a leaf, an `and` of leaves (or of further `and`s), or an `or` of leaves and `and`s, so that nothing nests deeper than the client's patience. There is a bound on leaves all the same: each is a
//! term that a database has to hold ([`MAX_LEAVES`]).

use serde_json::{Map, Value};

use crate::fields::{self, Field, Type};

pub(crate) mod statement;
#[cfg(test)]
mod tests;

/// The most leaves of one filter. Databases take about a thousand terms in one expression.
const MAX_LEAVES: usize = 500;
/// The most fields to order by.
const MAX_ORDERS: usize = 32;

/// What a client asks of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Filter {
    /// All of them must hold.
    pub(crate) expressions: Vec<Expression>,
    pub(crate) order_by: Vec<Order>,
    /// Whether deleted ones are there too.
    pub(crate) include_inactive: bool,
}

/// A condition, or what is not to hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression {
    pub(crate) invert: bool,
    pub(crate) node: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Leaf { field: &'static Field, test: Test },
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

/// What is asked of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    Exact { value: Operand, case_insensitive: bool },
    Contains { text: String, case_insensitive: bool },
    IsNull,
    Compare { operator: Operator, value: Operand },
}

/// A value of the type of its field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Text(String),
    Integer(i64),
    Decimal(f64),
    Boolean(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
}

/// One field to order by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Order {
    pub(crate) field: &'static Field,
    pub(crate) ascending: bool,
    /// None is as if they were the smallest.
    pub(crate) nulls_first: Option<bool>,
}

impl Order {
    /// Whether what is not there comes before what is.
    pub(crate) fn nulls_come_first(&self) -> bool {
        self.nulls_first.unwrap_or(self.ascending)
    }
}

/// Why a text is no filter: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub(crate) struct Mistake {
    /// `expressions[0].value`; empty for the whole.
    place: String,
    what: String,
}

/// A JSON object with its place in the filter, whose keys are taken out one by one.
struct Object<'a> {
    place: String,
    keys: &'a Map<String, Value>,
    taken: Vec<&'static str>,
}

impl<'a> Object<'a> {
    fn of(place: &str, value: &'a Value) -> Result<Object<'a>, Mistake> {
        match value {
            Value::Object(keys) => Ok(Object { place: place.to_owned(), keys, taken: Vec::new() }),
            other => Err(mistake(place, format!("expected an object, not {}", kind_of(other)))),
        }
    }

    fn place(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Value> {
        self.taken.push(key);
        self.keys.get(key)
    }

    fn need(&mut self, key: &'static str) -> Result<&'a Value, Mistake> {
        self.take(key).ok_or_else(|| mistake(&self.place(key), "is missing".to_owned()))
    }

    fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Mistake> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(mistake(&self.place(key), format!("expected true or false, not {}", kind_of(other)))),
        }
    }

    fn list(&mut self, key: &'static str) -> Result<&'a [Value], Mistake> {
        match self.take(key) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(mistake(&self.place(key), format!("expected a list, not {}", kind_of(other)))),
        }
    }

    fn text(&mut self, key: &'static str) -> Result<&'a str, Mistake> {
        match self.need(key)? {
            Value::String(text) if !text.is_empty() => Ok(text),
            Value::String(_) => Err(mistake(&self.place(key), "is empty".to_owned())),
            other => Err(mistake(&self.place(key), format!("expected a text, not {}", kind_of(other)))),
        }
    }

    fn field(&mut self, fields: &'static [Field]) -> Result<&'static Field, Mistake> {
        let name = self.text("field")?;
        fields::find(fields, name).ok_or_else(|| mistake(&self.place("field"), format!("there is no field `{name}`")))
    }

    /// Every key must have been taken.
    fn finish(self) -> Result<(), Mistake> {
        match self.keys.keys().find(|key| !self.taken.contains(&key.as_str())) {
            Some(unknown) => Err(mistake(&self.place(unknown), "is not known here".to_owned())),
            None => Ok(()),
        }
    }
}

fn mistake(place: &str, what: String) -> Mistake {
    Mistake { place: place.to_owned(), what }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Filter {
    /// Reads a filter over `fields`. Null, as nothing at all, is the filter that lets everything through.
    ///
    /// # Errors
    ///
    /// The first mistake.
    pub(crate) fn read(fields: &'static [Field], value: &Value) -> Result<Filter, Mistake> {
        if value.is_null() {
            return Ok(Filter::default());
        }
        let mut object = Object::of("", value).map_err(|mistake| Mistake { place: "filter".to_owned(), ..mistake })?;
        let expressions = object.list("expressions")?;
        let orders = object.list("order_by")?;
        let include_inactive = object.flag("include_inactive")?.unwrap_or(false);
        object.finish()?;
        let mut leaves = 0;
        let mut read = |place: &str, value: &Value| expression(fields, place, value, Within::Nothing, &mut leaves);
        let expressions = each("expressions", expressions, &mut read)?;
        if orders.len() > MAX_ORDERS {
            return Err(mistake("order_by", format!("has {} fields, at most {MAX_ORDERS}", orders.len())));
        }
        let order_by = each("order_by", orders, &mut |place, value| order(fields, place, value))?;
        Ok(Filter { expressions, order_by, include_inactive })
    }
}

fn each<T>(place: &str, values: &[Value], read: &mut dyn FnMut(&str, &Value) -> Result<T, Mistake>) -> Result<Vec<T>, Mistake> {
    values.iter().enumerate().map(|(number, value)| read(&format!("{place}[{number}]"), value)).collect()
}

/// What an expression stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Or,
    And,
}

fn expression(fields: &'static [Field], place: &str, value: &Value, within: Within, leaves: &mut usize) -> Result<Expression, Mistake> {
    let mut object = Object::of(place, value)?;
    let kind = object.text("type")?;
    let invert = object.flag("invert")?.unwrap_or(false);
    let node = match kind {
        "and" => Node::And(several(fields, &mut object, Within::And, leaves)?),
        "or" if within != Within::Nothing => return Err(mistake(place, "an `or` stands in no other expression".to_owned())),
        "or" => Node::Or(several(fields, &mut object, Within::Or, leaves)?),
        _ => leaf(fields, &mut object, kind, leaves)?,
    };
    object.finish()?;
    Ok(Expression { invert, node })
}

fn several(fields: &'static [Field], object: &mut Object<'_>, within: Within, leaves: &mut usize) -> Result<Vec<Expression>, Mistake> {
    let place = object.place("sub_expressions");
    object.need("sub_expressions")?;
    let values = object.list("sub_expressions")?;
    if values.len() < 2 {
        return Err(mistake(&place, "has fewer than two expressions".to_owned()));
    }
    each(&place, values, &mut |place, value| expression(fields, place, value, within, leaves))
}

fn leaf(fields: &'static [Field], object: &mut Object<'_>, kind: &str, leaves: &mut usize) -> Result<Node, Mistake> {
    *leaves += 1;
    if *leaves > MAX_LEAVES {
        return Err(mistake("expressions", format!("more than {MAX_LEAVES} conditions")));
    }
    if !matches!(kind, "exact" | "contains" | "isnull" | "is_null" | "compare") {
        return Err(mistake(&object.place("type"), format!("there is no expression `{kind}`")));
    }
    let field = object.field(fields)?;
    let test = match kind {
        "exact" => {
            let value = object.need("value")?;
            let value = operand(field, value).map_err(|what| mistake(&object.place("value"), what))?;
            Test::Exact { value, case_insensitive: object.flag("case_insensitive")?.unwrap_or(false) }
        }
        "contains" => {
            // Older clients say `value`.
            let key = if object.keys.contains_key("sub_string") { "sub_string" } else { "value" };
            let text = object.text(key)?.to_owned();
            if field.kind != Type::Text {
                return Err(mistake(&object.place("field"), format!("`{}` is no text that could contain another", field.name)));
            }
            Test::Contains { text, case_insensitive: object.flag("case_insensitive")?.unwrap_or(false) }
        }
        "compare" => {
            let operator = match object.text("operator")? {
                "<" => Operator::Less,
                ">" => Operator::Greater,
                "<=" => Operator::LessOrEqual,
                ">=" => Operator::GreaterOrEqual,
                other => return Err(mistake(&object.place("operator"), format!("`{other}` is none of `<`, `>`, `<=`, `>=`"))),
            };
            let value = object.need("value")?;
            if field.kind == Type::Boolean {
                return Err(mistake(&object.place("field"), format!("`{}` is a boolean, which has no order", field.name)));
            }
            let value = operand(field, value).map_err(|what| mistake(&object.place("value"), what))?;
            Test::Compare { operator, value }
        }
        _ => Test::IsNull,
    };
    Ok(Node::Leaf { field, test })
}

/// `value` as one of the field's type.
fn operand(field: &Field, value: &Value) -> Result<Operand, String> {
    let wrong = |expected: &str| Err(format!("expected {expected} for `{}`, not {}", field.name, kind_of(value)));
    match (field.kind, value) {
        (Type::Sealed, _) => Err(format!("`{}` cannot be compared, only asked whether it is null", field.name)),
        (Type::Text, Value::String(text)) => plain(text).map(Operand::Text),
        (Type::Text, _) => wrong("a text"),
        (Type::Boolean, Value::Bool(flag)) => Ok(Operand::Boolean(*flag)),
        (Type::Boolean, _) => wrong("true or false"),
        (Type::Integer, Value::Number(number)) => match number.as_i64() {
            Some(integer) => Ok(Operand::Integer(integer)),
            None => Err(format!("{number} is no integer of 64 bits")),
        },
        (Type::Integer, _) => wrong("an integer"),
        (Type::Decimal, Value::Number(number)) => number.as_f64().map(Operand::Decimal).ok_or_else(|| format!("{number} is no number")),
        (Type::Decimal, Value::String(text)) => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Operand::Decimal(number)),
            _ => Err(format!("`{text}` is no number")),
        },
        (Type::Decimal, _) => wrong("a number"),
        (Type::Time, Value::String(text)) => match crate::time::read(text) {
            Some(time) => Ok(Operand::Text(time)),
            None => Err(format!("`{text}` is no time of ISO 8601")),
        },
        (Type::Time, _) => wrong("a time"),
    }
}

/// A text that a database can hold.
fn plain(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err("has the character NUL in it".to_owned()) } else { Ok(text.to_owned()) }
}

fn order(fields: &'static [Field], place: &str, value: &Value) -> Result<Order, Mistake> {
    let mut object = Object::of(place, value)?;
    let field = object.field(fields)?;
    let ascending = object.flag("ascending")?.unwrap_or(true);
    let nulls_first = object.flag("nulls_first")?;
    object.finish()?;
    Ok(Order { field, ascending, nulls_first })
}

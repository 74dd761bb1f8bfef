//! The fields of `POST /models`, as the multipart body has them: texts, of which one is a number and one is JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::body::Fields;
use crate::failure::Failure;

/// The longest field that is no artifact, in bytes.
pub(crate) const MAX_FIELD: usize = 64 * 1024;

/// What a client says of a new model.
#[derive(Debug, PartialEq)]
pub(crate) struct Form {
    pub(crate) name: String,
    pub(crate) task_id: i64,
    pub(crate) run_cmd: String,
    /// Lines of `requirements.txt`.
    pub(crate) requirements: Vec<String>,
}

/// Why a field could not be taken as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Text(String),
    NoText,
    Repeated,
}

/// Reads the form from its fields; `artifacts` is how many there were.
pub(crate) fn read(fields: BTreeMap<String, Field>, artifacts: usize) -> Result<Form, Failure> {
    let mut document = Map::new();
    let mut wrong = Vec::new();
    for (name, field) in fields {
        match field {
            Field::Text(text) => drop(document.insert(name, text.into())),
            Field::NoText => wrong.push((name, "the value is no UTF-8 text")),
            Field::Repeated => wrong.push((name, "the field stands there more than once")),
        }
    }
    // What could not be taken is not missing.
    for (name, _) in &wrong {
        document.insert(name.clone(), placeholder(name).into());
    }
    if artifacts > 0 {
        document.insert("artifacts".to_owned(), Value::Bool(true));
    }
    let mut fields = Fields::of(document);
    let name = fields.name("name");
    let task_id = fields.written_id("task_id");
    let run_cmd = fields.text("run_cmd");
    if run_cmd.trim().is_empty() && fields.is_right_so_far("run_cmd") {
        fields.refuse("run_cmd", "a command is needed");
    }
    let requirements = requirements(&mut fields);
    fields.require("artifacts");
    for (name, message) in wrong {
        fields.refuse(&name, message);
    }
    fields.finish()?;
    Ok(Form { name, task_id, run_cmd, requirements })
}

/// A value that nothing else is said about.
fn placeholder(name: &str) -> &'static str {
    match name {
        "task_id" => "1",
        "requirements" => "[]",
        _ => "x",
    }
}

/// A JSON list of texts, each of which is one line.
fn requirements(fields: &mut Fields) -> Vec<String> {
    let Some(text) = fields.optional_text("requirements").filter(|text| !text.trim().is_empty()) else { return Vec::new() };
    let Ok(Value::Array(items)) = serde_json::from_str::<Value>(&text) else {
        fields.refuse("requirements", "the value is no JSON list");
        return Vec::new();
    };
    let line = |item: Value| match item {
        Value::String(line) if !line.trim().is_empty() && !line.contains(char::is_control) => Some(line),
        _ => None,
    };
    match items.into_iter().map(line).collect() {
        Some(lines) => lines,
        None => {
            fields.refuse("requirements", "each requirement is a text of one line");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wharf_sdk::IntoResponse as _;

    use super::*;

    fn fields(entries: &[(&str, &str)]) -> BTreeMap<String, Field> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), Field::Text((*value).to_owned()))).collect()
    }

    const RIGHT: [(&str, &str); 3] = [("name", "m"), ("task_id", "7"), ("run_cmd", "python serve.py\n")];

    /// Each as `place: message`.
    #[track_caller]
    fn check_wrong(fields: BTreeMap<String, Field>, artifacts: usize, expected: &[&str]) {
        let Err(Failure::Invalid(details)) = read(fields, artifacts) else { panic!("nothing was wrong") };
        let written: Vec<String> = details.iter().map(|detail| format!("{}: {}", json!(detail.place), detail.message)).collect();
        assert_eq!(written, expected);
        assert_eq!(Failure::Invalid(details).into_response().status(), 422);
    }

    #[test]
    fn a_form_is_read_from_texts() {
        let mut right = fields(&RIGHT);
        let form = Form { name: "m".to_owned(), task_id: 7, run_cmd: "python serve.py\n".to_owned(), requirements: Vec::new() };
        assert_eq!(read(right.clone(), 1).unwrap(), form);
        right.extend(fields(&[("requirements", r#"["numpy==1.17", "six"]"#), ("colour", "red")]));
        let requirements = vec!["numpy==1.17".to_owned(), "six".to_owned()];
        assert_eq!(read(right, 1).unwrap(), Form { requirements, ..form });
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let missing = [r#"["name"]: field required"#, r#"["task_id"]: field required"#, r#"["run_cmd"]: field required"#];
        check_wrong(fields(&[]), 0, &[&missing[..], &[r#"["artifacts"]: field required"#]].concat());
        check_wrong(fields(&[]), 1, &missing);
    }

    #[test]
    fn what_is_no_number_no_list_and_no_line_is_refused() {
        let with = |name: &str, value: &str| {
            let mut form = fields(&RIGHT);
            form.extend(fields(&[(name, value)]));
            form
        };
        for value in ["", "x", "1.0", "1 2", "0x1", "true"] {
            check_wrong(with("task_id", value), 1, &[r#"["task_id"]: value is not a valid integer"#]);
        }
        check_wrong(with("task_id", "99999999999999999999"), 1, &[r#"["task_id"]: the integer has no place in 64 bits"#]);
        for value in ["numpy", "{}", "[", "null"] {
            check_wrong(with("requirements", value), 1, &[r#"["requirements"]: the value is no JSON list"#]);
        }
        for value in [r"[1]", r#"[""]"#, r#"["a\nb"]"#, "[null]", r#"[["a"]]"#] {
            check_wrong(with("requirements", value), 1, &[r#"["requirements"]: each requirement is a text of one line"#]);
        }
        check_wrong(with("run_cmd", " "), 1, &[r#"["run_cmd"]: a command is needed"#]);
        check_wrong(with("run_cmd", "a\0"), 1, &[r#"["run_cmd"]: a NUL has no place in a text"#]);
        check_wrong(with("name", ""), 1, &[r#"["name"]: ensure this value has at least 1 characters"#]);
    }

    #[test]
    fn what_could_not_be_taken_is_said_and_not_called_missing() {
        let mut form = fields(&RIGHT);
        form.insert("name".to_owned(), Field::Repeated);
        form.insert("task_id".to_owned(), Field::NoText);
        let expected = [r#"["name"]: the field stands there more than once"#, r#"["task_id"]: the value is no UTF-8 text"#];
        check_wrong(form, 1, &expected);
    }
}

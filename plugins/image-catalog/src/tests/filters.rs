//! Filters on a real database, held against a plain evaluation of what they mean.
//!
//! The evaluation knows nothing of SQL: it goes over records in memory, as somebody would who reads the specification. What the database lets through must be the same, in the same order, for any filter.

use std::cmp::Ordering;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wharf_sdk::fake;

use super::{body, created, send, site};
use crate::reference_data::{CUDA, DOMAINS, FRAMEWORKS, HARDWARE, JOB_TYPES, LICENCES};

const NAMES: [&str; 4] = ["Yolo", "yolo", "a_b%", "A!b"];
const USERS: [Option<&str>; 3] = [None, Some("me"), Some("Me too")];

/// Twelve images of many kinds, some deleted.
fn catalogue() -> Vec<Value> {
    let mut images = Vec::new();
    for number in 0..12_usize {
        let mut posted = body(NAMES[number % NAMES.len()], &number.to_string());
        posted["framework"] = json!(1 + number % FRAMEWORKS.len());
        posted["cuda_version"] = json!(1 + number % CUDA.len());
        posted["licence"] = json!(1 + (number * 5) % LICENCES.len());
        posted["domain"] = json!(DOMAINS[number % DOMAINS.len()].0);
        posted["tasks"] = json!(JOB_TYPES[..number % (JOB_TYPES.len() + 1)]);
        posted["registry_username"] = json!(USERS[number % USERS.len()]);
        posted["cpu"] = json!(number % 2 == 0);
        posted["min_hardware_generation"] = if number % 4 == 0 { Value::Null } else { json!(1 + number % HARDWARE.len()) };
        let pk = created(&posted)["pk"].as_i64().unwrap();
        if number % 5 == 4 {
            assert_eq!(send(fake::delete(&format!("/v1/docker/{pk}")).as_user("ann")).status, 204);
        }
        images.push(send(fake::get(&format!("/v1/docker/{pk}")).as_user("ann")).json());
    }
    images
}

/// All values of a field: several of `tasks`, else one, which may be null.
fn values(image: &Value, field: &str) -> Vec<Value> {
    let own = |name: &str| image[name].clone();
    let place = |name: &str| image[name].as_u64().map(|key| usize::try_from(key - 1).unwrap());
    let task = |name: &Value| JOB_TYPES.iter().position(|known| name == known).unwrap() + 1;
    let tasks = image["tasks"].as_array().unwrap();
    match field {
        "tasks" | "tasks.pk" => tasks.iter().map(|name| json!(task(name))).collect(),
        "tasks.name" => tasks.clone(),
        "domain" | "domain.pk" => vec![json!(DOMAINS.iter().position(|(name, _)| image["domain"] == *name).unwrap() + 1)],
        "domain.name" => vec![own("domain")],
        "framework.name" => vec![json!(FRAMEWORKS[place("framework").unwrap()].0)],
        "framework.version" => vec![json!(FRAMEWORKS[place("framework").unwrap()].1)],
        "licence.name" => vec![json!(LICENCES[place("licence").unwrap()])],
        "cuda_version.version" => vec![json!(CUDA[place("cuda_version").unwrap()].0)],
        "min_hardware_generation.generation" => {
            vec![place("min_hardware_generation").map_or(Value::Null, |place| json!(HARDWARE[place].0))]
        }
        other => vec![own(other)],
    }
}

fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::String(left), Value::String(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (left, right) => number(left).total_cmp(&number(right)),
    }
}

/// A number, which may be written as a text.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn fold(text: &str, insensitive: bool) -> String {
    if insensitive { text.to_ascii_lowercase() } else { text.to_owned() }
}

fn leaf(image: &Value, expression: &Value) -> bool {
    let values = values(image, expression["field"].as_str().unwrap());
    let insensitive = expression["case_insensitive"] == true;
    let wanted = &expression["value"];
    let mut present = values.iter().filter(|value| !value.is_null());
    match expression["type"].as_str().unwrap() {
        "is_null" | "isnull" => present.next().is_none(),
        "exact" => present.any(|value| match (value, wanted) {
            (Value::String(value), Value::String(wanted)) => fold(value, insensitive) == fold(wanted, insensitive),
            _ => compare(value, wanted).is_eq(),
        }),
        "contains" => {
            let part = expression.get("sub_string").unwrap_or(wanted);
            let part = fold(part.as_str().unwrap(), insensitive);
            present.any(|value| fold(value.as_str().unwrap(), insensitive).contains(&part))
        }
        "compare" => present.any(|value| {
            let ordering = compare(value, wanted);
            match expression["operator"].as_str().unwrap() {
                "<" => ordering.is_lt(),
                ">" => ordering.is_gt(),
                "<=" => ordering.is_le(),
                _ => ordering.is_ge(),
            }
        }),
        other => panic!("{other}"),
    }
}

fn holds(image: &Value, expression: &Value) -> bool {
    let parts = || expression["sub_expressions"].as_array().unwrap().iter();
    let positive = match expression["type"].as_str().unwrap() {
        "and" => parts().all(|part| holds(image, part)),
        "or" => parts().any(|part| holds(image, part)),
        _ => leaf(image, expression),
    };
    positive != (expression["invert"] == true)
}

fn order(left: &Value, right: &Value, filter: &Value) -> Ordering {
    for order in filter["order_by"].as_array().into_iter().flatten() {
        let field = order["field"].as_str().unwrap();
        let smallest = |image: &Value| values(image, field).into_iter().filter(|value| !value.is_null()).min_by(compare);
        let ascending = order["ascending"] != false;
        let nulls_first = order["nulls_first"].as_bool().unwrap_or(ascending);
        let found = match (smallest(left), smallest(right)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => {
                if nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (Some(_), None) => {
                if nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (Some(left), Some(right)) if ascending => compare(&left, &right),
            (Some(left), Some(right)) => compare(&right, &left),
        };
        if found.is_ne() {
            return found;
        }
    }
    left["pk"].as_i64().cmp(&right["pk"].as_i64())
}

/// The keys that `filter` lets through, in their order.
fn expected(images: &[Value], filter: &Value) -> Vec<Value> {
    let is_active = |image: &&Value| filter["include_inactive"] == true || image["deletion_time"].is_null();
    let fits = |image: &&Value| filter["expressions"].as_array().into_iter().flatten().all(|expression| holds(image, expression));
    let mut found: Vec<&Value> = images.iter().filter(is_active).filter(fits).collect();
    found.sort_by(|left, right| order(left, right, filter));
    found.into_iter().map(|image| image["pk"].clone()).collect()
}

#[track_caller]
fn check(images: &[Value], filter: &Value) {
    let answer = send(fake::post("/v1/docker/list").as_user("worker").json(filter));
    assert_eq!(answer.status, 200, "{filter}: {}", answer.text());
    let listed: Vec<Value> = answer.json().as_array().unwrap().iter().map(|image| image["pk"].clone()).collect();
    assert_eq!(listed, expected(images, filter), "{filter}");
}

/// A field, and values that can be compared with it.
fn fields() -> impl Strategy<Value = (&'static str, Value)> {
    let texts = |fields: &'static [&'static str], values: &'static [&'static str]| {
        (prop::sample::select(fields), prop::sample::select(values)).prop_map(|(field, value)| (field, json!(value)))
    };
    prop_oneof![
        texts(&["name", "registry_username", "url"], &["Yolo", "yolo", "YOLO", "a_b%", "me", "Me", "m"]),
        texts(&["framework.name", "framework.version", "licence.name"], &["pytorch", "tensorflow", "1.15", "MIT", "GPL2", "gpl2"]),
        texts(&["domain.name", "tasks.name", "min_hardware_generation.generation"], &["od", "train", "Export", "Volta", "volta"]),
        (
            prop::sample::select(&["pk", "framework", "licence", "domain", "tasks", "cuda_version", "min_hardware_generation"][..]),
            0..14_i64
        )
            .prop_map(|(field, value)| (field, json!(value))),
        (Just("cuda_version.version"), prop::sample::select(&[10.0, 10.1, 9.15, 7.0][..])).prop_map(|(field, value)| (field, json!(value))),
        (Just("cpu"), any::<bool>()).prop_map(|(field, value)| (field, json!(value))),
    ]
}

fn leaves() -> impl Strategy<Value = Value> {
    (fields(), 0..4_usize, prop::sample::select(&["<", ">", "<=", ">="][..]), any::<bool>(), any::<bool>()).prop_map(
        |((field, value), kind, operator, insensitive, invert)| {
            let mut leaf = Map::new();
            let is_text = value.is_string();
            let mut set = |key: &str, value: Value| drop(leaf.insert(key.to_owned(), value));
            set("field", json!(field));
            set("invert", json!(invert));
            match kind {
                0 => set("type", json!("is_null")),
                1 if is_text => {
                    set("type", json!("contains"));
                    set("sub_string", value);
                    set("case_insensitive", json!(insensitive));
                }
                2 if field != "cpu" => {
                    set("type", json!("compare"));
                    set("operator", json!(operator));
                    set("value", value);
                }
                _ => {
                    set("type", json!("exact"));
                    set("value", value);
                    set("case_insensitive", json!(insensitive));
                }
            }
            Value::Object(leaf)
        },
    )
}

fn several(kind: &'static str, parts: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (prop::collection::vec(parts, 2..4), any::<bool>())
        .prop_map(move |(parts, invert)| json!({"type": kind, "sub_expressions": parts, "invert": invert}))
}

fn filters() -> impl Strategy<Value = Value> {
    let expression = prop_oneof![leaves(), several("and", leaves()), several("or", prop_oneof![leaves(), several("and", leaves())])];
    let order = (fields(), any::<bool>(), any::<Option<bool>>()).prop_map(|((field, _), ascending, nulls_first)| {
        let mut order = json!({"field": field, "ascending": ascending});
        if let Some(nulls_first) = nulls_first {
            order["nulls_first"] = json!(nulls_first);
        }
        order
    });
    (prop::collection::vec(expression, 0..3), prop::collection::vec(order, 0..3), any::<bool>()).prop_map(
        |(expressions, order_by, include_inactive)| json!({"expressions": expressions, "order_by": order_by, "include_inactive": include_inactive}),
    )
}

#[test]
fn a_filter_lets_through_what_a_plain_reading_of_it_does() {
    let _host = site();
    let images = catalogue();
    proptest!(ProptestConfig::with_cases(400), |(filter in filters())| check(&images, &filter));
}

#[test]
fn the_documented_example_is_a_filter() {
    let _host = site();
    let images = catalogue();
    check(
        &images,
        &json!({
            "expressions": [{
                "type": "or",
                "sub_expressions": [
                    {"type": "and", "sub_expressions": [
                        {"type": "exact", "field": "name", "value": "YOLO", "case_insensitive": true},
                        {"type": "exact", "field": "cuda_version.version", "value": "10.1"},
                    ]},
                    {"type": "and", "sub_expressions": [
                        {"type": "exact", "field": "name", "value": "yolo", "invert": true},
                        {"type": "contains", "field": "name", "value": "b"},
                        {"type": "exact", "field": "pk", "value": 2, "invert": true},
                    ]},
                ],
            }],
            "order_by": [{"field": "pk", "ascending": false}, {"field": "name"}, {"field": "registry_username", "nulls_first": true}],
        }),
    );
}

#[test]
fn what_is_no_filter_is_refused() {
    let _host = site();
    let post =
        |body: &str| send(fake::post("/v1/docker/list").as_user("worker").header("content-type", "application/json").body(body.to_owned()));
    for (body, place) in [("[]", "filter: "), (r#"{"x":1}"#, "x: "), (r#"{"order_by":[{"field":"colour"}]}"#, "order_by[0].field: ")] {
        let answer = post(body);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && detail.starts_with(&format!("Unable to parse JSON: {place}")), "{detail}");
    }
    assert_eq!(post("{").status, 400);
    let deep = format!(r#"{{"expressions":[{}]}}"#, r#"{"type":"and","sub_expressions":["#.repeat(2000));
    assert_eq!(post(&deep).status, 400);
}

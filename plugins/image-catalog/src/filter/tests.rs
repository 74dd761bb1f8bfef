//! What is a filter and what is none.

use serde_json::{Value, json};

use super::*;
use crate::fields::IMAGE;

fn read(filter: &Value) -> Result<Filter, String> {
    Filter::read(IMAGE, filter).map_err(|mistake| mistake.to_string())
}

fn exact(field: &str, value: &Value) -> Value {
    json!({"type": "exact", "field": field, "value": value})
}

#[track_caller]
fn check_mistake(filter: &Value, expected: &str) {
    assert_eq!(read(filter).unwrap_err(), expected, "{filter}");
}

#[track_caller]
fn check_expression(expression: &Value, expected: &str) {
    check_mistake(&json!({"expressions": [expression]}), expected);
}

#[track_caller]
fn check_sql(filter: &Value, expected: &str, parameters: &[Operand]) {
    let sql = statement::tail(&read(filter).unwrap(), Some("images.deletion_time IS NULL"), "images.pk");
    assert_eq!((sql.text.as_str(), sql.parameters.as_slice()), (expected, parameters), "{filter}");
}

fn text(text: &str) -> Operand {
    Operand::Text(text.to_owned())
}

#[test]
fn nothing_is_no_filter() {
    for filter in [json!(null), json!({}), json!({"expressions": [], "order_by": [], "include_inactive": false})] {
        assert_eq!(read(&filter), Ok(Filter::default()));
    }
    check_sql(&json!({}), " WHERE images.deletion_time IS NULL ORDER BY images.pk", &[]);
    check_sql(&json!({"include_inactive": true}), " ORDER BY images.pk", &[]);
}

#[test]
fn anything_else_than_an_object_is_a_mistake() {
    check_mistake(&json!([]), "filter: expected an object, not a list");
    check_mistake(&json!("name"), "filter: expected an object, not a text");
    check_mistake(&json!({"expression": []}), "expression: is not known here");
    check_mistake(&json!({"expressions": {}}), "expressions: expected a list, not an object");
    check_mistake(&json!({"include_inactive": 1}), "include_inactive: expected true or false, not a number");
}

#[test]
fn an_expression_is_read_strictly() {
    check_expression(&json!(1), "expressions[0]: expected an object, not a number");
    check_expression(&json!({}), "expressions[0].type: is missing");
    check_expression(&json!({"type": "like", "field": "name"}), "expressions[0].type: there is no expression `like`");
    check_expression(&json!({"type": "exact", "value": 1}), "expressions[0].field: is missing");
    check_expression(&json!({"type": "exact", "field": ""}), "expressions[0].field: is empty");
    check_expression(&exact("colour", &json!("red")), "expressions[0].field: there is no field `colour`");
    check_expression(&json!({"type": "exact", "field": "name"}), "expressions[0].value: is missing");
    check_expression(&exact("name", &json!(null)), "expressions[0].value: expected a text for `name`, not null");
    check_expression(&exact("cpu", &json!("true")), "expressions[0].value: expected true or false for `cpu`, not a text");
    check_expression(&exact("framework", &json!(1.5)), "expressions[0].value: 1.5 is no integer of 64 bits");
    check_expression(&exact("pk", &json!(u64::MAX)), "expressions[0].value: 18446744073709551615 is no integer of 64 bits");
    check_expression(&exact("cuda_version.version", &json!("ten")), "expressions[0].value: `ten` is no number");
    check_expression(&exact("creation_time", &json!("soon")), "expressions[0].value: `soon` is no time of ISO 8601");
    check_expression(&exact("name", &json!("a\u{0}b")), "expressions[0].value: has the character NUL in it");
    check_expression(
        &exact("registry_password", &json!("x")),
        "expressions[0].value: `registry_password` cannot be compared, only asked whether it is null",
    );
    check_expression(&json!({"type": "isnull", "field": "name", "value": true}), "expressions[0].value: is not known here");
    check_expression(
        &json!({"type": "contains", "field": "framework", "sub_string": "1"}),
        "expressions[0].field: `framework` is no text that could contain another",
    );
    check_expression(
        &json!({"type": "compare", "field": "pk", "operator": "!=", "value": 1}),
        "expressions[0].operator: `!=` is none of `<`, `>`, `<=`, `>=`",
    );
    check_expression(
        &json!({"type": "compare", "field": "cpu", "operator": "<", "value": true}),
        "expressions[0].field: `cpu` is a boolean, which has no order",
    );
}

#[test]
fn an_or_stands_at_the_top_and_an_and_holds_no_or() {
    let leaf = exact("pk", &json!(1));
    let several = |kind: &str, parts: &[&Value]| json!({"type": kind, "sub_expressions": parts});
    let and = several("and", &[&leaf, &leaf]);
    assert!(read(&json!({"expressions": [several("or", &[&and, &leaf]), several("and", &[&and, &leaf])]})).is_ok());
    let or = several("or", &[&leaf, &leaf]);
    check_expression(&several("and", &[&or, &leaf]), "expressions[0].sub_expressions[0]: an `or` stands in no other expression");
    check_expression(&several("or", &[&leaf, &or]), "expressions[0].sub_expressions[1]: an `or` stands in no other expression");
    check_expression(&several("and", &[&leaf]), "expressions[0].sub_expressions: has fewer than two expressions");
    check_expression(&json!({"type": "or"}), "expressions[0].sub_expressions: is missing");
}

#[test]
fn there_is_an_end_to_conditions_and_orders() {
    let many = |count: usize| json!({"expressions": vec![exact("pk", &json!(1)); count]});
    assert!(read(&many(500)).is_ok());
    check_mistake(&many(501), "expressions: more than 500 conditions");
    let parts = vec![exact("pk", &json!(1)); 10_000];
    check_mistake(&json!({"expressions": [{"type": "or", "sub_expressions": parts}]}), "expressions: more than 500 conditions");
    check_mistake(&json!({"order_by": vec![json!({"field": "pk"}); 33]}), "order_by: has 33 fields, at most 32");
}

#[test]
fn an_order_is_read_strictly() {
    check_mistake(&json!({"order_by": ["name"]}), "order_by[0]: expected an object, not a text");
    check_mistake(&json!({"order_by": [{"field": "colour"}]}), "order_by[0].field: there is no field `colour`");
    check_mistake(
        &json!({"order_by": [{"field": "name", "ascending": "no"}]}),
        "order_by[0].ascending: expected true or false, not a text",
    );
    check_mistake(&json!({"order_by": [{"field": "name", "descending": true}]}), "order_by[0].descending: is not known here");
}

#[test]
fn every_value_is_a_parameter() {
    check_sql(
        &json!({"expressions": [exact("name", &json!("'; DROP TABLE images; --"))]}),
        " WHERE images.deletion_time IS NULL AND (images.name = $1) ORDER BY images.pk",
        &[text("'; DROP TABLE images; --")],
    );
    check_sql(
        &json!({"expressions": [{"type": "contains", "field": "url", "sub_string": "50%_!", "case_insensitive": true, "invert": true}], "include_inactive": true}),
        " WHERE (lower(images.url) LIKE $1 ESCAPE '!') IS NOT TRUE ORDER BY images.pk",
        &[text("%50!%!_!!%")],
    );
}

#[test]
fn a_relation_is_joined_once_and_one_to_many_is_asked_by_itself() {
    let filter = json!({
        "expressions": [
            exact("framework.name", &json!("pytorch")),
            {"type": "compare", "field": "framework__version", "operator": ">=", "value": "1.2"},
            {"type": "exact", "field": "tasks.name", "value": "Train", "case_insensitive": true},
        ],
        "order_by": [{"field": "licence.name", "ascending": false}, {"field": "tasks.name", "nulls_first": false}],
        "include_inactive": true,
    });
    check_sql(
        &filter,
        concat!(
            " LEFT JOIN frameworks ON frameworks.pk = images.framework LEFT JOIN licences ON licences.pk = images.licence",
            " WHERE (frameworks.name = $1) AND (frameworks.version >= $2) AND (EXISTS (SELECT 1 FROM image_tasks JOIN job_types ON job_types.pk = image_tasks.job_type",
            " WHERE image_tasks.image = images.pk AND lower(job_types.name) = $3))",
            " ORDER BY licences.name DESC NULLS LAST, (SELECT MIN(job_types.name) FROM image_tasks JOIN job_types ON job_types.pk = image_tasks.job_type",
            " WHERE image_tasks.image = images.pk) ASC NULLS LAST, images.pk",
        ),
        &[text("pytorch"), text("1.2"), text("train")],
    );
}

#[test]
fn what_is_not_there_is_the_smallest_unless_the_client_says_where_it_goes() {
    let nulls = |ascending: bool, nulls_first: Option<bool>| {
        let mut order = json!({"field": "creator", "ascending": ascending});
        if let Some(first) = nulls_first {
            order["nulls_first"] = json!(first);
        }
        let filter = read(&json!({"order_by": [order], "include_inactive": true})).unwrap();
        let sql = statement::tail(&filter, None, "images.pk").text;
        sql.split("NULLS ").nth(1).unwrap().split(',').next().unwrap().to_owned()
    };
    assert_eq!([nulls(true, None), nulls(false, None)], ["FIRST", "LAST"]);
    assert_eq!([nulls(true, Some(true)), nulls(false, Some(true))], ["FIRST", "FIRST"]);
    assert_eq!([nulls(true, Some(false)), nulls(false, Some(false))], ["LAST", "LAST"]);
}

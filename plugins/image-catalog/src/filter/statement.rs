//! From a filter to one statement.
//!
//! Every value is a parameter; what is written into the text comes from the table of fields. `x IS NOT TRUE` inverts, so that a row of which nobody can say whether it fits is one that does not.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use wharf_sdk::storage::sql;

use super::{Expression, Filter, Node, Operand, Operator, Order, Test};
use crate::fields::{Field, Relation};

/// A condition with its parameters, and what it needs to be joined.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sql {
    pub(crate) text: String,
    pub(crate) parameters: Vec<Operand>,
}

/// What a list has after `SELECT … FROM images`.
pub(crate) fn tail(filter: &Filter, active: Option<&str>, tie_break: &str) -> Sql {
    let mut relations = BTreeSet::new();
    filter.expressions.iter().for_each(|expression| relations_of(expression, &mut relations));
    relations.extend(filter.order_by.iter().filter_map(|order| order.field.relation));
    let mut sql = Sql::default();
    for join in relations.iter().filter_map(|relation| relation.join()) {
        let _infallible = write!(sql.text, " {join}");
    }
    let mut word = " WHERE ";
    if let Some(active) = active.filter(|_| !filter.include_inactive) {
        let _infallible = write!(sql.text, "{word}{active}");
        word = " AND ";
    }
    for expression in &filter.expressions {
        sql.text.push_str(word);
        sql.expression(expression);
        word = " AND ";
    }
    let orders = filter.order_by.iter().map(order).chain([tie_break.to_owned()]);
    let _infallible = write!(sql.text, " ORDER BY {}", orders.collect::<Vec<_>>().join(", "));
    sql
}

fn relations_of(expression: &Expression, relations: &mut BTreeSet<Relation>) {
    match &expression.node {
        Node::Leaf { field, .. } => relations.extend(field.relation),
        Node::And(parts) | Node::Or(parts) => parts.iter().for_each(|part| relations_of(part, relations)),
    }
}

/// `field` in an order; of the relation to many the smallest.
fn order(order: &Order) -> String {
    let column = order.field.column;
    let value = match order.field.relation {
        Some(Relation::Tasks) => format!("(SELECT MIN({column}) {TASKS})"),
        _ => column.to_owned(),
    };
    let direction = if order.ascending { "ASC" } else { "DESC" };
    let nulls = if order.nulls_come_first() { "FIRST" } else { "LAST" };
    format!("{value} {direction} NULLS {nulls}")
}

/// The tasks of an image.
const TASKS: &str = "FROM image_tasks JOIN job_types ON job_types.pk = image_tasks.job_type WHERE image_tasks.image = images.pk";

impl Sql {
    /// The parameters as the database takes them.
    pub(crate) fn values(&self) -> Vec<sql::Value> {
        let value = |operand: &Operand| match operand {
            Operand::Text(text) => sql::Value::Text(text.clone()),
            Operand::Integer(integer) => sql::Value::Integer(*integer),
            Operand::Decimal(number) => sql::Value::Real(*number),
            Operand::Boolean(flag) => sql::Value::Boolean(*flag),
        };
        self.parameters.iter().map(value).collect()
    }

    fn expression(&mut self, expression: &Expression) {
        self.text.push('(');
        match &expression.node {
            Node::Leaf { field, test } => self.leaf(field, test),
            Node::And(parts) => self.joined(parts, " AND "),
            Node::Or(parts) => self.joined(parts, " OR "),
        }
        self.text.push(')');
        if expression.invert {
            self.text.push_str(" IS NOT TRUE");
        }
    }

    fn joined(&mut self, parts: &[Expression], word: &str) {
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                self.text.push_str(word);
            }
            self.text.push('(');
            self.expression(part);
            self.text.push(')');
        }
    }

    fn leaf(&mut self, field: &Field, test: &Test) {
        match (field.relation, test) {
            (Some(Relation::Tasks), Test::IsNull) => {
                let _infallible = write!(self.text, "NOT EXISTS (SELECT 1 {TASKS})");
            }
            (Some(Relation::Tasks), test) => {
                let _infallible = write!(self.text, "EXISTS (SELECT 1 {TASKS} AND ");
                self.test(field.column, test);
                self.text.push(')');
            }
            (_, test) => self.test(field.column, test),
        }
    }

    fn test(&mut self, column: &str, test: &Test) {
        match test {
            Test::IsNull => {
                let _infallible = write!(self.text, "{column} IS NULL");
            }
            Test::Exact { value: Operand::Text(text), case_insensitive: true } => {
                let place = self.parameter(Operand::Text(text.to_ascii_lowercase()));
                let _infallible = write!(self.text, "lower({column}) = {place}");
            }
            Test::Exact { value, .. } => self.compare(column, "=", value),
            Test::Contains { text, case_insensitive: true } => {
                let place = self.parameter(Operand::Text(pattern(&text.to_ascii_lowercase())));
                let _infallible = write!(self.text, "lower({column}) LIKE {place} ESCAPE '!'");
            }
            Test::Contains { text, case_insensitive: false } => {
                let place = self.parameter(Operand::Text(pattern(text)));
                let _infallible = write!(self.text, "{column} LIKE {place} ESCAPE '!'");
            }
            Test::Compare { operator, value } => {
                let operator = match operator {
                    Operator::Less => "<",
                    Operator::Greater => ">",
                    Operator::LessOrEqual => "<=",
                    Operator::GreaterOrEqual => ">=",
                };
                self.compare(column, operator, value);
            }
        }
    }

    fn compare(&mut self, column: &str, operator: &str, value: &Operand) {
        let place = self.parameter(value.clone());
        let _infallible = write!(self.text, "{column} {operator} {place}");
    }

    fn parameter(&mut self, value: Operand) -> String {
        self.parameters.push(value);
        format!("${}", self.parameters.len())
    }
}

/// What `LIKE` finds `text` by, wherever it stands. `!` takes the meaning from what would have one.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

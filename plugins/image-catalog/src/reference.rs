//! What images lead to, to be read: `/v1/{cuda,hardware,frameworks,domains,licences}`.

use serde_json::{Map, Value};
use wharf_sdk::storage::Error;
use wharf_sdk::storage::sql::{self, Row, Statement};
use wharf_sdk::{Request, Response};

use crate::failure::Failure;
use crate::fields::{Field, Type};
use crate::filter::{Filter, statement};
use crate::{account, images, input, list, tables};

/// One of these tables. Every column is a field, in the order in which the API documents them.
pub(crate) struct Table {
    name: &'static str,
    fields: &'static [Field],
    /// Columns whose numbers are written as texts with so many decimals: clients compare them as such.
    decimals: usize,
}

const fn field(name: &'static str, column: &'static str, kind: Type) -> Field {
    Field { name, column, kind, relation: None }
}

pub(crate) const CUDA: Table = Table {
    name: "cuda",
    fields: &[
        field("pk", "cuda.pk", Type::Integer),
        field("version", "cuda.version", Type::Decimal),
        field("full_version", "cuda.full_version", Type::Text),
        field("min_driver_version", "cuda.min_driver_version", Type::Decimal),
    ],
    decimals: 1,
};

pub(crate) const HARDWARE: Table = Table {
    name: "hardware",
    fields: &[
        field("pk", "hardware.pk", Type::Integer),
        field("generation", "hardware.generation", Type::Text),
        field("min_compute_capability", "hardware.min_compute_capability", Type::Decimal),
        field("max_compute_capability", "hardware.max_compute_capability", Type::Decimal),
    ],
    decimals: 1,
};

pub(crate) const FRAMEWORKS: Table = Table {
    name: "frameworks",
    fields: &[
        field("pk", "frameworks.pk", Type::Integer),
        field("name", "frameworks.name", Type::Text),
        field("version", "frameworks.version", Type::Text),
    ],
    decimals: 0,
};

pub(crate) const DOMAINS: Table = Table {
    name: "domains",
    fields: &[
        field("pk", "domains.pk", Type::Integer),
        field("name", "domains.name", Type::Text),
        field("description", "domains.description", Type::Text),
    ],
    decimals: 0,
};

pub(crate) const LICENCES: Table = Table {
    name: "licences",
    fields: &[field("pk", "licences.pk", Type::Integer), field("name", "licences.name", Type::Text)],
    decimals: 0,
};

impl Table {
    /// `POST …/list`.
    pub(crate) fn list(&self, request: &Request) -> Result<Response, Failure> {
        account::reader()?;
        let filter = Filter::read(self.fields, &input::optional(request)?).map_err(Failure::Filter)?;
        tables::ensure()?;
        let tail = statement::tail(&filter, None, &format!("{}.pk", self.name));
        let statement = Statement { sql: format!("{}{}", self.selection(), tail.text), parameters: tail.values() };
        list::answer(&statement, |row, list| list.push(&self.record(row)?))
    }

    /// `GET …/{pk}`.
    pub(crate) fn load(&self, request: &Request) -> Result<Response, Failure> {
        account::reader()?;
        let pk = images::key(request)?;
        tables::ensure()?;
        let row = sql::query_one(&format!("{} WHERE pk = $1", self.selection()), &[&pk])?;
        Ok(Response::json(&self.record(&row.ok_or(Failure::NotFound)?)?))
    }

    fn selection(&self) -> String {
        let columns: Vec<&str> = self.fields.iter().map(|field| field.column).collect();
        format!("SELECT {} FROM {}", columns.join(", "), self.name)
    }

    fn record(&self, row: &Row) -> Result<Value, Error> {
        let mut record = Map::new();
        for (place, field) in self.fields.iter().enumerate() {
            let value = match field.kind {
                Type::Integer => row.get::<i64>(place)?.into(),
                Type::Decimal => self.decimal(row.get(place)?).into(),
                _ => row.get::<String>(place)?.into(),
            };
            record.insert(field.name.to_owned(), value);
        }
        Ok(Value::Object(record))
    }

    /// A number as a text, with as many decimals as it has and at least those of the table.
    fn decimal(&self, number: f64) -> String {
        let text = number.to_string();
        let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        if decimals < self.decimals { format!("{number:.*}", self.decimals) } else { text }
    }
}

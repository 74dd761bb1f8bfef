//! What all kinds of things have in common: they are listed, shown, inserted and renamed by the same few statements.

use wharf_sdk::storage::sql::{self, Row, Statement, ToValue};
use wharf_sdk::{Error, Request, Response};

use crate::body::Fields;
use crate::database::{self, Obstacle, obstacle};
use crate::failure::Failure;
use crate::kind::Kind;
use crate::query::path_id;

/// A thing that is a row.
pub(crate) trait Stored: Sized {
    const KIND: Kind;
    /// The columns that [`Stored::read`] reads.
    const COLUMNS: &'static str;

    fn read(row: &Row) -> Result<Self, Error>;
}

/// The things for which `condition` holds, the oldest first.
pub(crate) fn all<T: Stored>(condition: &str, parameters: &[&dyn ToValue]) -> Result<Vec<T>, Failure> {
    let (table, visible) = (T::KIND.table(), T::KIND.visible());
    let sql = format!("SELECT {} FROM {table} WHERE {visible} AND {condition} ORDER BY id", T::COLUMNS);
    Ok(database::rows(&sql, parameters)?.iter().map(T::read).collect::<Result<_, _>>()?)
}

/// The thing with this id.
pub(crate) fn one<T: Stored>(id: i64) -> Result<T, Failure> {
    let found = all("id = $1", &[&id])?.into_iter().next();
    found.ok_or_else(|| Failure::NoObject(T::KIND, id.to_string()))
}

/// Answers nothing if there is a thing with this id.
pub(crate) fn check(kind: Kind, id: i64) -> Result<(), Failure> {
    let sql = format!("SELECT id FROM {} WHERE {} AND id = $1", kind.table(), kind.visible());
    sql::query_one(&sql, &[&id])?.map(drop).ok_or_else(|| Failure::NoObject(kind, id.to_string()))
}

/// Inserts a row and answers the thing that it is.
///
/// # Errors
///
/// The database's own, for [`obstacle`] to look at.
pub(crate) fn insert<T: Stored>(values: &[(&str, &dyn ToValue)]) -> Result<T, Error> {
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=values.len()).map(|place| format!("${place}")).collect();
    let (table, names, places) = (T::KIND.table(), names.join(", "), places.join(", "));
    let sql = format!("INSERT INTO {table} ({names}) VALUES ({places}) RETURNING {}", T::COLUMNS);
    let statement = Statement { sql, parameters: values.iter().map(|(_, value)| value.to_value()).collect() };
    let row = sql::run(&statement, 1)?.into_iter().next();
    T::read(&row.ok_or_else(|| Error::Internal("an INSERT answered nothing".to_owned()))?)
}

/// What an insertion of `kind` under `name` failed with; `parent` is what it would belong to.
pub(crate) fn not_inserted(error: Error, kind: Kind, name: &str, parent: (Kind, i64)) -> Failure {
    match obstacle(&error) {
        Some(Obstacle::Unique) => Failure::Exists(kind, name.to_owned()),
        Some(Obstacle::Reference) => Failure::NoObject(parent.0, parent.1.to_string()),
        None => error.into(),
    }
}

/// `PATCH /…/{id}`: another name and nothing else. Whatever else a client sends is ignored.
pub(crate) fn rename(kind: Kind) -> impl Fn(&Request) -> Result<Response, Failure> + Send + Sync + 'static {
    move |request| {
        let id = path_id(request, kind)?;
        let mut fields = Fields::read(request)?;
        let name = fields.name("name");
        fields.finish()?;
        database::ready()?;
        let sql = format!("UPDATE {} SET name = $1 WHERE id = $2 AND {}", kind.table(), kind.visible());
        match sql::execute(&sql, &[&name, &id]) {
            Ok(0) => Err(Failure::NoObject(kind, id.to_string())),
            Ok(_) => Ok(Response::new(204)),
            Err(error) if obstacle(&error) == Some(Obstacle::Unique) => Err(Failure::Exists(kind, name)),
            Err(error) => Err(error.into()),
        }
    }
}

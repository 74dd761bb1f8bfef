//! Running a plugin's statements on a connection.

use futures_util::{StreamExt, pin_mut};
use tokio_postgres::Statement as Prepared;
use tokio_postgres::types::Type;
use wharf_sql::{Action, Dialect, Error, MAX_ANSWER_BYTES, Mode, Rows, Statement, Value, Written, write};

use super::error::of_statement;
use super::lease::Lease;
use super::values::{Parameter, row, type_of};

/// A statement that is ready to run.
pub(super) struct Ready {
    prepared: Prepared,
    pub(super) action: Action,
    /// With the limit, if the statement has none of its own.
    parameters: Vec<Value>,
}

/// `statement` in PostgreSQL's words.
pub(super) fn written(statement: &Statement) -> Result<Written, Error> {
    write(&statement.sql, &statement.parameters, Dialect::Postgres, Mode::Rows)
}

/// Prepares `statement`, of which at most `limit` rows and one are wanted.
pub(super) async fn prepare(lease: &Lease, statement: Statement, limit: Option<usize>) -> Result<Ready, Error> {
    let Written { mut sql, action, has_limit, assigned, .. } = written(&statement)?;
    let mut parameters = statement.parameters;
    if let Some(limit) = limit
        && action == Action::Read
        && !has_limit
    {
        // A parameter, so that the statement is the same whatever it is.
        parameters.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1));
        sql += &format!(" LIMIT ${}", parameters.len());
    }
    let mut types: Vec<_> = parameters.iter().map(type_of).collect();
    // PostgreSQL would make a text of bytes, and round a number, where a column is of that type. Asked what the column is, it says so.
    let changes = |value: &Value| matches!(value, Value::Blob(_)) || matches!(value, Value::Real(real) if real.fract() != 0.0);
    let asked: Vec<usize> = assigned.into_iter().filter(|index| parameters.get(*index).is_some_and(changes)).collect();
    if asked.is_empty() {
        return Ok(Ready { prepared: lease.prepare(&sql, &types).await?, action, parameters });
    }
    let own = types.clone();
    for index in &asked {
        types.get_mut(*index).into_iter().for_each(|of_type| *of_type = Type::UNKNOWN);
    }
    let mut prepared = lease.prepare(&sql, &types).await?;
    let mut others = asked.into_iter().filter(|index| prepared.params().get(*index) != own.get(*index)).peekable();
    if others.peek().is_some() {
        // A number can be made a text, as in SQLite.
        if let Some(wrong) =
            others.find(|index| own.get(*index) != Some(&Type::FLOAT8) || prepared.params().get(*index) != Some(&Type::TEXT))
        {
            return Err(Error::Invalid(format!("the value of ${} is not of the type of its column", wrong + 1)));
        }
        drop(others);
        prepared = lease.prepare(&sql, &own).await?;
    }
    Ok(Ready { prepared, action, parameters })
}

impl Ready {
    /// The names of the columns that it answers.
    pub(super) fn columns(&self) -> Vec<String> {
        self.prepared.columns().iter().map(|column| column.name().to_owned()).collect()
    }

    pub(super) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        self.parameters.iter().map(Parameter).collect()
    }

    /// Runs it, and answers at most `limit` rows.
    pub(super) async fn query(&self, lease: &Lease, limit: usize) -> Result<Rows, Error> {
        let stream = lease.client()?.query_raw(&self.prepared, self.parameters()).await.map_err(|error| of_statement(&error))?;
        pin_mut!(stream);
        let mut rows = Rows { columns: self.columns(), ..Rows::default() };
        let mut size = 0;
        while let Some(found) = stream.next().await {
            let found = found.map_err(|error| of_statement(&error))?;
            if rows.rows.len() == limit {
                rows.more = true;
                // One that changes something is read to its end, which is where its errors are.
                if self.action == Action::Read {
                    break;
                }
                continue;
            }
            let values = row(&found)?;
            size += values.iter().map(Value::size).sum::<usize>();
            if size > MAX_ANSWER_BYTES {
                return Err(Error::Quota);
            }
            rows.rows.push(values);
        }
        Ok(rows)
    }

    /// Runs it, and answers how many rows it has changed.
    pub(super) async fn execute(&self, lease: &Lease) -> Result<u64, Error> {
        let count = lease.client()?.execute_raw(&self.prepared, self.parameters()).await.map_err(|error| of_statement(&error))?;
        Ok(if self.action == Action::Write { count } else { 0 })
    }
}

/// Runs `statements` one after the other.
pub(super) async fn execute_all(lease: &Lease, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
    let mut changed = Vec::with_capacity(statements.len());
    for statement in statements {
        changed.push(prepare(lease, statement, None).await?.execute(lease).await?);
    }
    Ok(changed)
}

//! Tables.

use wasmtime::component::Resource;

use super::super::convert;
use super::super::error::Failure;
use super::super::grant::Power;
use super::super::{MAX_ROWS, MAX_STATEMENTS, StorageCtxView};
use crate::backend::database::held::{Cursor, Transaction};
use crate::bindings::wharf::storage::sql::{self, Migration, Rows, Statement, Value};
use crate::bindings::wharf::storage::types::Error;

impl sql::Host for StorageCtxView<'_> {
    async fn migrate(&mut self, migrations: Vec<Migration>) -> Result<u32, Error> {
        const FUNCTION: &str = "storage.sql.migrate";
        let run = async {
            let space = self.space(FUNCTION, Power::Sql)?;
            check_count(migrations.iter().map(|migration| migration.statements.len()).sum())?;
            Ok(space.migrate(migrations.into_iter().map(convert::migration).collect()).await?)
        };
        let run: Result<_, Failure> = run.await;
        run.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn query(&mut self, statement: Statement, limit: u32) -> Result<Rows, Error> {
        const FUNCTION: &str = "storage.sql.query";
        let found = async {
            let space = self.space(FUNCTION, Power::Sql)?;
            Ok(convert::rows_record(space.query(convert::statement(statement)?, rows(limit)).await?))
        };
        let found: Result<_, Failure> = found.await;
        found.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn execute(&mut self, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        const FUNCTION: &str = "storage.sql.execute";
        let changed = async {
            let space = self.space(FUNCTION, Power::Sql)?;
            Ok(space.execute(all(statements)?).await?)
        };
        let changed: Result<_, Failure> = changed.await;
        changed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn begin(&mut self) -> Result<Resource<Transaction>, Error> {
        const FUNCTION: &str = "storage.sql.begin";
        let begun = async {
            let space = self.space(FUNCTION, Power::Sql)?;
            let transaction = space.begin().await?;
            Ok(self.table.push(transaction)?)
        };
        let begun: Result<_, Failure> = begun.await;
        begun.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn open(&mut self, statement: Statement, limit: u64) -> Result<Resource<Cursor>, Error> {
        const FUNCTION: &str = "storage.sql.open";
        let opened = async {
            let space = self.space(FUNCTION, Power::Sql)?;
            let cursor = space.open(convert::statement(statement)?, limit).await?;
            Ok(self.table.push(cursor)?)
        };
        let opened: Result<_, Failure> = opened.await;
        opened.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl sql::HostTransaction for StorageCtxView<'_> {
    async fn query(&mut self, transaction: Resource<Transaction>, statement: Statement, limit: u32) -> Result<Rows, Error> {
        const FUNCTION: &str = "storage.sql.transaction.query";
        let found = async {
            self.enter(FUNCTION, Power::Sql)?;
            let statement = convert::statement(statement)?;
            Ok(convert::rows_record(self.table.get(&transaction)?.query(statement, rows(limit)).await?))
        };
        let found: Result<_, Failure> = found.await;
        found.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn execute(&mut self, transaction: Resource<Transaction>, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        const FUNCTION: &str = "storage.sql.transaction.execute";
        let changed = async {
            self.enter(FUNCTION, Power::Sql)?;
            Ok(self.table.get(&transaction)?.execute(all(statements)?).await?)
        };
        let changed: Result<_, Failure> = changed.await;
        changed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn commit(&mut self, transaction: Resource<Transaction>) -> Result<(), Error> {
        const FUNCTION: &str = "storage.sql.transaction.commit";
        let kept = async {
            self.enter(FUNCTION, Power::Sql)?;
            Ok(self.table.get(&transaction)?.commit().await?)
        };
        let kept: Result<_, Failure> = kept.await;
        kept.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn rollback(&mut self, transaction: Resource<Transaction>) -> Result<(), Error> {
        const FUNCTION: &str = "storage.sql.transaction.rollback";
        let undone = async {
            self.enter(FUNCTION, Power::Sql)?;
            Ok(self.table.get(&transaction)?.rollback().await?)
        };
        let undone: Result<_, Failure> = undone.await;
        undone.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
        self.table.delete(transaction)?;
        Ok(())
    }
}

impl sql::HostCursor for StorageCtxView<'_> {
    async fn columns(&mut self, cursor: Resource<Cursor>) -> Vec<String> {
        self.table.get(&cursor).map(Cursor::columns).unwrap_or_default()
    }

    async fn next(&mut self, cursor: Resource<Cursor>, max: u32) -> Result<Vec<Vec<Value>>, Error> {
        const FUNCTION: &str = "storage.sql.cursor.next";
        let found = async {
            self.enter(FUNCTION, Power::Sql)?;
            Ok(convert::row_records(self.table.get_mut(&cursor)?.next(rows(max)).await?))
        };
        let found: Result<_, Failure> = found.await;
        found.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn drop(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<()> {
        self.table.delete(cursor)?;
        Ok(())
    }
}

fn rows(limit: u32) -> usize {
    usize::try_from(limit.min(MAX_ROWS)).unwrap_or(usize::MAX)
}

fn all(statements: Vec<Statement>) -> Result<Vec<wharf_sql::Statement>, Failure> {
    check_count(statements.len())?;
    statements.into_iter().map(convert::statement).collect()
}

fn check_count(statements: usize) -> Result<(), Failure> {
    if statements > MAX_STATEMENTS {
        return Err(Failure::Invalid(format!("{statements} statements in one call, at most {MAX_STATEMENTS}")));
    }
    Ok(())
}

//! Which migrations are still to be run, by the same rules for both databases.

use sha2::{Digest, Sha256};

use crate::{Error, Migration};

/// A migration that was run before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its version.
    pub version: u32,
    /// What [`hash`] said of it.
    pub hash: String,
}

/// A mark of what a migration does. Its name is no part of it.
#[must_use]
pub fn hash(migration: &Migration) -> String {
    let mut hash = Sha256::new();
    for statement in &migration.statements {
        hash.update(statement.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Those of `migrations` that are not among `applied`. More may have been run than there are: by a newer version of the plugin.
///
/// # Errors
///
/// [`Error::Invalid`] when they are not counted from 1 without a gap, or one was run with other statements.
pub fn missing<'m>(migrations: &'m [Migration], applied: &[Applied]) -> Result<&'m [Migration], Error> {
    for (index, migration) in migrations.iter().enumerate() {
        if usize::try_from(migration.version).ok() != Some(index + 1) {
            let version = migration.version;
            return Err(Error::Invalid(format!(
                "the migration {version} stands where {} should: they count from 1 without a gap",
                index + 1
            )));
        }
    }
    for (migration, applied) in migrations.iter().zip(applied) {
        if applied.version != migration.version || applied.hash != hash(migration) {
            let Migration { version, name, .. } = migration;
            let message = format!("the migration {version} (`{name}`) was run before, with other statements: add another one instead");
            return Err(Error::Invalid(message));
        }
    }
    Ok(migrations.get(applied.len()..).unwrap_or_default())
}

/// `error` of a statement of `migration`, with its name.
#[must_use]
pub fn in_migration(migration: &Migration, error: Error) -> Error {
    match error {
        Error::Invalid(rule) => Error::Invalid(format!("migration {} (`{}`): {rule}", migration.version, migration.name)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(version: u32, statement: &str) -> Migration {
        Migration { version, name: "x".to_owned(), statements: vec![statement.to_owned()] }
    }

    fn applied(migrations: &[Migration]) -> Vec<Applied> {
        migrations.iter().map(|migration| Applied { version: migration.version, hash: hash(migration) }).collect()
    }

    #[test]
    fn what_was_not_run_is_missing() {
        let all = [migration(1, "a"), migration(2, "b")];
        assert_eq!(missing(&all, &[]).unwrap().len(), 2);
        assert_eq!(missing(&all, &applied(&all[..1])).unwrap(), &all[1..]);
        assert!(missing(&all, &applied(&all)).unwrap().is_empty());
        assert!(missing(&all[..1], &applied(&all)).unwrap().is_empty());
    }

    #[test]
    fn a_gap_or_a_change_is_refused() {
        let wrong = [vec![migration(2, "a")], vec![migration(1, "a"), migration(3, "b")], vec![migration(1, "a"), migration(1, "b")]];
        assert!(wrong.iter().all(|migrations| matches!(missing(migrations, &[]), Err(Error::Invalid(_)))));
        assert!(matches!(missing(&[migration(1, "b")], &applied(&[migration(1, "a")])), Err(Error::Invalid(_))));
    }
}

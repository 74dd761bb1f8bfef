//! Places in configuration files, and mistakes at them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in a file. Shown as `wharf.toml:12:3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

/// A value, and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub at: Location,
}

/// Something to correct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is; none when it is in no file, as for a file that cannot be read.
    pub at: Option<Location>,
    /// What is wrong, with both sides of a mismatch.
    pub message: String,
    /// What to write instead; none when the message says it.
    pub remedy: Option<String>,
}

/// All that is wrong, in the order of the files. Never empty.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(formatter, "{at}: ")?;
        }
        formatter.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(formatter, "\n    help: {remedy}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            mistake.fmt(formatter)?;
        }
        Ok(())
    }
}

//! One `cargo xtask run` for each data directory: two engines on the same images and containers would ruin them.
//!
//! The lock is on the file, not the file itself: the system lets go of it when we end, however we end.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;

use anyhow::Context;

/// Makes `data_dir` if it is not there and keeps other runs away from it as long as the value lives.
///
/// # Errors
///
/// Another run has it, whose process id the message has, or it is not ours to write.
pub(crate) fn claim(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let made = std::fs::create_dir_all(data_dir);
    let opened = made.and_then(|()| OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path));
    let mut file = opened.map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::PermissionDenied => {
                "; an earlier run was another user's: run as that user, or name another folder with `--data-dir`"
            }
            _ => "",
        };
        anyhow::Error::new(error).context(format!("failed to open `{}`{remedy}", path.display()))
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            file.read_to_string(&mut process)?;
            anyhow::bail!(
                "another `cargo xtask run` uses `{}`, process {}: end it, or name another folder with `--data-dir`",
                data_dir.display(),
                process.trim()
            );
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("failed to lock `{}`", path.display())),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_has_one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let first = claim(&data).unwrap();
        let error = claim(&data).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}:", std::process::id())), "{error}");
        drop(first);
        claim(&data).unwrap();
    }
}

//! Passwords at the command line: asked for at the terminal, without showing them, or read from the standard input. Never an argument, which every user of the machine can read; and `wharf hash-password`.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::backend::users::{Hashed, MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS};

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let hashed = ask()?;
    writeln!(std::io::stdout(), "{}", hashed.expose())?;
    Ok(ExitCode::SUCCESS)
}

/// Asks for a new password and answers its hash.
pub(super) fn ask() -> anyhow::Result<Hashed> {
    let password = if std::io::stdin().is_terminal() { from_terminal()? } else { from_stdin()? };
    check(&password)?;
    Hashed::of(&password).map_err(anyhow::Error::msg).context("failed to hash the password")
}

fn from_terminal() -> anyhow::Result<String> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).context("failed to read the password from the terminal");
    let password = ask("Password: ")?;
    // Before it is asked for once more.
    check(&password)?;
    ensure!(ask("The same again: ")? == password, "the two passwords are not the same");
    Ok(password)
}

/// The first line, without its end.
fn from_stdin() -> anyhow::Result<String> {
    let mut line = String::new();
    let most = u64::try_from(MAX_PASSWORD_BYTES).unwrap_or(u64::MAX) + 3;
    std::io::stdin().lock().take(most).read_line(&mut line).context("failed to read the password from the standard input")?;
    let password = line.strip_suffix('\n').map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(password.to_owned())
}

fn check(password: &str) -> anyhow::Result<()> {
    let length = password.chars().count();
    ensure!(length >= MIN_PASSWORD_CHARS, "the password has {length} characters; it needs {MIN_PASSWORD_CHARS} or more");
    ensure!(password.len() <= MAX_PASSWORD_BYTES, "the password has more than {MAX_PASSWORD_BYTES} bytes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        assert!(check("1234567").is_err() && check("éééééééé").is_ok());
        assert!(check(&"x".repeat(MAX_PASSWORD_BYTES)).is_ok() && check(&"x".repeat(MAX_PASSWORD_BYTES + 1)).is_err());
    }
}

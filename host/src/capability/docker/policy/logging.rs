//! Where a new container's output goes, and how much of the engine that may take.
//!
//! Drivers that send it elsewhere are not given, and of the options of the others only those that choose what is kept. The engine itself carries them out: it renames up to `max-file` files
//! each time that one has grown to `max-size`, holds `max-buffer-size` in its own memory, and runs `tag` as a template whose functions can make gigabytes of a few bytes.

use super::super::specification::Json;
use super::{Check, Outcome, invalid};

/// Log drivers that write on the engine's own disk and nowhere else.
const LOCAL_LOG_DRIVERS: &[&str] = &["", "json-file", "local", "none"];
const LOG_OPTIONS: &[&str] =
    &["max-size", "max-file", "compress", "mode", "max-buffer-size", "labels", "labels-regex", "env", "env-regex", "tag"];

/// The most files of one log. Each rotation renames all of them.
const MAX_LOG_FILES: u64 = 100;
/// The smallest file that is rotated: below this each few lines are a rotation.
const MIN_LOG_FILE_BYTES: u64 = 10_000;
/// The most output of one container that the engine holds in memory; its default is 1 MB.
const MAX_LOG_BUFFER_BYTES: u64 = 64 * 1024 * 1024;

impl Check<'_> {
    pub(super) fn logging(&self, host: &Json) -> Outcome {
        let Some(log) = host.get("LogConfig") else { return Ok(()) };
        let driver = log.text("Type");
        if !LOCAL_LOG_DRIVERS.contains(&driver) {
            return self.never(&format!("LogConfig {driver}"));
        }
        for (key, value) in log.map("Config") {
            if !LOG_OPTIONS.contains(&key.as_str()) {
                return self.never(&format!("LogConfig option {key}"));
            }
            option(key, value.as_text())?;
        }
        Ok(())
    }
}

fn option(key: &str, value: &str) -> Outcome {
    let place = format!("HostConfig.LogConfig.Config.{key}");
    match key {
        "max-file" if !value.parse::<u64>().is_ok_and(|files| (1..=MAX_LOG_FILES).contains(&files)) => {
            invalid(&place, value, &format!("a number from 1 to {MAX_LOG_FILES}"))
        }
        // The engine's word for a file that is never rotated.
        "max-size" if value != "-1" && size(value).is_none_or(|bytes| bytes < MIN_LOG_FILE_BYTES) => {
            invalid(&place, value, &format!("a size such as `10m`, at least {MIN_LOG_FILE_BYTES} bytes"))
        }
        "max-buffer-size" if size(value).is_none_or(|bytes| bytes > MAX_LOG_BUFFER_BYTES) => {
            invalid(&place, value, &format!("a size such as `4m`, at most {MAX_LOG_BUFFER_BYTES} bytes"))
        }
        "tag" if !is_plain_template(value) => invalid(&place, value, "text and fields such as `{{.Name}}`"),
        _ => Ok(()),
    }
}

/// The bytes in `10m`, `10MB` or `10 MiB`, in the engine's multiples of 1024. Fractions, which it takes too, are none here.
fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let exponent = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1024_u64.pow(exponent))
}

/// Whether `text` is no template, or one of fields alone, such as `{{.ImageName}}/{{.Name}}`: none of its functions, loops and variables.
fn is_plain_template(text: &str) -> bool {
    let mut parts = text.split("{{");
    let before_first = parts.next().unwrap_or_default();
    let is_field = |inside: &str| {
        let name = inside.trim().strip_prefix('.');
        name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    !before_first.contains("}}")
        && parts.all(|part| part.split_once("}}").is_some_and(|(inside, after)| is_field(inside) && !after.contains("}}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_would_burden_the_engine_are_refused() {
        for (key, taken, refused) in [
            ("max-file", ["1", "3", "100"].as_slice(), ["0", "-1", "101", "1000000000", "x", "", "+3 "].as_slice()),
            ("max-size", &["-1", "10000", "10m", "10MB", "100 KiB", "1t"], &["0", "1", "9k", "1.5m", "m", "", "-2"]),
            ("max-buffer-size", &["0", "4m", "64MiB"], &["65m", "1g", "99999999999999999999", "20000000t", ""]),
            (
                "tag",
                &["", "web", "{{.Name}}", "{{.ImageName}}/{{ .Name }}/{{.ID}}", "{.Name}"],
                &[
                    "{{pad .Name 1000000000 0}}",
                    "{{printf \"%1000000d\" 1}}",
                    "{{range .X}}{{end}}",
                    "{{.Name",
                    "{{{{.Name}}}}",
                    "{{.Name | json}}",
                    "{{}}",
                    "}}",
                ],
            ),
            ("labels", &["a,b"], &[]),
        ] {
            for value in taken {
                assert_eq!(option(key, value), Ok(()), "{key} {value}");
            }
            for value in refused {
                assert!(option(key, value).is_err(), "{key} {value}");
            }
        }
    }
}

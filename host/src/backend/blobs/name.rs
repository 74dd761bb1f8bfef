//! Names of blobs, checked once, here: everything behind takes a [`BlobName`].
//!
//! In a directory a name is a value in a table and never a path. At S3 it is a part of a key, where nothing resolves `..`; but tools that copy a bucket to a disk do, and answers about keys are XML 1.0, which
//! cannot hold every character. So the rules are those of both for both, and what is a name stays one when the operator goes from one to the other.

/// The longest name, in bytes. S3's keys have 1024, of which the operator's prefix and the plugin's space take the rest.
pub(crate) const MAX_NAME_BYTES: usize = 512;

/// The name of a blob: 1 to [`MAX_NAME_BYTES`] bytes, in parts that `/` separates, none of them empty, `.` or `..`, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlobName(String);

impl BlobName {
    /// The name that `text` is.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub(crate) fn parse(text: &str) -> Result<BlobName, String> {
        check_part(text, "the name of a blob")?;
        let rule = match text {
            "" => "is empty",
            _ if text.split('/').any(str::is_empty) => "has an empty part",
            _ if text.split('/').any(|part| matches!(part, "." | "..")) => "has `.` or `..` for a part",
            _ => return Ok(BlobName(text.to_owned())),
        };
        Err(format!("the name of a blob {rule}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// Checks what may be the beginning of names, or stand between two of them: `what` says which.
///
/// # Errors
///
/// The rule that it breaks.
pub(super) fn check_part(text: &str, what: &str) -> Result<(), String> {
    if text.len() > MAX_NAME_BYTES {
        return Err(format!("{what} has {} bytes, at most {MAX_NAME_BYTES}", text.len()));
    }
    if text.chars().any(|character| character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}')) {
        return Err(format!("{what} has a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        let parsed = BlobName::parse(text).map(|name| assert_eq!(name.as_str(), text));
        assert_eq!(parsed, expected.map_err(|rule| format!("the name of a blob {rule}")), "{text:?}");
    }

    #[test]
    fn no_name_leads_anywhere() {
        for text in ["..", ".", "../x", "a/..", "a/../b", "a/./b", "./a", "..\u{2f}etc/passwd"] {
            check(text, Err("has `.` or `..` for a part"));
        }
        for text in ["/", "/etc/passwd", "a/", "a//b", "//", "/../x"] {
            check(text, Err("has an empty part"));
        }
        for text in ["\0", "a\0b", "a\nb", "\r", "\u{7f}", "\u{85}", "a\u{ffff}", "../\0"] {
            check(text, Err("has a control character"));
        }
        check("", Err("is empty"));
        check(&"a".repeat(513), Err("has 513 bytes, at most 512"));
        check(&"ä".repeat(257), Err("has 514 bytes, at most 512"));
    }

    #[test]
    fn what_only_looks_dangerous_is_a_name() {
        let strange =
            ["...", "..a", "a..", "a\\..\\b", "%2e%2e/x", "C:", "~", "-rf", "CON", "a b", " a", "ä/ö", "𐀀", "a\u{2028}b", "*?<>|\"'"];
        for text in strange {
            check(text, Ok(()));
        }
        check(&"a/".repeat(255), Err("has an empty part"));
        check(&"ä".repeat(256), Ok(()));
    }
}

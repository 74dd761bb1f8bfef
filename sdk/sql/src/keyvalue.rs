//! Rules of values by key that hold for both databases.

use crate::Error;

/// The first text that comes after all those that begin with `prefix`; none if there is none.
#[must_use]
pub fn end_of(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // Surrogates are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// `by` and the number that is `value`; one that is not there is 0.
///
/// # Errors
///
/// [`Error::Invalid`] if it is no number, or the sum has no place in 64 bits.
pub fn sum(key: &str, value: Option<&[u8]>, by: i64) -> Result<i64, Error> {
    let number: i64 = match value {
        None => 0,
        Some(value) => {
            let text = std::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'));
            let number = text.and_then(|text| text.parse().ok());
            number.ok_or_else(|| Error::Invalid(format!("the value of `{key}` is no number in decimal digits")))?
        }
    };
    number.checked_add(by).ok_or_else(|| Error::Invalid(format!("the sum for `{key}` has no place in 64 bits")))
}

/// Somebody else was faster.
#[must_use]
pub fn changed(key: &str) -> Error {
    Error::Conflict(format!("changed: the value of `{key}` is another one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_comes_after_everything_that_begins_with_it() {
        assert_eq!(end_of("ab").as_deref(), Some("ac"));
        assert_eq!(end_of(""), None);
        assert_eq!(end_of("\u{10ffff}"), None);
        assert_eq!(end_of("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of("\u{d7ff}").as_deref(), Some("\u{e000}"));
    }

    #[test]
    fn numbers_are_decimal_digits() {
        assert_eq!(sum("k", None, -3), Ok(-3));
        assert_eq!(sum("k", Some(b"-10"), 3), Ok(-7));
        for value in ["", "+1", " 1", "1.0", "x", "9223372036854775808"] {
            assert!(matches!(sum("k", Some(value.as_bytes()), 0), Err(Error::Invalid(_))), "{value}");
        }
        assert!(matches!(sum("k", Some(i64::MAX.to_string().as_bytes()), 1), Err(Error::Invalid(_))));
    }
}

//! Variables and quotes, as far as they occur where a base image is named.
//!
//! `$NAME`, `${NAME}`, `${NAME:-plain}` and `${NAME:+plain}`, in double quotes too; single quotes keep what is in them. All engines agree on these. Patterns, escapes, and substitutions inside of substitutions are refused.

/// `word` with its variables replaced and its quotes taken away. `lookup` answers the value of a variable; one that has none is empty.
///
/// # Errors
///
/// That nobody can tell, and why.
pub(super) fn expand(word: &str, lookup: &dyn Fn(&str) -> Result<Option<String>, String>) -> Result<String, String> {
    let mut expanded = String::new();
    let (mut rest, mut in_double) = (word, false);
    while let Some(character) = rest.chars().next() {
        let after = rest.split_at(character.len_utf8()).1;
        rest = match character {
            '\'' if !in_double => {
                let (literal, after) = after.split_once('\'').ok_or_else(|| format!("`{word}` has a quote without its end"))?;
                expanded.push_str(literal);
                after
            }
            '"' => {
                in_double = !in_double;
                after
            }
            '\\' | '`' => return Err(format!("`{word}` has an escape character")),
            '$' => {
                let (value, after) = variable(word, after, lookup)?;
                expanded.push_str(&value);
                after
            }
            _ => {
                expanded.push(character);
                after
            }
        };
    }
    if in_double { Err(format!("`{word}` has a quote without its end")) } else { Ok(expanded) }
}

/// The value of the variable whose name `text` begins with, and what stands behind it.
fn variable<'a>(word: &str, text: &'a str, lookup: &dyn Fn(&str) -> Result<Option<String>, String>) -> Result<(String, &'a str), String> {
    let cannot_tell = || format!("`{word}` has a substitution of a kind that is not known here");
    let Some(braced) = text.strip_prefix('{') else {
        let (name, after) = name(text).ok_or_else(cannot_tell)?;
        return Ok((lookup(name)?.unwrap_or_default(), after));
    };
    let (inside, after) = braced.split_once('}').ok_or_else(cannot_tell)?;
    let (name, modifier) = name(inside).ok_or_else(cannot_tell)?;
    let value = lookup(name)?.filter(|value| !value.is_empty() || modifier.is_empty());
    let is_plain = |text: &str| !text.contains(['$', '{', '"', '\'', '\\', '`']);
    let value = match (modifier.get(..2), modifier.get(2..)) {
        _ if modifier.is_empty() => value.unwrap_or_default(),
        (Some(":-"), Some(default)) if is_plain(default) => value.unwrap_or_else(|| default.to_owned()),
        (Some(":+"), Some(other)) if is_plain(other) => value.map(|_| other.to_owned()).unwrap_or_default(),
        _ => return Err(cannot_tell()),
    };
    Ok((value, after))
}

/// The name of a variable at the beginning of `text`, and what stands behind it.
fn name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_').unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    is_variable(name).then_some((name, after))
}

/// Whether `name` can be a variable's.
pub(super) fn is_variable(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The words of `text`, with their quotes.
pub(super) fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quote) = (None, None);
    for (place, character) in text.char_indices() {
        if quote.is_none() && character.is_whitespace() {
            words.extend(start.take().and_then(|start: usize| text.get(start..place)));
            continue;
        }
        start.get_or_insert(place);
        quote = match quote {
            None => Some(character).filter(|character| matches!(character, '"' | '\'')),
            Some(open) => Some(open).filter(|open| *open != character),
        };
    }
    words.extend(start.and_then(|start| text.get(start..)));
    words
}

//! From text to tokens. Comments are left out here, so that none of them reaches a database.

use crate::Error;

/// A token, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    /// The number of the character, from 1.
    pub(crate) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    /// A keyword or a name, in lower case.
    Word(String),
    /// A name in double quotes.
    Quoted(String),
    /// Digits.
    Integer(String),
    /// Digits with a point or an exponent.
    Real(String),
    /// What stands in single quotes.
    Text(String),
    /// `$1`.
    Parameter(usize),
    /// An operator or a mark.
    Symbol(&'static str),
}

const SYMBOLS: [&str; 20] = ["<>", "!=", "<=", ">=", "||", "(", ")", ",", ".", ";", "*", "+", "-", "/", "%", "=", "<", ">", "[", "]"];

/// The tokens of `sql`.
///
/// # Errors
///
/// [`Error::Invalid`] for what is no token of ours.
pub(crate) fn tokens(sql: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer { rest: sql, at: 1 };
    let mut tokens = Vec::new();
    while lexer.skip()? {
        let at = lexer.at;
        tokens.push(Token { kind: lexer.token()?, at });
    }
    Ok(tokens)
}

struct Lexer<'s> {
    rest: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    /// Goes on to the next token; false at the end.
    fn skip(&mut self) -> Result<bool, Error> {
        loop {
            let spaces = self.rest.find(|character: char| !character.is_ascii_whitespace()).unwrap_or(self.rest.len());
            self.take(spaces);
            if self.rest.starts_with("--") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").ok_or_else(|| self.wrong("a comment has no end"))?;
                self.take(end + 2);
            } else {
                return Ok(!self.rest.is_empty());
            }
        }
    }

    fn token(&mut self) -> Result<TokenKind, Error> {
        let first = self.rest.chars().next().unwrap_or_default();
        match first {
            'a'..='z' | 'A'..='Z' | '_' => Ok(TokenKind::Word(self.take_while(is_word).to_ascii_lowercase())),
            '0'..='9' => self.number(),
            '\'' => Ok(TokenKind::Text(self.quoted('\'')?)),
            '"' => Ok(TokenKind::Quoted(self.quoted('"')?)),
            '$' => {
                self.take(1);
                let digits = self.take_while(|character| character.is_ascii_digit());
                let number = digits.parse().ok().filter(|number| *number > 0);
                number.map(TokenKind::Parameter).ok_or_else(|| self.wrong("a parameter is `$1`, `$2`, …"))
            }
            '?' | ':' | '@' => Err(self.wrong("a parameter is `$1`, `$2`, …")),
            _ => {
                let symbol = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol));
                let symbol = *symbol.ok_or_else(|| self.wrong(&format!("`{first}` is no part of portable SQL")))?;
                self.take(symbol.len());
                Ok(TokenKind::Symbol(symbol))
            }
        }
    }

    fn number(&mut self) -> Result<TokenKind, Error> {
        let mut text = self.take_while(|character| character.is_ascii_digit()).to_owned();
        let mut real = false;
        let digit_after = |text: &str, skip: usize| text.as_bytes().get(skip).is_some_and(u8::is_ascii_digit);
        if self.rest.starts_with('.') && digit_after(self.rest, 1) {
            text += self.take(1);
            text += self.take_while(|character| character.is_ascii_digit());
            real = true;
        }
        let exponent = self.rest.starts_with(['e', 'E']);
        let signed = usize::from(self.rest.get(1..).is_some_and(|rest| rest.starts_with(['+', '-'])));
        if exponent && digit_after(self.rest, 1 + signed) {
            text += self.take(1 + signed);
            text += self.take_while(|character| character.is_ascii_digit());
            real = true;
        }
        if self.rest.starts_with(is_word) {
            return Err(self.wrong("a number is followed by letters"));
        }
        Ok(if real { TokenKind::Real(text) } else { TokenKind::Integer(text) })
    }

    /// What stands between two of `quote`, of which two stand for one.
    fn quoted(&mut self, quote: char) -> Result<String, Error> {
        let start = self.wrong("a quotation has no end");
        let mut text = String::new();
        self.take(1);
        loop {
            let end = self.rest.find(quote).ok_or_else(|| start.clone())?;
            text += self.take(end);
            self.take(1);
            if !self.rest.starts_with(quote) {
                return if text.contains('\0') { Err(self.wrong("a text has a NUL in it")) } else { Ok(text) };
            }
            text += self.take(1);
        }
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'s str {
        self.take(self.rest.find(|character| !fits(character)).unwrap_or(self.rest.len()))
    }

    fn take(&mut self, bytes: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.at += taken.chars().count();
        self.rest = rest;
        taken
    }

    fn wrong(&self, message: &str) -> Error {
        Error::Invalid(format!("{message}, at character {}", self.at))
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: &[&str]) {
        let found: Vec<String> = tokens(sql)
            .unwrap()
            .into_iter()
            .map(|token| match token.kind {
                TokenKind::Word(text) | TokenKind::Integer(text) | TokenKind::Real(text) => text,
                TokenKind::Quoted(text) => format!("\"{text}\""),
                TokenKind::Text(text) => format!("'{text}'"),
                TokenKind::Parameter(number) => format!("${number}"),
                TokenKind::Symbol(symbol) => symbol.to_owned(),
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_text_is_taken_apart() {
        check("SELECT a.B, 'it''s' -- no; comment\n/* ; */ FROM \"Ä\";", &["select", "a", ".", "b", ",", "'it's'", "from", "\"Ä\"", ";"]);
        check("1 1.5 1e3 1.5E-3 .5", &["1", "1.5", "1e3", "1.5E-3", ".", "5"]);
        check("$1<=$12||x", &["$1", "<=", "$12", "||", "x"]);
        check("--", &[]);
    }

    #[track_caller]
    fn check_refused(sql: &str, expected: &str) {
        let Err(Error::Invalid(message)) = tokens(sql) else { panic!("accepted") };
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn what_one_database_alone_has_is_no_token() {
        check_refused("SELECT `a`", "is no part of portable SQL, at character 8");
        check_refused("SELECT ?", "a parameter is `$1`");
        check_refused("SELECT $0", "a parameter is `$1`");
        check_refused("SELECT $$a$$", "a parameter is `$1`");
        check_refused("SELECT a::text", "a parameter is `$1`");
        check_refused("SELECT 0x1F", "followed by letters");
        check_refused("SELECT 'a", "a quotation has no end, at character 8");
        check_refused("/* SELECT", "a comment has no end");
        check_refused("SELECT ä", "`ä` is no part of portable SQL, at character 8");
    }
}

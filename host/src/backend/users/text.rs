//! The texts of sessions and tokens: 256 random bits that only the client keeps. The host has their sha256, which is enough to know one again; a slow hash would protect nothing that is random.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What tokens begin with, so that those who look for leaked secrets find them.
const TOKEN_PREFIX: &str = "wharf_";

/// 32 bytes without padding.
const ENCODED_BYTES: usize = 43;

/// The sha256 of a text: what the database knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sha256Key(pub(crate) [u8; 32]);

/// The text of a session or a token. Not to be logged, and `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretText(String);

impl SecretText {
    /// A new session.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(crate) fn session() -> Result<SecretText, getrandom::Error> {
        Ok(SecretText(random()?))
    }

    /// A new token.
    ///
    /// # Errors
    ///
    /// As [`SecretText::session`].
    pub(crate) fn token() -> Result<SecretText, getrandom::Error> {
        Ok(SecretText(format!("{TOKEN_PREFIX}{}", random()?)))
    }

    /// `text`, if it has the form of a session: what has not is none, and no database is asked.
    pub(crate) fn parse_session(text: &str) -> Option<SecretText> {
        is_encoded(text).then(|| SecretText(text.to_owned()))
    }

    /// As [`SecretText::parse_session`], for a token.
    pub(crate) fn parse_token(text: &str) -> Option<SecretText> {
        is_encoded(text.strip_prefix(TOKEN_PREFIX)?).then(|| SecretText(text.to_owned()))
    }

    /// The text itself, for the client.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What the database knows it by.
    pub(crate) fn key(&self) -> Sha256Key {
        Sha256Key(Sha256::digest(&self.0).into())
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretText(…)")
    }
}

fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn is_encoded(text: &str) -> bool {
    text.len() == ENCODED_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_random_known_by_its_form_and_never_shown() {
        let (session, token) = (SecretText::session().unwrap(), SecretText::token().unwrap());
        assert_ne!(session, SecretText::session().unwrap());
        assert_eq!(SecretText::parse_session(session.expose()), Some(session.clone()));
        assert_eq!(SecretText::parse_token(token.expose()), Some(token.clone()));
        assert_eq!((SecretText::parse_token(session.expose()), SecretText::parse_session(token.expose())), (None, None));
        for text in ["", "wharf_", &"x".repeat(42), &"x".repeat(44), &"é".repeat(22), &format!("{}=", "x".repeat(42))] {
            assert_eq!(SecretText::parse_session(text), None, "{text}");
        }
        assert_eq!(format!("{token:?}"), "SecretText(…)");
    }
}

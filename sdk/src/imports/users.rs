//! The imports of `wharf:identity`.

use super::Imports;
use crate::bindings::wharf::identity::{principal, sessions, tokens, types};
use crate::error::Error;
use crate::identity::Principal;
use crate::identity::principal::Authentication;
use crate::identity::sessions::Session;
use crate::identity::tokens::{Token, TokenInfo, TokenRequest};

impl Imports {
    pub(crate) fn has_users(&self) -> Result<bool, Error> {
        Ok(principal::has_users()?)
    }

    pub(crate) fn principal_current(&self) -> Result<Authentication, Error> {
        Ok(match principal::current()? {
            principal::Authentication::Anonymous => Authentication::Anonymous,
            principal::Authentication::Known(known) => Authentication::Known(known.into()),
            principal::Authentication::Rejected(scheme) => Authentication::Rejected(scheme),
        })
    }

    pub(crate) fn principal_users(&self, ids: &[u64]) -> Vec<Result<Principal, Error>> {
        principal::users(ids).into_iter().map(|user| user.map(Principal::from).map_err(Error::from)).collect()
    }

    pub(crate) fn session_login(&self, name: &str, password: &str) -> Result<Option<Session>, Error> {
        Ok(sessions::login(name, password)?.map(Session::from))
    }

    pub(crate) fn session_refresh(&self) -> Result<Session, Error> {
        Ok(sessions::refresh()?.into())
    }

    pub(crate) fn session_logout(&self) -> Result<Session, Error> {
        Ok(sessions::logout()?.into())
    }

    pub(crate) fn token_login(&self, name: &str, password: &str, requests: &[TokenRequest]) -> Result<Option<Vec<Token>>, Error> {
        let requests: Vec<tokens::TokenRequest> = requests.iter().map(token_request).collect();
        Ok(tokens::login(name, password, &requests)?.map(|issued| issued.into_iter().map(Token::from).collect()))
    }

    pub(crate) fn token_exchange(&self, token: &str, kind: &str, request: &TokenRequest) -> Result<Token, Error> {
        Ok(tokens::exchange(token, kind, &token_request(request))?.into())
    }

    pub(crate) fn token_verify(&self, token: &str) -> Result<TokenInfo, Error> {
        let tokens::TokenInfo { principal, kind, expires_ms } = tokens::verify(token)?;
        Ok(TokenInfo { principal: principal.into(), kind, expires_ms })
    }

    pub(crate) fn token_revoke(&self, token: &str) -> Result<(), Error> {
        Ok(tokens::revoke(token)?)
    }
}

fn token_request(request: &TokenRequest) -> tokens::TokenRequest {
    tokens::TokenRequest { kind: request.kind.clone(), lifetime_secs: request.lifetime_secs }
}

impl From<types::Principal> for Principal {
    fn from(principal: types::Principal) -> Principal {
        Principal { id: principal.id, name: principal.name, roles: principal.roles }
    }
}

impl From<sessions::Session> for Session {
    fn from(session: sessions::Session) -> Session {
        let sessions::Session { principal, set_cookie, began_ms, expires_ms } = session;
        Session { principal: principal.into(), set_cookie, began_ms, expires_ms }
    }
}

impl From<tokens::Token> for Token {
    fn from(token: tokens::Token) -> Token {
        Token { text: token.text, kind: token.kind, expires_ms: token.expires_ms }
    }
}

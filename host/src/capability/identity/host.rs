//! The functions of `wharf:identity`.
//!
//! A function is: `enter` (count, power), parse, ask. Its failure becomes the plugin's word in one place, [`Failure::answer`]. What a login or a logout leaves in the audit log is written by `backend/users`.

use std::sync::Arc;

use super::error::Failure;
use super::grant::{Power, may_begin_session};
use super::{IdentityCtxView, MAX_TOKENS, MAX_USERS, convert};
use crate::backend::users::{SecretText, SiteUsers, TokenRequest};
use crate::bindings::wharf::identity::types::{self, Error};
use crate::bindings::wharf::identity::{principal, sessions, tokens};

impl types::Host for IdentityCtxView<'_> {}

impl principal::Host for IdentityCtxView<'_> {
    async fn has_users(&mut self) -> Result<bool, Error> {
        const FUNCTION: &str = "identity.principal.has-users";
        let asked = async { Ok(self.enter(FUNCTION, Power::Principal)?.has_users().await?) };
        let asked: Result<_, Failure> = asked.await;
        asked.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn current(&mut self) -> Result<principal::Authentication, Error> {
        const FUNCTION: &str = "identity.principal.current";
        let asked = self.enter(FUNCTION, Power::Principal);
        asked.map(|_| convert::authentication(&self.call.caller.authentication)).map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn users(&mut self, ids: Vec<u64>) -> Vec<Result<types::Principal, Error>> {
        const FUNCTION: &str = "identity.principal.users";
        let asked = async {
            let users = self.enter(FUNCTION, Power::Principal)?;
            if ids.len() > MAX_USERS {
                return Err(Failure::Invalid(format!("{} numbers in one call, at most {MAX_USERS}", ids.len())));
            }
            Ok(users.users(&ids).await?)
        };
        let asked: Result<_, Failure> = asked.await;
        match asked {
            Ok(users) => users.into_iter().map(|user| user.map(convert::principal).ok_or(Error::NotFound)).collect(),
            Err(failure) => {
                let error = failure.answer(self.call, FUNCTION);
                ids.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }
}

impl sessions::Host for IdentityCtxView<'_> {
    async fn login(&mut self, name: String, password: String) -> Result<Option<sessions::Session>, Error> {
        const FUNCTION: &str = "identity.sessions.login";
        let begun = async {
            let users = self.enter(FUNCTION, Power::Sessions)?;
            may_begin_session(&self.call.caller)?;
            let _paused = self.call.clock.pause();
            let session = users.begin_session(&name, &password, self.call.caller.peer).await?;
            let now_ms = users.now_ms();
            Ok(session.map(|session| convert::session(session, &users.site, self.call.caller.is_secure, now_ms)))
        };
        let begun: Result<_, Failure> = begun.await;
        begun.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn refresh(&mut self) -> Result<sessions::Session, Error> {
        const FUNCTION: &str = "identity.sessions.refresh";
        let refreshed = async {
            let (users, text) = self.session(FUNCTION)?;
            let session = users.refresh_session(&text).await?.ok_or(Failure::Gone)?;
            Ok(convert::session(session, &users.site, self.call.caller.is_secure, users.now_ms()))
        };
        let refreshed: Result<_, Failure> = refreshed.await;
        refreshed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn logout(&mut self) -> Result<sessions::Session, Error> {
        const FUNCTION: &str = "identity.sessions.logout";
        let ended = async {
            let (users, text) = self.session(FUNCTION)?;
            let session = users.end_session(&text).await?.ok_or(Failure::Gone)?;
            Ok(convert::ended_session(session, &users.site, self.call.caller.is_secure))
        };
        let ended: Result<_, Failure> = ended.await;
        ended.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl tokens::Host for IdentityCtxView<'_> {
    async fn login(
        &mut self,
        name: String,
        password: String,
        requests: Vec<tokens::TokenRequest>,
    ) -> Result<Option<Vec<tokens::Token>>, Error> {
        const FUNCTION: &str = "identity.tokens.login";
        let issued = async {
            let users = self.enter(FUNCTION, Power::Tokens)?;
            if requests.len() > MAX_TOKENS {
                return Err(Failure::Invalid(format!("{} tokens in one call, at most {MAX_TOKENS}", requests.len())));
            }
            let requests = requests.into_iter().map(convert::token_request).collect::<Result<Vec<TokenRequest>, _>>()?;
            let _paused = self.call.clock.pause();
            let issued = users.login_tokens(&name, &password, self.call.caller.peer, &requests).await?;
            Ok(issued.map(|tokens| tokens.into_iter().map(convert::token).collect()))
        };
        let issued: Result<_, Failure> = issued.await;
        issued.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn exchange(&mut self, token: String, kind: String, request: tokens::TokenRequest) -> Result<tokens::Token, Error> {
        const FUNCTION: &str = "identity.tokens.exchange";
        let issued = async {
            let users = self.enter(FUNCTION, Power::Tokens)?;
            let request = convert::token_request(request)?;
            let text = SecretText::parse_token(&token).ok_or(Failure::Gone)?;
            let issued = users.exchange(&text, &kind, request).await?;
            issued.map(convert::token).ok_or(Failure::Gone)
        };
        let issued: Result<_, Failure> = issued.await;
        issued.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn verify(&mut self, token: String) -> Result<tokens::TokenInfo, Error> {
        const FUNCTION: &str = "identity.tokens.verify";
        let verified = async {
            let users = self.enter(FUNCTION, Power::Tokens)?;
            let text = SecretText::parse_token(&token).ok_or(Failure::Gone)?;
            users.token(&text).await?.map(convert::token_info).ok_or(Failure::Gone)
        };
        let verified: Result<_, Failure> = verified.await;
        verified.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn revoke(&mut self, token: String) -> Result<(), Error> {
        const FUNCTION: &str = "identity.tokens.revoke";
        let revoked = async {
            let users = self.enter(FUNCTION, Power::Tokens)?;
            match SecretText::parse_token(&token) {
                Some(text) => Ok(users.revoke(&text).await?),
                None => Ok(()),
            }
        };
        let revoked: Result<_, Failure> = revoked.await;
        revoked.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl IdentityCtxView<'_> {
    /// Counts a call, and checks that its power was granted.
    fn enter(&mut self, function: &'static str, power: Power) -> Result<Arc<SiteUsers>, Failure> {
        self.call.begin(function)?;
        Ok(self.room.users(power)?)
    }

    /// As [`IdentityCtxView::enter`], for what concerns the session that the request came with.
    fn session(&mut self, function: &'static str) -> Result<(Arc<SiteUsers>, SecretText), Failure> {
        let users = self.enter(function, Power::Sessions)?;
        let text = self.call.caller.session.clone().ok_or(Failure::Gone)?;
        Ok((users, text))
    }
}

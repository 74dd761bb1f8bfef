//! The functions of `wharf:config/config`.

use super::ConfigCtxView;
use crate::backend::secret;
use crate::bindings::wharf::config::config::{Error, Host};

impl Host for ConfigCtxView<'_> {
    fn document(&mut self) -> String {
        self.settings.document.clone()
    }

    async fn reveal(&mut self, name: String) -> Result<String, Error> {
        const FUNCTION: &str = "config.config.reveal";
        self.call.begin(FUNCTION).map_err(|_| Error::QuotaExceeded)?;
        let source = self.settings.config.secrets.get(&name).ok_or(Error::NotFound)?;
        self.call.permitted(FUNCTION, &format!("secret {name}"));
        secret::read(source).await.map_err(Error::Unavailable)
    }
}

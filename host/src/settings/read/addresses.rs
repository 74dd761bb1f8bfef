//! Addresses on the web that the operator writes. What is secret does not stand in them: they are shown in messages and in the log.

use url::Url;

use crate::settings::location::Located;
use crate::settings::report::quoted;
use crate::settings::section::Section;

/// The address that `written`, at `key`, is: of the scheme `http` or `https`, without a name, a password or a fragment.
pub(super) fn web_address(section: &Section<'_>, key: &str, written: &Located<String>) -> Option<Url> {
    let url = Url::parse(&written.value).ok();
    let key = quoted(key);
    let (message, remedy) = match &url {
        // Not repeated: it is the one place where somebody writes a password into an address.
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            (format!("{key} has a name or a password in it"), "leave them out: it is asked without")
        }
        Some(url) if !matches!(url.scheme(), "http" | "https") => {
            (format!("{key}: unknown scheme {}", quoted(url.scheme())), "write an address that begins with `https://` or `http://`")
        }
        Some(url) if url.fragment().is_some() => {
            (format!("{key}: {} has a fragment", quoted(&written.value)), "leave out what follows the `#`")
        }
        Some(_) => return url,
        None => (format!("{key}: {} is no address", quoted(&written.value)), "write one such as `https://hub.example`"),
    };
    section.mistake(&written.at, message, Some(remedy.to_owned()));
    None
}

/// As [`web_address`], of something to which the host adds a path and a query.
pub(super) fn server_address(section: &Section<'_>, key: &str, written: &Located<String>) -> Option<Url> {
    let url = web_address(section, key, written)?;
    if url.query().is_none() {
        return Some(url);
    }
    let message = format!("{}: {} has a query", quoted(key), quoted(&written.value));
    section.mistake(&written.at, message, Some("leave out what follows the `?`: the host adds its own".to_owned()));
    None
}

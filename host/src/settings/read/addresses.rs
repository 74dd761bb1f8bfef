//! Addresses on the web that the operator writes. What is secret does not stand in them: they are shown in messages and in the log.

use url::Url;

use crate::settings::location::Located;
use crate::settings::report::quoted;
use crate::settings::section::Section;

/// The address that `written`, at `key`, is: of the scheme `http` or `https`, without a name, a password or a fragment.
pub(super) fn web_address(section: &Section<'_>, key: &str, written: &Located<String>) -> Option<Url> {
    let url = Url::parse(&written.value).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let remedy = match &url {
        None => "write one such as `https://hub.example`",
        Some(url) if !url.username().is_empty() || url.password().is_some() => "leave out the name and the password: it is asked without",
        Some(url) if url.fragment().is_some() => "leave out what follows the `#`",
        Some(_) => return url,
    };
    let message = format!("{}: {} is not an address that can be asked", quoted(key), quoted(&written.value));
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

//! `sealed`: texts that only this plugin can open again, for what must not stand in a database as it is. The key never leaves the host.

use super::Error;
use crate::host::with;

/// Seals `plain`, at most 64 KiB. The same text is sealed differently each time.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::Invalid`], [`Error::Internal`].
pub fn seal(plain: &[u8]) -> Result<Vec<u8>, Error> {
    with(|host| host.seal(plain))
}

/// Opens what [`seal`] answered to this plugin of this site.
///
/// # Errors
///
/// [`Error::Denied`]; [`Error::Invalid`] for anything else, and for what was changed; [`Error::Internal`].
pub fn open(sealed: &[u8]) -> Result<Vec<u8>, Error> {
    with(|host| host.unseal(sealed))
}

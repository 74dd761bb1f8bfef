//! Texts that only one plugin of one site can open again, and the one key of the host from which everybody's own is derived.
//!
//! The key is in a file below the data directory, which is made at first use, or where the operator says. What was sealed with one key cannot be opened with another, so that the mark of the key that
//! was used first is kept beside the data: another key, or none where there was one, is an error with a name and never a new key. Texts are sealed by XChaCha20-Poly1305 with a key of the plugin's own,
//! a nonce of chance, and the names of site and plugin as associated data.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2_of_hkdf::Sha256;

use crate::backend::database::SpaceName;
use crate::backend::secret;
use crate::settings::{SecretSource, StorageSettings};

/// Says how the rest is to be read.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
/// A key has at least so many bytes: that of 256 bits in hexadecimal has 64, and nobody remembers one of 32.
const MIN_KEY_BYTES: usize = 32;

/// The host's key, read when it is first needed. Its clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Seals(Arc<tokio::sync::Mutex<State>>, Arc<std::sync::Mutex<Option<Place>>>);

#[derive(Default)]
struct State {
    /// Where `master` was read from.
    place: Option<Place>,
    master: Option<Arc<Hkdf<Sha256>>>,
}

/// Where the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    source: Option<SecretSource>,
    folder: PathBuf,
}

/// Why a text was not sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// Nobody has sealed it for this plugin, or it was changed.
    #[error("it was not sealed for this plugin, or it was changed")]
    NotOurs,
    /// The key cannot be had, or is another one.
    #[error("{0}")]
    Key(String),
}

impl Seals {
    /// Puts `settings` into force.
    pub(crate) fn configure(&self, settings: &StorageSettings) {
        let place = Place { source: settings.seal_key.clone(), folder: settings.folder.clone() };
        *self.1.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(place);
    }

    /// Seals `plain` for `owner`.
    ///
    /// # Errors
    ///
    /// [`SealError::Key`].
    pub(crate) async fn seal(&self, owner: &SpaceName, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let cipher = self.cipher(owner).await?;
        let nonce = XNonce::try_generate().map_err(|error| SealError::Key(format!("there is no randomness: {error}")))?;
        let payload = Payload { msg: plain, aad: &names(owner) };
        let sealed = cipher.encrypt(&nonce, payload).map_err(|_| SealError::Key("the text cannot be sealed".to_owned()))?;
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for `owner`.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub(crate) async fn open(&self, owner: &SpaceName, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let Some((VERSION, rest)) = sealed.split_first().map(|(version, rest)| (*version, rest)) else {
            return Err(SealError::NotOurs);
        };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::NotOurs)?;
        let payload = Payload { msg: sealed, aad: &names(owner) };
        self.cipher(owner).await?.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::NotOurs)
    }

    /// What tells this key from others without telling anything else of it.
    ///
    /// # Errors
    ///
    /// [`SealError::Key`].
    pub(crate) async fn mark(&self) -> Result<String, SealError> {
        mark(&*self.master().await?)
    }

    /// The password of the database's role `name`.
    ///
    /// # Errors
    ///
    /// [`SealError::Key`].
    pub(crate) async fn password(&self, name: &str) -> Result<String, SealError> {
        derived::<24>(&*self.master().await?, "wharf role 1", name.as_bytes()).map(|bytes| hexadecimal(&bytes))
    }

    async fn cipher(&self, owner: &SpaceName) -> Result<XChaCha20Poly1305, SealError> {
        let key = derived::<32>(&*self.master().await?, "wharf seal 1", &names(owner))?;
        Ok(XChaCha20Poly1305::new(&Key::from(key)))
    }

    async fn master(&self) -> Result<Arc<Hkdf<Sha256>>, SealError> {
        let place = self.1.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let place = place.ok_or_else(|| SealError::Key("no seal key is configured".to_owned()))?;
        let mut state = self.0.lock().await;
        if let (Some(known), Some(master)) = (&state.place, &state.master)
            && *known == place
        {
            return Ok(Arc::clone(master));
        }
        let configured = match &place.source {
            Some(source) => {
                Some(secret::read(source).await.map_err(|reason| SealError::Key(format!("`seal_key` of `[storage]`: {reason}")))?)
            }
            None => None,
        };
        let folder = place.folder.clone();
        let read = tokio::task::spawn_blocking(move || master(configured, &folder)).await;
        let master = Arc::new(read.map_err(|error| SealError::Key(error.to_string())).flatten()?);
        *state = State { place: Some(place), master: Some(Arc::clone(&master)) };
        Ok(master)
    }
}

/// The key, which must be the one that was used before. Blocks.
fn master(configured: Option<String>, folder: &Path) -> Result<Hkdf<Sha256>, SealError> {
    let (file, mark_file) = (folder.join("seal.key"), folder.join("seal.mark"));
    let failed = |path: &Path, error: &io::Error| SealError::Key(format!("the seal key: failed to use `{}`: {error}", path.display()));
    let known = match std::fs::read_to_string(&mark_file) {
        Ok(mark) => Some(mark.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(&mark_file, &error)),
    };
    let is_configured = configured.is_some();
    let key = match configured {
        Some(key) => key,
        None => match std::fs::read_to_string(&file) {
            Ok(key) => key,
            Err(error) if error.kind() == io::ErrorKind::NotFound && known.is_none() => {
                make_key(&file).map_err(|error| failed(&file, &error))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!(
                    "the seal key `{}` is gone, and what was sealed with it cannot be opened with another: put it back, or set `seal_key` of `[storage]` to it",
                    file.display()
                );
                return Err(SealError::Key(message));
            }
            Err(error) => return Err(failed(&file, &error)),
        },
    };
    let key = key.trim();
    if key.len() < MIN_KEY_BYTES {
        let what = if is_configured { "`seal_key` of `[storage]`".to_owned() } else { format!("the seal key `{}`", file.display()) };
        return Err(SealError::Key(format!("{what} has {} bytes, at least {MIN_KEY_BYTES}: `openssl rand -hex 32` makes one", key.len())));
    }
    let master = Hkdf::<Sha256>::new(None, key.as_bytes());
    let found = mark(&master)?;
    let known = match known {
        Some(known) => known,
        None => write_new(&mark_file, &found).map_err(|error| failed(&mark_file, &error))?,
    };
    if known != found {
        let message = format!(
            "the seal key is not the one that was used before, and what was sealed with that cannot be opened with it: bring the old one back, \
                 or remove `{}` to go on without what was sealed",
            mark_file.display()
        );
        return Err(SealError::Key(message));
    }
    Ok(master)
}

/// Makes a key and keeps it in `file`. Blocks.
fn make_key(file: &Path) -> io::Result<String> {
    let key = Key::try_generate().map_err(io::Error::other)?;
    write_new(file, &hexadecimal(&key))
}

/// Writes `text` into the new file `path`, which only the host's user may read and which is there after a loss of power too; and answers what is in it, which is another's text if that was faster. Blocks.
fn write_new(path: &Path, text: &str) -> io::Result<String> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let written = path.with_extension(format!("{:016x}", fastrand::u64(..)));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&written)?;
    let linked = writeln!(file, "{text}").and_then(|()| file.sync_all()).and_then(|()| std::fs::hard_link(&written, path));
    std::fs::remove_file(&written)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => std::fs::File::open(folder)?.sync_all()?,
    }
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}

fn mark(master: &Hkdf<Sha256>) -> Result<String, SealError> {
    derived::<16>(master, "wharf mark 1", b"").map(|bytes| hexadecimal(&bytes))
}

/// Bytes for one purpose and one owner.
fn derived<const N: usize>(master: &Hkdf<Sha256>, purpose: &str, of: &[u8]) -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    let expanded = master.expand_multi_info(&[purpose.as_bytes(), &[0], of], &mut bytes);
    expanded.map_err(|error| SealError::Key(error.to_string()))?;
    Ok(bytes)
}

/// Site and plugin. Neither name has a NUL in it.
fn names(owner: &SpaceName) -> Vec<u8> {
    format!("{}\0{}", owner.site, owner.plugin).into_bytes()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(site: &str, plugin: &str) -> SpaceName {
        SpaceName { site: site.to_owned(), plugin: plugin.to_owned() }
    }

    fn seals(folder: &Path, key: Option<&Path>) -> Seals {
        let seals = Seals::default();
        let place = Place { source: key.map(|path| SecretSource::File(path.to_owned())), folder: folder.to_owned() };
        *seals.1.lock().unwrap() = Some(place);
        seals
    }

    #[tokio::test]
    async fn what_was_sealed_is_opened_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let seals = seals(&folder.path().join("storage"), None);
        let sealed = seals.seal(&owner("a", "b"), b"secret").await.unwrap();
        assert_eq!(seals.open(&owner("a", "b"), &sealed).await, Ok(b"secret".to_vec()));
        assert_ne!(seals.seal(&owner("a", "b"), b"secret").await.unwrap(), sealed);
        for other in [owner("a", "c"), owner("c", "b"), owner("a\0b", ""), owner("", "a\0b")] {
            assert_eq!(seals.open(&other, &sealed).await, Err(SealError::NotOurs), "{other:?}");
        }
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(seals.open(&owner("a", "b"), &changed).await, Err(SealError::NotOurs));
        }
        for length in 0..sealed.len() {
            assert_eq!(seals.open(&owner("a", "b"), &sealed[..length]).await, Err(SealError::NotOurs));
        }
    }

    #[tokio::test]
    async fn the_key_is_made_once_and_missed_when_it_is_gone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let sealed = seals(folder.path(), None).seal(&owner("a", "b"), b"secret").await.unwrap();
        let file = folder.path().join("seal.key");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(seals(folder.path(), None).open(&owner("a", "b"), &sealed).await, Ok(b"secret".to_vec()));
        let key = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let gone = seals(folder.path(), None).seal(&owner("a", "b"), b"x").await.unwrap_err().to_string();
        assert!(gone.contains("is gone") && !file.exists(), "{gone}");
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, &key).unwrap();
        assert_eq!(seals(folder.path(), Some(&elsewhere)).open(&owner("a", "b"), &sealed).await, Ok(b"secret".to_vec()));
        std::fs::write(&elsewhere, key.replace(|_: char| true, "7")).unwrap();
        let other = seals(folder.path(), Some(&elsewhere)).mark().await.unwrap_err().to_string();
        assert!(other.contains("is not the one that was used before"), "{other}");
        std::fs::write(&elsewhere, "short").unwrap();
        let short = seals(folder.path(), Some(&elsewhere)).mark().await.unwrap_err().to_string();
        assert!(short.contains("has 5 bytes, at least 32"), "{short}");
    }
}

//! Compiled code, kept under the data directory so that a start takes milliseconds and not seconds.
//!
//! A file's name is the sha256 of the component, the hash of everything in wasmtime that shapes code (version, target, settings) and the sha256 of the code itself is its first line, so that a file that was
//! cut short or changed is not used. Only the host writes here: the directory is readable by its owner alone, files appear by rename, and an operator's
//! own `.cwasm` is never loaded, because machine code that somebody else made can do anything.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// How long a sha256 in hex is.
const HEX_DIGEST_BYTES: usize = 64;

/// The directory of compiled code.
#[derive(Debug, Clone)]
pub(crate) struct CodeCache {
    directory: PathBuf,
}

impl CodeCache {
    /// The cache below `data_dir`, made if it is missing.
    ///
    /// # Errors
    ///
    /// If the directory cannot be made.
    pub(crate) fn open(data_dir: &Path) -> io::Result<CodeCache> {
        let directory = data_dir.join("code");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(CodeCache { directory })
    }

    /// The compiled form of `wasm`, whose sha256 is `digest`: from the cache, or compiled now and kept. Blocks for as long as compiling takes.
    ///
    /// # Errors
    ///
    /// Wasmtime's reason when `wasm` cannot be compiled. A cache that cannot be read or written is logged and done without.
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8], digest: &str) -> wasmtime::Result<Component> {
        let path = self.directory.join(format!("{digest}-{:016x}.code", compatibility(engine)));
        if let Some(component) = self.load(engine, &path) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, wasm)?;
        if let Err(error) = component.serialize().map_err(io::Error::other).and_then(|code| self.store(&path, &code)) {
            tracing::warn!(path = %path.display(), %error, "cannot keep compiled code; it will be compiled again at the next start");
        }
        Ok(component)
    }

    fn load(&self, engine: &Engine, path: &Path) -> Option<Component> {
        let file = fs::read(path).ok()?;
        let (expected, code) = file.split_at_checked(HEX_DIGEST_BYTES)?;
        if sha256_hex(code).as_bytes() != expected {
            tracing::warn!(path = %path.display(), "compiled code was changed or cut short; compiling again");
            return None;
        }
        deserialize(engine, code)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "compiled code does not fit; compiling again"))
            .ok()
    }

    fn store(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let unfinished = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(sha256_hex(code).as_bytes())?;
        file.write_all(code)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    }
}

/// The sha256 of `bytes` in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

#[expect(unsafe_code, reason = "machine code can only be trusted, not checked: this file's header says why it is ours")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what `Component::serialize` made in `CodeCache::store`, in a directory that only the host's own user can write, and its sha256 was compared.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn stored(cache: &CodeCache) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(&cache.directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn code_that_was_changed_is_compiled_again() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(directory.path()).unwrap();
        let engine = Engine::default();
        cache.compile(&engine, EMPTY_COMPONENT, "digest").unwrap();
        let path = stored(&cache);
        assert!(cache.load(&engine, &path).is_some());

        let mut code = fs::read(&path).unwrap();
        *code.last_mut().unwrap() ^= 1;
        fs::write(&path, &code).unwrap();
        assert!(cache.load(&engine, &path).is_none());
        fs::write(&path, &code[..40]).unwrap();
        assert!(cache.load(&engine, &path).is_none());

        cache.compile(&engine, EMPTY_COMPONENT, "digest").unwrap();
        assert!(cache.load(&engine, &path).is_some());
    }
}

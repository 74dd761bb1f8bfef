//! Compiled code, kept under the data directory so that a start takes milliseconds and not seconds.
//!
//! A file's name is the sha256 of the component and the hash of everything in wasmtime that shapes code (version, target, settings); the sha256 of the code itself is its first line, so that a file
//! that was cut short or changed is not used. That line is no signature: machine code that somebody else made can do anything, and whoever can write a file here could give it the right
//! digest. So only the host writes here: the directory is refused unless it belongs to the user of this process and nobody else may write to it, it is held open from that check on, so that no other can be
//! put in its place, files appear by rename, and an operator's own `.cwasm` is never loaded. Where no directory is wanted (`wharf plugin inspect`) code is compiled in memory.
//!
//! What is of no use any more is removed by [`CodeCache::sweep`], after a start has loaded its plugins and thereby touched what it uses: first sweeping and then loading would throw away, after a month
//! without a restart, exactly the code that is about to be needed.

use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// How long a sha256 in hex is.
const HEX_DIGEST_BYTES: usize = 64;

/// The bits of a directory's mode that let its group or others write to it.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// After so long without use, compiled code is removed. A plugin that was taken out, or replaced by another version, is put back within days or not at all; being wrong costs one compilation,
/// and keeping everything costs a device with a small disk a few MiB for each version of each plugin that it ever had.
const UNUSED_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where compiled code is kept.
#[derive(Debug, Clone)]
pub(crate) struct CodeCache {
    /// None compiles in memory and keeps nothing.
    directory: Option<Arc<Directory>>,
}

/// The directory, held open.
#[derive(Debug)]
struct Directory {
    /// For messages; another directory may have this name by now.
    shown: PathBuf,
    handle: File,
}

/// Why a directory of compiled code cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CodeCacheError {
    /// It cannot be made or opened.
    #[error("failed to prepare `{path}`, where compiled code is kept; name a directory that this user can write as `data_dir`")]
    Prepare {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is somebody else's, who could put machine code into it.
    #[error(
        "`{path}`, where compiled code is kept, belongs to user {owner}, and this process runs as user {user}, which cannot trust it; \
         run as user {owner}, remove the directory, or name another `data_dir`"
    )]
    Owner {
        /// The directory.
        path: PathBuf,
        /// The user that it belongs to.
        owner: u32,
        /// The user of this process.
        user: u32,
    },
    /// Others could put machine code into it, or have done so.
    #[error(
        "others may write to `{path}`, where compiled code is kept (its mode is {mode:03o}); \
         remove it with what is in it, and it will be made anew"
    )]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl CodeCache {
    /// The cache below `data_dir`, made if it is missing.
    ///
    /// # Errors
    ///
    /// If the directory cannot be made, or others could have written to it.
    pub(crate) fn open(data_dir: &Path) -> Result<CodeCache, CodeCacheError> {
        let shown = place(data_dir);
        let failed = |source| CodeCacheError::Prepare { path: shown.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&shown).map_err(failed)?;
        let handle = File::open(&shown).map_err(failed)?;
        trusted(&shown, &handle.metadata().map_err(failed)?, rustix::process::geteuid().as_raw())?;
        Ok(CodeCache { directory: Some(Arc::new(Directory { shown, handle })) })
    }

    /// As [`CodeCache::open`] where a cache of this user is there, and else as [`CodeCache::in_memory`]: for a command that should leave nothing behind, least of all a directory that belongs to the wrong user.
    ///
    /// # Errors
    ///
    /// As [`CodeCache::open`], but the superuser may meet a cache of the user that the host runs as.
    pub(crate) fn open_existing(data_dir: &Path) -> Result<CodeCache, CodeCacheError> {
        if !place(data_dir).exists() {
            return Ok(CodeCache::in_memory());
        }
        match CodeCache::open(data_dir) {
            // An administrator looks after a host that runs as somebody else, whose machine code is not for the superuser to run.
            Err(CodeCacheError::Owner { user: 0, .. }) => Ok(CodeCache::in_memory()),
            opened => opened,
        }
    }

    /// A cache that keeps nothing.
    pub(crate) fn in_memory() -> CodeCache {
        CodeCache { directory: None }
    }

    /// The compiled form of `wasm`, whose sha256 is `digest`: from the cache, or compiled now and kept. Blocks for as long as compiling takes.
    ///
    /// # Errors
    ///
    /// Wasmtime's reason when `wasm` cannot be compiled. A cache that cannot be read or written is logged and done without.
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8], digest: &str) -> wasmtime::Result<Component> {
        let Some(directory) = &self.directory else { return compile_apart(engine, wasm) };
        let name = format!("{digest}{}", suffix(engine));
        if let Some(component) = directory.load(engine, &name) {
            return Ok(component);
        }
        let component = compile_apart(engine, wasm)?;
        if let Err(error) = component.serialize().map_err(io::Error::other).and_then(|code| directory.store(&name, &code)) {
            let path = directory.shown.join(name);
            tracing::warn!(path = %path.display(), %error, "cannot keep compiled code; it will be compiled again at the next start");
            return Ok(component);
        }
        // What is mapped from the file, the system may take from memory again; what the compiler made, it may not.
        Ok(directory.load(engine, &name).unwrap_or(component))
    }

    /// Removes what is of no use any more: code that `engine` cannot run, code that nobody used for [`UNUSED_AFTER`] before `now`, and what an interrupted process left half written. Blocks.
    ///
    /// What cannot be removed stays, and is logged.
    pub(crate) fn sweep(&self, engine: &Engine, now: SystemTime) {
        let Some(directory) = &self.directory else { return };
        let entries = match fs::read_dir(directory.path("")) {
            Ok(entries) => entries,
            Err(error) => return tracing::warn!(path = %directory.shown.display(), %error, "cannot look for old compiled code"),
        };
        let suffix = suffix(engine);
        for entry in entries.flatten().filter(|entry| is_useless(entry, &suffix, now)) {
            let path = directory.shown.join(entry.file_name());
            match fs::remove_file(entry.path()) {
                Ok(()) => tracing::debug!(path = %path.display(), "removed compiled code that is of no use any more"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove old compiled code"),
            }
        }
    }
}

/// Compiles in threads that end with it, so that what the compiler held goes back to the system: threads that stay keep tens of MiB for the next time, which is a new version of a plugin some day.
fn compile_apart(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
    let threads = rayon::ThreadPoolBuilder::new().thread_name(|_| "wasm-compiler".to_owned()).build()?;
    threads.install(|| Component::from_binary(engine, wasm))
}

impl Directory {
    /// The file `name` of the directory that was checked, wherever that is by now.
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.handle.as_raw_fd()))
    }

    fn load(&self, engine: &Engine, name: &str) -> Option<Component> {
        let shown = self.shown.join(name);
        let mut file = File::open(self.path(name)).ok()?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).ok()?;
        let (expected, code) = content.split_at_checked(HEX_DIGEST_BYTES)?;
        if sha256_hex(code).as_bytes() != expected {
            tracing::warn!(path = %shown.display(), "compiled code was changed or cut short; compiling again");
            return None;
        }
        // The time at which it was last used, for `sweep`. The time of access is not kept on many devices.
        let _ = file.set_modified(SystemTime::now());
        deserialize(engine, code)
            .inspect_err(|error| tracing::warn!(path = %shown.display(), %error, "compiled code does not fit; compiling again"))
            .ok()
    }

    fn store(&self, name: &str, code: &[u8]) -> io::Result<()> {
        // A name of its own: another thread or process may be writing the same code.
        let unfinished = self.path(&format!("{name}.{:016x}.new", fastrand::u64(..)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        // For as long as the lock is held, `sweep` knows that somebody is at work. Not every file system has locks.
        let _ = file.try_lock();
        let mut write = || {
            file.write_all(sha256_hex(code).as_bytes())?;
            file.write_all(code)?;
            file.sync_all()?;
            fs::rename(&unfinished, self.path(name))
        };
        write().inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }
}

/// Where below `data_dir` compiled code is kept.
fn place(data_dir: &Path) -> PathBuf {
    data_dir.join("code")
}

/// Whether nobody but `user` can have written to the directory `path`, which `metadata` is of. The superuser always can.
fn trusted(path: &Path, metadata: &Metadata, user: u32) -> Result<(), CodeCacheError> {
    let (path, owner, mode) = (path.to_owned(), metadata.uid(), metadata.mode() & 0o7777);
    if owner != user {
        return Err(CodeCacheError::Owner { path, owner, user });
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(CodeCacheError::Writable { path, mode });
    }
    Ok(())
}

/// Whether nobody will use the file again. `suffix` is that of code which can be run; what the host did not write is left alone.
fn is_useless(entry: &DirEntry, suffix: &str, now: SystemTime) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    if name.ends_with(".new") {
        return File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
    }
    let used = || entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(now);
    name.ends_with(".code") && (!name.ends_with(suffix) || now.duration_since(used()).is_ok_and(|unused| unused > UNUSED_AFTER))
}

/// How the names of files end whose code `engine` can run.
fn suffix(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("-{:016x}.code", hasher.finish())
}

/// The sha256 of `bytes` in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(unsafe_code, reason = "machine code can only be trusted, not checked: this file's header says why it is ours")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what `Component::serialize` made in `Directory::store`, in a directory that only the host's own user can write (`trusted`), and its sha256 was compared.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    /// A cache in a directory of its own.
    fn cache() -> (tempfile::TempDir, CodeCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(folder.path()).unwrap();
        (folder, cache)
    }

    /// The names of what is in the cache, sorted.
    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(place(folder.path())).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What is left of the file `name`, last used `age` ago, after a sweep.
    #[track_caller]
    fn check_sweep(name: &str, age: Duration, stays: bool) {
        let (folder, cache) = cache();
        let file = File::create(place(folder.path()).join(name)).unwrap();
        let now = SystemTime::now();
        file.set_modified(now - age).unwrap();
        cache.sweep(&Engine::default(), now);
        assert_eq!(names(&folder), if stays { vec![name] } else { Vec::new() });
    }

    #[track_caller]
    fn check_refused(error: CodeCacheError, problem: &str, remedy: &str) {
        let text = error.to_string();
        assert!(text.contains(problem) && text.contains(remedy), "{text}");
    }

    #[test]
    fn code_that_was_changed_is_compiled_again() {
        let (folder, cache) = cache();
        let engine = Engine::default();
        cache.compile(&engine, EMPTY_COMPONENT, "digest").unwrap();
        let name = names(&folder).remove(0);
        let path = place(folder.path()).join(&name);
        let directory = Arc::clone(cache.directory.as_ref().unwrap());
        assert!(directory.load(&engine, &name).is_some());

        let mut code = fs::read(&path).unwrap();
        *code.last_mut().unwrap() ^= 1;
        fs::write(&path, &code).unwrap();
        assert!(directory.load(&engine, &name).is_none());
        fs::write(&path, &code[..40]).unwrap();
        assert!(directory.load(&engine, &name).is_none());

        cache.compile(&engine, EMPTY_COMPONENT, "digest").unwrap();
        assert!(directory.load(&engine, &name).is_some());
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let (folder, _) = cache();
        let path = place(folder.path());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        for mode in [0o770, 0o707, 0o1777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            check_refused(CodeCache::open(folder.path()).unwrap_err(), &format!("its mode is {mode:03o}"), "remove it");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(CodeCache::open(folder.path()).is_ok(), "others may read");
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        let (folder, _) = cache();
        let metadata = fs::metadata(folder.path()).unwrap();
        assert!(trusted(folder.path(), &metadata, metadata.uid()).is_ok());
        let error = trusted(folder.path(), &metadata, metadata.uid() + 1).unwrap_err();
        check_refused(error, &format!("belongs to user {}", metadata.uid()), "name another `data_dir`");
    }

    #[test]
    fn code_does_not_come_from_a_directory_that_was_put_in_the_place_of_the_checked_one() {
        let (folder, cache) = cache();
        let engine = Engine::default();
        fs::rename(place(folder.path()), folder.path().join("moved")).unwrap();
        fs::create_dir(place(folder.path())).unwrap();
        cache.compile(&engine, EMPTY_COMPONENT, "digest").unwrap();
        assert!(names(&folder).is_empty());
        assert_eq!(fs::read_dir(folder.path().join("moved")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_of_no_use_any_more_is_removed() {
        let day = Duration::from_secs(24 * 60 * 60);
        let ours = format!("digest{}", suffix(&Engine::default()));
        check_sweep(&ours, 29 * day, true);
        check_sweep(&ours, 31 * day, false);
        check_sweep("digest-0123456789abcdef.code", Duration::ZERO, false);
        check_sweep(&format!("{ours}.1234.new"), Duration::ZERO, false);
        check_sweep("what somebody else put here", 31 * day, true);
    }

    #[test]
    fn what_is_being_written_is_not_removed() {
        let (folder, cache) = cache();
        let file = File::create(place(folder.path()).join("digest.code.1234.new")).unwrap();
        file.lock().unwrap();
        cache.sweep(&Engine::default(), SystemTime::now());
        assert_eq!(names(&folder), ["digest.code.1234.new"]);
    }

    #[test]
    fn code_that_is_used_is_young_again() {
        let (folder, cache) = cache();
        let engine = Engine::default();
        cache.compile(&engine, EMPTY_COMPONENT, "digest").unwrap();
        let path = place(folder.path()).join(names(&folder).remove(0));
        File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        cache.compile(&engine, EMPTY_COMPONENT, "digest").unwrap();
        cache.sweep(&engine, SystemTime::now());
        assert_eq!(names(&folder).len(), 1);
    }

    #[test]
    fn without_a_directory_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open_existing(folder.path()).unwrap();
        assert!(cache.compile(&Engine::default(), EMPTY_COMPONENT, "digest").is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

//! A named pipe in a file's place: whoever reads it waits until the test writes, so that a test can look at a host in the middle of reading.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// A pipe. Dropping it lets go of whoever waits for it.
pub struct Pipe {
    path: PathBuf,
    reader: Reader,
    /// Opens the pipe for writing, which waits for a reader. None once it was written.
    opening: Option<JoinHandle<File>>,
}

/// Whether somebody reads.
#[derive(Clone, Default)]
pub struct Reader(Arc<AtomicBool>);

impl Pipe {
    /// Makes the pipe `path`.
    pub fn new(path: &Path) -> Pipe {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        let reader = Reader::default();
        let (path, is_there) = (path.to_owned(), Arc::clone(&reader.0));
        let opened = path.clone();
        let opening = thread::spawn(move || {
            let pipe = OpenOptions::new().write(true).open(opened).unwrap();
            is_there.store(true, Ordering::SeqCst);
            pipe
        });
        Pipe { path, reader, opening: Some(opening) }
    }

    /// The one who reads, now or later.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Writes all that the reader gets.
    pub fn write(mut self, bytes: &[u8]) {
        self.opening.take().unwrap().join().unwrap().write_all(bytes).unwrap();
    }
}

impl Reader {
    /// Whether it has begun to read.
    pub fn is_there(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.opening.is_some() {
            // For both at once a pipe is opened without waiting, and lets go of those who wait for either.
            let _ = OpenOptions::new().read(true).write(true).open(&self.path);
        }
    }
}

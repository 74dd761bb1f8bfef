//! A disk that is soon full, for what has to be told to a client then.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A file system of a few megabytes, mounted at a folder until it is dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of `mib`, which only root can.
    pub fn new(mib: u64) -> SmallDisk {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.unwrap().success());
        SmallDisk(folder)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

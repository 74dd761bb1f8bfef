//! In which container this process runs, if it runs in one.
//!
//! Nobody may exchange that one: whoever began it would be gone in the middle. Engines mount a few files of their own over those of the container's image, from a folder with the container's id in its path; a machine that merely holds
//! containers has such folders, but not mounted there.

use super::super::reference::is_generated;
use crate::backend::engine::ContainerId;

/// What engines mount into every container.
const THEIR_FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// The full id of the container that this process runs in; none if it runs in none that can be told.
pub(super) async fn container() -> Option<ContainerId> {
    let mounts = tokio::fs::read_to_string("/proc/self/mountinfo").await.ok()?;
    find(&mounts)
}

/// Reads `/proc/self/mountinfo`: the fourth field is the path below the root of the file system that is mounted, the fifth where it is mounted.
fn find(mounts: &str) -> Option<ContainerId> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let id = root.split('/').find(|part| is_generated(part))?;
        THEIR_FILES.contains(&point).then(|| ContainerId::parse(id)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_the_files_that_its_engine_mounts() {
        let id = "3f".repeat(32);
        let own = ContainerId::parse(&id);
        let root = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n";
        for (line, expected) in [
            (format!("812 790 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw"), own.clone()),
            (format!("812 790 0:25 /containers/overlay-containers/{id}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw"), own),
            // The machine itself, on which a container runs.
            (format!("99 22 0:51 / /var/lib/docker/containers/{id}/mounts/shm rw - tmpfs shm rw"), None),
            (format!("99 22 8:1 /srv/{id}/data /data rw - ext4 /dev/sda1 rw"), None),
            ("99 22 8:1 /etc/hostname /etc/hostname rw - ext4 /dev/sda1 rw".to_owned(), None),
            ("nonsense".to_owned(), None),
        ] {
            assert_eq!(find(&format!("{root}{line}\n")), expected, "{line}");
        }
    }
}

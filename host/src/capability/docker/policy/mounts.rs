//! What a new container may have mounted, in whichever of the engine's ways it is said: `Binds`, `Mounts`, `Volumes`, `Tmpfs`, `VolumesFrom`, `VolumeDriver`.
//!
//! `Binds` and `Mounts` say the same things and go through the same three questions: which path of the machine, which named volume, which image. Options that make a volume out of a path
//! of the machine (`o=bind`, `device=`) belong to drivers, and drivers' options have no grant.

use super::super::grant::is_plain_path;
use super::super::reference::is_name;
use super::super::specification::Json;
use super::{Check, Outcome, invalid};

/// Sockets through which a container could become the engine itself. The engine's own socket is added to them.
const SOCKETS: &[&str] = &["/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock"];

/// Words after the second colon of a bind that give nothing away.
const BIND_MODES: &[&str] =
    &["", "ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent", "private", "rprivate", "slave", "rslave"];

/// What a mount inside the container may do with mounts outside: take part, but not show its own.
const PROPAGATIONS: &[&str] = &["", "private", "rprivate", "slave", "rslave"];

const TMPFS_OPTIONS: &[&str] = &["rw", "ro", "exec", "noexec", "nosuid", "nodev", "noatime"];
const TMPFS_SIZES: &[&str] = &["size", "mode", "uid", "gid", "nr_inodes"];

impl Check<'_> {
    /// `Config.Volumes`: volumes of the container's own, by path.
    pub(super) fn volumes_of_config(&self, tree: &Json) -> Outcome {
        for (path, _) in tree.map("Volumes") {
            if !path.starts_with('/') || path.contains(':') {
                return invalid("Volumes", path, "an absolute path in the container");
            }
        }
        Ok(())
    }

    pub(super) fn mounts(&self, host: &Json) -> Outcome {
        for bind in host.texts("Binds") {
            self.bind(bind)?;
        }
        for mount in host.list("Mounts") {
            self.mount(mount)?;
        }
        for (path, options) in host.map("Tmpfs") {
            if !path.starts_with('/') {
                return invalid("HostConfig.Tmpfs", path, "an absolute path in the container");
            }
            for option in options.as_text().split(',') {
                self.tmpfs_option(option)?;
            }
        }
        if !host.list("VolumesFrom").is_empty() {
            return self.never("VolumesFrom");
        }
        self.volume_driver(host.text("VolumeDriver"))
    }

    /// `source:target[:mode,…]`, or `target` alone for a volume of the container's own.
    fn bind(&self, text: &str) -> Outcome {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [target] => ("", *target, ""),
            [source, target] if !source.is_empty() => (*source, *target, ""),
            [source, target, mode] if !source.is_empty() => (*source, *target, *mode),
            _ => return invalid("HostConfig.Binds", text, "`source:target[:mode]`"),
        };
        if !target.starts_with('/') {
            return invalid("HostConfig.Binds", text, "an absolute path in the container behind the source");
        }
        for word in mode.split(',') {
            match word {
                "shared" | "rshared" => return self.never(&format!("bind with propagation {word}")),
                known if BIND_MODES.contains(&known) => {}
                _ => return invalid("HostConfig.Binds", text, "a known mode behind the second colon"),
            }
        }
        match source {
            "" => Ok(()),
            path if path.starts_with('/') => self.host_path(path),
            name => self.volume(name),
        }
    }

    fn mount(&self, mount: &Json) -> Outcome {
        if !mount.text("Target").starts_with('/') {
            return invalid("HostConfig.Mounts.Target", mount.text("Target"), "an absolute path in the container");
        }
        let source = mount.text("Source");
        let nothing = Json::Object(Vec::new());
        let options = |key: &str| mount.get(key).unwrap_or(&nothing).clone();
        // Options of the other types are checked too: engines differ in whether they overlook them.
        let propagation = options("BindOptions").text("Propagation").to_owned();
        if !PROPAGATIONS.contains(&propagation.as_str()) {
            return self.never(&format!("bind with propagation {propagation}"));
        }
        self.volume_options(&options("VolumeOptions"))?;
        self.subpath(options("ImageOptions").text("Subpath"))?;
        for option in options("TmpfsOptions").list("Options") {
            for word in option.items() {
                self.tmpfs_option(word.as_text())?;
            }
        }
        match mount.text("Type") {
            "bind" => self.host_path(source),
            "volume" if source.is_empty() => Ok(()),
            "volume" => self.volume(source),
            "tmpfs" if source.is_empty() => Ok(()),
            "tmpfs" => invalid("HostConfig.Mounts.Source", source, "no source for a tmpfs"),
            kind @ ("npipe" | "cluster" | "image") => self.never(&format!("mount of type {kind}")),
            kind => invalid("HostConfig.Mounts.Type", kind, "`bind`, `volume` or `tmpfs`"),
        }
    }

    fn volume_options(&self, options: &Json) -> Outcome {
        self.subpath(options.text("Subpath"))?;
        let Some(driver) = options.get("DriverConfig") else { return Ok(()) };
        self.volume_driver(driver.text("Name"))?;
        match driver.map("Options").first() {
            Some((key, _)) => self.never(&format!("volume driver option {key}")),
            None => Ok(()),
        }
    }

    fn volume_driver(&self, driver: &str) -> Outcome {
        if matches!(driver, "" | "local") { Ok(()) } else { self.never(&format!("volume driver {driver}")) }
    }

    fn subpath(&self, path: &str) -> Outcome {
        let inside = !path.starts_with('/') && path.split('/').all(|component| component != "..");
        if inside { Ok(()) } else { invalid("Subpath", path, "a relative path without `..`") }
    }

    fn volume(&self, name: &str) -> Outcome {
        if !is_name(name) {
            return invalid("volume", name, "the name of a volume or an absolute path");
        }
        if self.grant.covers_volume(name) { Ok(()) } else { self.denied(&format!("volume {name}"), &format!("volumes = [\"{name}\"]")) }
    }

    fn host_path(&self, path: &str) -> Outcome {
        if !is_plain_path(path) {
            return invalid("bind source", path, "an absolute path without `.`, `..`, double and trailing slashes");
        }
        let covers = |granted: &String| is_at_or_below(path, granted);
        if !self.granted().host_paths.iter().any(covers) {
            return self.denied(&format!("host path {path}"), &format!("create.host_paths = [\"{path}\"]"));
        }
        // Below /proc the same files have further paths.
        let guarded = SOCKETS.iter().copied().chain(self.granted().guarded_socket.as_deref());
        let leads_to_engine =
            is_at_or_below(path, "/proc") || guarded.into_iter().any(|socket| is_at_or_below(&canonical(socket), &canonical(path)));
        if leads_to_engine { self.never(&format!("host path {path}, which leads to an engine's socket")) } else { Ok(()) }
    }

    fn tmpfs_option(&self, option: &str) -> Outcome {
        let known = match option.split_once('=') {
            None => option.is_empty() || TMPFS_OPTIONS.contains(&option) || TMPFS_SIZES.contains(&option),
            // In `Mounts` key and value are words of their own, and this one is the value.
            Some((key, _)) => TMPFS_SIZES.contains(&key),
        };
        let is_value = !option.is_empty() && option.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'k' | b'm' | b'g' | b'%'));
        if known || is_value { Ok(()) } else { self.never(&format!("tmpfs option {option}")) }
    }
}

/// `/var/run` is a link to `/run` wherever engines run.
fn canonical(path: &str) -> String {
    match path.strip_prefix("/var/run") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("/run{rest}"),
        _ => path.to_owned(),
    }
}

fn is_at_or_below(path: &str, top: &str) -> bool {
    top == "/" || path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

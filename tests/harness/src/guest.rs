//! What configurations say of the guests, in whichever suite they are loaded.

/// The powers without which the guest `docker` is not loaded, since it imports every interface of its room. Shown by `{:?}` it is a list of TOML.
pub const DOCKER_POWERS: [&str; 18] = [
    "containers.read",
    "containers.env",
    "containers.logs",
    "containers.lifecycle",
    "containers.create",
    "containers.remove",
    "containers.recreate",
    "images.read",
    "images.pull",
    "images.build",
    "images.remove",
    "images.prune",
    "distribution.read",
    "operations.read",
    "operations.cancel",
    "networks.read",
    "volumes.read",
    "system.read",
];

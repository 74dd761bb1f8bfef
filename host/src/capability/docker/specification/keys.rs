//! The keys of a specification: the one list of what a new container may be asked to be.
//!
//! Each has the shape that its value must have, and the version of the API that brought it where engines that are spoken to may be older: those take such a key for one that they do not know and make
//! the container without it. The versions are those of the engine's published history of its API; keys that came before 1.29, which engines of 2017 have, are not marked.

use crate::backend::engine::ApiVersion;

/// What may stand under a key.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text,
    Flag,
    Integer,
    Texts,
    Integers,
    /// Lists of texts.
    TextLists,
    /// One text or several: a command.
    Command,
    /// Texts by free keys.
    TextMap,
    /// Free keys, each with `{}`: a set.
    Set,
    Object(&'static [Key]),
    Objects(&'static [Key]),
    /// Objects by free keys.
    ObjectMap(&'static [Key]),
    /// Lists of objects by free keys.
    ObjectListMap(&'static [Key]),
    /// A key that the host knows and does not take; the text says why.
    Refused(&'static str),
    /// A key that engines ignore whose API is older than this.
    Since(ApiVersion, &'static Shape),
}

pub(super) type Key = (&'static str, Shape);

pub(super) const CONFIG: &[Key] = &[
    ("Hostname", Shape::Text),
    ("Domainname", Shape::Text),
    ("User", Shape::Text),
    ("AttachStdin", Shape::Flag),
    ("AttachStdout", Shape::Flag),
    ("AttachStderr", Shape::Flag),
    ("ExposedPorts", Shape::Set),
    ("Tty", Shape::Flag),
    ("OpenStdin", Shape::Flag),
    ("StdinOnce", Shape::Flag),
    ("Env", Shape::Texts),
    ("Cmd", Shape::Command),
    ("Healthcheck", Shape::Object(HEALTHCHECK)),
    ("ArgsEscaped", Shape::Flag),
    ("Image", Shape::Text),
    ("Volumes", Shape::Set),
    ("WorkingDir", Shape::Text),
    ("Entrypoint", Shape::Command),
    ("NetworkDisabled", Shape::Flag),
    ("MacAddress", Shape::Refused("engines from API 1.52 on refuse it, and a container could take another's address")),
    ("OnBuild", Shape::Refused("it belongs to images")),
    ("Labels", Shape::TextMap),
    ("StopSignal", Shape::Text),
    ("StopTimeout", Shape::Integer),
    ("Shell", Shape::Texts),
    ("HostConfig", Shape::Object(HOST_CONFIG)),
    ("NetworkingConfig", Shape::Object(&[("EndpointsConfig", Shape::ObjectMap(ENDPOINT))])),
];

const HEALTHCHECK: &[Key] = &[
    ("Test", Shape::Texts),
    ("Interval", Shape::Integer),
    ("Timeout", Shape::Integer),
    ("StartPeriod", Shape::Since(ApiVersion::v1(29), &Shape::Integer)),
    ("StartInterval", Shape::Since(ApiVersion::v1(44), &Shape::Integer)),
    ("Retries", Shape::Integer),
];

const THROTTLE: &[Key] = &[("Path", Shape::Text), ("Rate", Shape::Integer)];

const HOST_CONFIG: &[Key] = &[
    ("AutoRemove", Shape::Flag),
    ("Annotations", Shape::Since(ApiVersion::v1(43), &Shape::TextMap)),
    ("Binds", Shape::Texts),
    ("BlkioDeviceReadBps", Shape::Objects(THROTTLE)),
    ("BlkioDeviceReadIOps", Shape::Objects(THROTTLE)),
    ("BlkioDeviceWriteBps", Shape::Objects(THROTTLE)),
    ("BlkioDeviceWriteIOps", Shape::Objects(THROTTLE)),
    ("BlkioWeight", Shape::Integer),
    ("BlkioWeightDevice", Shape::Objects(&[("Path", Shape::Text), ("Weight", Shape::Integer)])),
    ("CapAdd", Shape::Texts),
    ("CapDrop", Shape::Texts),
    ("Cgroup", Shape::Text),
    ("CgroupParent", Shape::Text),
    ("CgroupnsMode", Shape::Since(ApiVersion::v1(41), &Shape::Text)),
    ("ConsoleSize", Shape::Since(ApiVersion::v1(42), &Shape::Integers)),
    ("ContainerIDFile", Shape::Refused("it belongs to command-line clients")),
    ("CpuCount", Shape::Integer),
    ("CpuPercent", Shape::Integer),
    ("CpuPeriod", Shape::Integer),
    ("CpuQuota", Shape::Integer),
    ("CpuRealtimePeriod", Shape::Integer),
    ("CpuRealtimeRuntime", Shape::Integer),
    ("CpuShares", Shape::Integer),
    ("CpusetCpus", Shape::Text),
    ("CpusetMems", Shape::Text),
    ("DeviceCgroupRules", Shape::Texts),
    ("DeviceRequests", Shape::Since(ApiVersion::v1(40), &Shape::Objects(DEVICE_REQUEST))),
    ("Devices", Shape::Objects(&[("PathOnHost", Shape::Text), ("PathInContainer", Shape::Text), ("CgroupPermissions", Shape::Text)])),
    ("Dns", Shape::Texts),
    ("DnsOptions", Shape::Texts),
    ("DnsSearch", Shape::Texts),
    ("ExtraHosts", Shape::Texts),
    ("GroupAdd", Shape::Texts),
    ("IOMaximumBandwidth", Shape::Integer),
    ("IOMaximumIOps", Shape::Integer),
    ("Init", Shape::Flag),
    ("IpcMode", Shape::Text),
    ("Isolation", Shape::Text),
    ("KernelMemory", Shape::Refused("engines have dropped it")),
    ("KernelMemoryTCP", Shape::Refused("engines have dropped it")),
    ("Links", Shape::Texts),
    ("LogConfig", Shape::Object(&[("Type", Shape::Text), ("Config", Shape::TextMap)])),
    ("MaskedPaths", Shape::Texts),
    ("Memory", Shape::Integer),
    ("MemoryReservation", Shape::Integer),
    ("MemorySwap", Shape::Integer),
    ("MemorySwappiness", Shape::Integer),
    ("Mounts", Shape::Objects(MOUNT)),
    ("NanoCpus", Shape::Integer),
    ("NetworkMode", Shape::Text),
    ("OomKillDisable", Shape::Flag),
    ("OomScoreAdj", Shape::Integer),
    ("PidMode", Shape::Text),
    ("PidsLimit", Shape::Integer),
    ("PortBindings", Shape::ObjectListMap(&[("HostIp", Shape::Text), ("HostPort", Shape::Text)])),
    ("Privileged", Shape::Flag),
    ("PublishAllPorts", Shape::Flag),
    ("ReadonlyPaths", Shape::Texts),
    ("ReadonlyRootfs", Shape::Flag),
    ("RestartPolicy", Shape::Object(&[("Name", Shape::Text), ("MaximumRetryCount", Shape::Integer)])),
    ("Runtime", Shape::Text),
    ("SecurityOpt", Shape::Texts),
    ("ShmSize", Shape::Integer),
    ("StorageOpt", Shape::TextMap),
    ("Sysctls", Shape::TextMap),
    ("Tmpfs", Shape::TextMap),
    ("UTSMode", Shape::Text),
    ("Ulimits", Shape::Objects(&[("Name", Shape::Text), ("Soft", Shape::Integer), ("Hard", Shape::Integer)])),
    ("UsernsMode", Shape::Text),
    ("VolumeDriver", Shape::Text),
    ("VolumesFrom", Shape::Texts),
];

const DEVICE_REQUEST: &[Key] = &[
    ("Driver", Shape::Text),
    ("Count", Shape::Integer),
    ("DeviceIDs", Shape::Texts),
    ("Capabilities", Shape::TextLists),
    ("Options", Shape::TextMap),
];

const MOUNT: &[Key] = &[
    ("Target", Shape::Text),
    ("Source", Shape::Text),
    ("Type", Shape::Text),
    ("ReadOnly", Shape::Flag),
    ("Consistency", Shape::Text),
    (
        "BindOptions",
        Shape::Object(&[
            ("Propagation", Shape::Text),
            ("NonRecursive", Shape::Since(ApiVersion::v1(40), &Shape::Flag)),
            ("CreateMountpoint", Shape::Since(ApiVersion::v1(42), &Shape::Flag)),
            ("ReadOnlyNonRecursive", Shape::Since(ApiVersion::v1(44), &Shape::Flag)),
            ("ReadOnlyForceRecursive", Shape::Since(ApiVersion::v1(44), &Shape::Flag)),
        ]),
    ),
    (
        "VolumeOptions",
        Shape::Object(&[
            ("NoCopy", Shape::Flag),
            ("Labels", Shape::TextMap),
            ("DriverConfig", Shape::Object(&[("Name", Shape::Text), ("Options", Shape::TextMap)])),
            ("Subpath", Shape::Since(ApiVersion::v1(45), &Shape::Text)),
        ]),
    ),
    ("ImageOptions", Shape::Since(ApiVersion::v1(48), &Shape::Object(&[("Subpath", Shape::Text)]))),
    (
        "TmpfsOptions",
        Shape::Object(&[
            ("SizeBytes", Shape::Integer),
            ("Mode", Shape::Integer),
            ("Options", Shape::Since(ApiVersion::v1(46), &Shape::TextLists)),
        ]),
    ),
];

const ENDPOINT: &[Key] = &[
    ("IPAMConfig", Shape::Object(&[("IPv4Address", Shape::Text), ("IPv6Address", Shape::Text), ("LinkLocalIPs", Shape::Texts)])),
    ("Aliases", Shape::Texts),
    ("GwPriority", Shape::Since(ApiVersion::v1(48), &Shape::Integer)),
    ("Links", Shape::Texts),
    ("DriverOpts", Shape::TextMap),
    ("MacAddress", Shape::Refused("engines before API 1.44 ignore it, and a container could take another's address")),
    // The engine prefers this to the name of the network, which is what the policy looks at.
    ("NetworkID", Shape::Refused("networks are named by their name")),
    ("EndpointID", Shape::Refused("the engine chooses it")),
    ("Gateway", Shape::Refused("the engine chooses it")),
    ("IPAddress", Shape::Refused("use `IPAMConfig`")),
    ("IPPrefixLen", Shape::Refused("the engine chooses it")),
    ("IPv6Gateway", Shape::Refused("the engine chooses it")),
    ("GlobalIPv6Address", Shape::Refused("use `IPAMConfig`")),
    ("GlobalIPv6PrefixLen", Shape::Refused("the engine chooses it")),
    ("DNSNames", Shape::Refused("use `Aliases`")),
];

impl Shape {
    /// What to say is expected.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Shape::Text => "a string",
            Shape::Flag => "a boolean",
            Shape::Integer => "an integer",
            Shape::Texts | Shape::Integers | Shape::TextLists | Shape::Objects(_) => "an array",
            Shape::Command => "a string or an array of strings",
            Shape::TextMap | Shape::Set | Shape::Object(_) | Shape::ObjectMap(_) | Shape::ObjectListMap(_) => "an object",
            Shape::Refused(_) => "nothing",
            Shape::Since(_, shape) => shape.kind(),
        }
    }
}

//! The containers that are recreated: one for each thing that an engine keeps otherwise than it was given.

use serde_json::{Value, json};

/// A container, and what must be there before it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The container's name, and the case's.
    pub name: &'static str,
    /// `old` and `new` of this repository are what it is recreated on.
    pub repository: &'static str,
    /// Whether it runs.
    pub runs: bool,
    /// Another container that runs beside it, called `<name>-other`, by its specification.
    pub other: Option<Value>,
    /// The body of its creation, without the image.
    pub body: Value,
    /// Networks that it is connected to afterwards, with `EndpointConfig`.
    pub connect: Vec<(&'static str, Value)>,
    /// A network that it leaves afterwards.
    pub disconnect: Option<&'static str>,
}

/// What an engine is, as far as bodies depend on it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The minor number of the API.
    pub api: u32,
    /// The id of [`NETWORK`].
    pub network_id: String,
    /// The first three numbers of the addresses of [`NETWORK`].
    pub subnet: String,
}

/// A bridge with a name, which has room for static addresses.
pub const NETWORK: &str = "corpus-net";
/// Another one.
pub const SECOND_NETWORK: &str = "corpus-second";
/// A macvlan on the engine's bridge, 198.51.100.0/24.
pub const MACVLAN: &str = "corpus-macvlan";
/// A volume with a name.
pub const VOLUME: &str = "corpus-volume";

/// The configuration of the image that most cases begin with.
pub fn old_image() -> Value {
    json!({
        "Cmd": ["/bin/serve"], "Env": ["PATH=/usr/bin:/bin", "RELEASE=1", "GONE=1"], "WorkingDir": "/www", "StopSignal": "SIGTERM",
        "Labels": { "org.opencontainers.image.version": "1", "gone": "1" }, "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/image-data": {} },
        "Healthcheck": { "Test": ["CMD", "true"], "Interval": 60_000_000_000_u64, "Retries": 3 },
    })
}

/// The one that they are recreated on.
pub fn new_image() -> Value {
    json!({
        "Cmd": ["sh", "-c", "exec /bin/serve"], "Env": ["PATH=/usr/bin:/bin", "RELEASE=2", "NEW=1"], "WorkingDir": "/tmp", "StopSignal": "SIGINT",
        "Labels": { "org.opencontainers.image.version": "2" }, "ExposedPorts": { "8080/tcp": {} }, "Volumes": { "/new-data": {} },
        "Healthcheck": { "Test": ["CMD", "echo"], "Interval": 90_000_000_000_u64, "Timeout": 5_000_000_000_u64 },
    })
}

/// As [`old_image`], with an entrypoint.
pub fn old_entry() -> Value {
    json!({ "Entrypoint": ["sh", "-c"], "Cmd": ["exec /bin/serve"], "User": "0:0" })
}

/// As [`new_image`], with an entrypoint.
pub fn new_entry() -> Value {
    json!({ "Entrypoint": ["/bin/sh", "-c"], "Cmd": [". /bin/serve"], "User": "0" })
}

impl Case {
    fn new(name: &'static str, body: Value) -> Case {
        Case { name, repository: "corpus/plain", runs: true, other: None, body, connect: Vec::new(), disconnect: None }
    }

    fn entry(name: &'static str, body: Value) -> Case {
        Case { repository: "corpus/entry", ..Case::new(name, body) }
    }

    fn beside(self, other: Value) -> Case {
        Case { other: Some(other), ..self }
    }
}

/// All cases for `place`.
pub fn cases(place: &Place) -> Vec<Case> {
    let mut all = plain();
    all.extend(networks(place));
    all.extend(storage());
    all.extend(limits(place));
    all.extend(commands());
    all
}

fn plain() -> Vec<Case> {
    vec![
        Case::new("plain", json!({})),
        Case::new(
            "compose",
            json!({
                "Labels": {
                    "com.docker.compose.config-hash": "2f9a", "com.docker.compose.container-number": "1", "com.docker.compose.depends_on": "db:service_started:false",
                    "com.docker.compose.image": "sha256:0", "com.docker.compose.oneoff": "False", "com.docker.compose.project": "shop",
                    "com.docker.compose.service": "web", "com.docker.compose.version": "2.29.7",
                },
                "Env": ["RELEASE=1", "PASSWORD=secret", "EMPTY="], "Hostname": "",
                "HostConfig": {
                    "Binds": ["corpus-volume:/var/lib/shop:rw", "/usr/share:/usr/share:ro"], "NetworkMode": NETWORK, "RestartPolicy": { "Name": "unless-stopped" },
                    "LogConfig": { "Type": "json-file", "Config": { "max-size": "1m" } }, "Init": true,
                },
                "NetworkingConfig": { "EndpointsConfig": { NETWORK: { "Aliases": ["compose", "web"] } } },
            }),
        ),
        Case::new("health-check", json!({ "Healthcheck": { "Interval": 30_000_000_000_u64, "StartPeriod": 1_000_000_000_u64 } })),
        Case::new("no-health-check", json!({ "Healthcheck": { "Test": ["NONE"] } })),
        Case::new("auto-remove", json!({ "HostConfig": { "AutoRemove": true } })),
        Case::new(
            "terminal",
            json!({ "Tty": true, "OpenStdin": true, "StdinOnce": true, "StopTimeout": 3, "StopSignal": "SIGTERM", "User": "0" }),
        ),
    ]
}

fn networks(place: &Place) -> Vec<Case> {
    let mac = "02:42:c6:33:64:07";
    let address = format!("{}.9", place.subnet);
    // From 1.44 on the address belongs to the endpoint, and an older engine does not know it there.
    let with_mac = |network: &str, mut endpoint: Value, mut body: Value| {
        if place.api >= 44 {
            endpoint["MacAddress"] = json!(mac);
        } else {
            body["MacAddress"] = json!(mac);
        }
        body["NetworkingConfig"] = json!({ "EndpointsConfig": { network: endpoint } });
        body["HostConfig"]["NetworkMode"] = json!(network);
        body
    };
    let shareable = json!({ "HostConfig": { "IpcMode": "shareable" }, "Hostname": "shared", "ExposedPorts": { "81/tcp": {} } });
    let names = json!({
        "Hostname": "explicit", "Domainname": "example.test",
        "HostConfig": { "ExtraHosts": ["other:198.51.100.3"], "Dns": ["198.51.100.1"], "DnsOptions": ["ndots:2"], "DnsSearch": ["example.test"] },
    });
    vec![
        Case::new("host-network", json!({ "HostConfig": { "NetworkMode": "host" }, "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 60 & wait; done"] })),
        Case::new("no-network", json!({ "HostConfig": { "NetworkMode": "none" } })),
        Case::new(
            "container-network",
            json!({ "HostConfig": { "NetworkMode": "container:container-network-other", "IpcMode": "container:container-network-other", "PidMode": "container:container-network-other" } }),
        )
        .beside(shareable),
        Case::new("macvlan", with_mac(MACVLAN, json!({ "IPAMConfig": { "IPv4Address": "198.51.100.7" } }), json!({}))),
        Case::new("explicit-names", with_mac("bridge", json!({}), names)),
        Case::new("generated-mac", json!({ "HostConfig": { "NetworkMode": SECOND_NETWORK } })),
        Case {
            connect: vec![(SECOND_NETWORK, json!({ "Aliases": ["back"], "Links": ["plain:p"] })), ("bridge", json!({}))],
            ..Case::new(
                "several-networks",
                json!({
                    "Hostname": "several", "HostConfig": { "NetworkMode": NETWORK },
                    "NetworkingConfig": { "EndpointsConfig": { NETWORK: { "Aliases": ["front", "www"], "IPAMConfig": { "IPv4Address": address } } } },
                }),
            )
        },
        Case { connect: vec![(NETWORK, json!({}))], disconnect: Some("bridge"), ..Case::new("left-bridge", json!({})) },
        Case { disconnect: Some("bridge"), ..Case::new("left-all", json!({})) },
        Case::new("network-by-id", json!({ "HostConfig": { "NetworkMode": place.network_id } })),
        Case::new("links", json!({ "HostConfig": { "Links": ["links-other:database", "links-other:db"] } })).beside(json!({})),
        Case { runs: false, ..Case::new("ports", json!({ "ExposedPorts": { "81/tcp": {} }, "HostConfig": { "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "18080" }], "81/tcp": [{ "HostPort": "" }] } } })) },
        Case { runs: false, ..Case::new("all-ports", json!({ "HostConfig": { "PublishAllPorts": true } })) },
    ]
}

fn storage() -> Vec<Case> {
    vec![
        Case::new(
            "anonymous-volumes",
            json!({ "Volumes": { "/own": {} }, "HostConfig": { "Binds": ["/single"], "Mounts": [{ "Type": "volume", "Target": "/mounted", "VolumeOptions": { "Labels": { "a": "b" } } }] } }),
        ),
        Case::new(
            "mounts",
            json!({ "HostConfig": { "Mounts": [
                { "Type": "volume", "Source": VOLUME, "Target": "/named", "ReadOnly": true },
                { "Type": "bind", "Source": "/usr/share", "Target": "/share", "ReadOnly": true, "BindOptions": { "Propagation": "rprivate" } },
                { "Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": { "SizeBytes": 65536, "Mode": 448 } },
            ] } }),
        ),
        Case::new("tmpfs", json!({ "HostConfig": { "Tmpfs": { "/run": "rw,size=64k", "/image-data": "" }, "ReadonlyRootfs": true } })),
        Case::new("volumes-from", json!({ "HostConfig": { "VolumesFrom": ["volumes-from-other:ro"] } }))
            .beside(json!({ "Volumes": { "/of-other": {} }, "HostConfig": { "Binds": ["corpus-volume:/named"] } })),
    ]
}

fn limits(place: &Place) -> Vec<Case> {
    let mut all = vec![
        Case::new(
            "limits",
            json!({ "HostConfig": {
                "Memory": 67_108_864, "NanoCpus": 500_000_000, "PidsLimit": 100, "CpuShares": 512, "CpusetCpus": "0", "OomScoreAdj": 100, "ShmSize": 1_048_576,
                "Ulimits": [{ "Name": "nofile", "Soft": 1024, "Hard": 2048 }],
            } }),
        ),
        Case::new(
            "other-limits",
            json!({ "HostConfig": { "Memory": 67_108_864, "MemoryReservation": 33_554_432, "MemorySwap": -1, "CpuPeriod": 50_000, "CpuQuota": 25_000, "Runtime": "runc", "PidsLimit": -1 } }),
        ),
        Case::new(
            "devices",
            json!({ "HostConfig": {
                "Devices": [{ "PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw" }], "DeviceCgroupRules": ["c 1:3 rwm"],
                "CapAdd": ["NET_ADMIN", "IPC_LOCK"], "CapDrop": ["MKNOD"], "GroupAdd": ["7"], "Sysctls": { "net.ipv4.ip_unprivileged_port_start": "0" },
            } }),
        ),
        // Not started: a machine that is a container itself may not have all capabilities to give.
        Case { runs: false, ..Case::new("privileged", json!({ "HostConfig": { "Privileged": true } })) },
        Case::new(
            "namespaces-of-the-host",
            json!({ "HostConfig": { "PidMode": "host", "IpcMode": "host", "UTSMode": "host", "CgroupnsMode": "host" } }),
        ),
        Case::new(
            "unmasked",
            json!({ "HostConfig": { "MaskedPaths": [], "ReadonlyPaths": [], "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"] } }),
        ),
    ];
    if place.api >= 44 {
        let check = json!({ "Test": ["CMD", "true"], "StartPeriod": 2_000_000_000_u64, "StartInterval": 1_000_000_000_u64 });
        all.push(Case::new("start-interval", json!({ "Healthcheck": check, "HostConfig": { "Annotations": { "a": "b" } } })));
    }
    all
}

fn commands() -> Vec<Case> {
    vec![
        Case::entry("entrypoint-of-image", json!({})),
        Case::entry("entrypoint-own", json!({ "Entrypoint": ["/bin/serve"] })),
        Case::entry("entrypoint-empty", json!({ "Entrypoint": [], "Cmd": ["/bin/serve"] })),
        Case::entry("entrypoint-none", json!({ "Entrypoint": [""], "Cmd": ["/bin/serve"] })),
        Case { runs: false, ..Case::entry("entrypoint-alone", json!({ "Entrypoint": ["sh", "-c"] })) },
        Case::entry("command-own", json!({ "Cmd": ["exec   /bin/serve"] })),
    ]
}

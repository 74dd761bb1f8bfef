//! New containers: what is refused, in each way in which an engine would take it, and what is not.
//!
//! The first tables are for a plugin that may create containers and has no entry in `grants.docker.create`. Each specification is what stands beside a harmless image and network; the
//! word before it says how it is refused.

use super::super::policy::{CreateRequest, CreationMark, Refusal};
use super::super::reference::ImageName;
use super::super::specification;
use super::{EVERYTHING, grant};

/// May create on one network with one volume, and nothing else: what a deployment API has.
const DEPLOYER: &str = r#"
allow = ["containers.create"]
networks = ["lopco-network"]
volumes = ["data_cache"]
"#;

/// How a specification is refused.
#[derive(Debug, PartialEq, Clone, Copy)]
enum How {
    Denied,
    Invalid,
}
use How::{Denied, Invalid};

/// What may not stand in `HostConfig`.
const HARMFUL_HOST_CONFIGS: &[(How, &str, &str)] = &[
    // Privileged, and each way to spell it that an engine would take.
    (Denied, "privileged", r#""Privileged":true"#),
    (Invalid, "privileged in lower case", r#""privileged":true"#),
    (Invalid, "privileged in upper case", r#""PRIVILEGED":true"#),
    (Invalid, "privileged with a long s, which folds to s", r#""Privileged":false,"UſernsMode":"host""#),
    (Invalid, "privileged with the Kelvin sign, which folds to k", r#""Mas\u212aedPaths":[]"#),
    (Invalid, "privileged twice", r#""Privileged":false,"Privileged":true"#),
    (Invalid, "privileged twice in two cases", r#""Privileged":false,"privileged":true"#),
    (Invalid, "privileged escaped and plain", r#""Privileged":false,"Privile\u0067ed":true"#),
    (Denied, "privileged escaped", r#""Privile\u0067ed":true"#),
    (Invalid, "privileged as a text", r#""Privileged":"true""#),
    // Paths of the machine.
    (Denied, "bind of the root", r#""Binds":["/:/host"]"#),
    (Denied, "bind, read only", r#""Binds":["/etc:/host:ro"]"#),
    (Denied, "bind of the engine's socket", r#""Binds":["/var/run/docker.sock:/var/run/docker.sock"]"#),
    (Denied, "second bind", r#""Binds":["data_cache:/data","/root:/root"]"#),
    (Invalid, "bind through ..", r#""Binds":["/srv/../etc:/etc"]"#),
    (Invalid, "bind of a relative path", r#""Binds":["./etc:/etc"]"#),
    (Invalid, "bind of a path without a slash", r#""Binds":["..:/etc"]"#),
    (Invalid, "bind with four parts", r#""Binds":["data_cache:/a:/b:ro"]"#),
    (Invalid, "bind with an unknown mode", r#""Binds":["data_cache:/a:exec"]"#),
    (Invalid, "bind of a Windows path", r#""Binds":["C:\\:/host"]"#),
    (Denied, "mount of type bind", r#""Mounts":[{"Type":"bind","Source":"/etc","Target":"/host"}]"#),
    (
        Denied,
        "mount of type bind with shared propagation",
        r#""Mounts":[{"Type":"bind","Source":"/etc","Target":"/host","BindOptions":{"Propagation":"rshared"}}]"#,
    ),
    (Invalid, "mount of type Bind", r#""Mounts":[{"Type":"Bind","Source":"/etc","Target":"/host"}]"#),
    (Invalid, "mount without a type", r#""Mounts":[{"Source":"/etc","Target":"/host"}]"#),
    (Invalid, "mount with a key in lower case", r#""Mounts":[{"Type":"volume","type":"bind","Source":"/etc","Target":"/host"}]"#),
    (Invalid, "volume mount whose source is a path", r#""Mounts":[{"Type":"volume","Source":"/etc","Target":"/host"}]"#),
    (Denied, "named pipe", r#""Mounts":[{"Type":"npipe","Source":"\\\\.\\pipe\\docker_engine","Target":"/pipe"}]"#),
    (Denied, "cluster volume", r#""Mounts":[{"Type":"cluster","Source":"x","Target":"/x"}]"#),
    (
        Denied,
        "volume made of a path by o=bind",
        r#""Mounts":[{"Type":"volume","Source":"data_cache","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/etc"}}}}]"#,
    ),
    (
        Denied,
        "nameless volume made of a path",
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"device":"/dev/sda1"}}}}]"#,
    ),
    (
        Denied,
        "volume options under another type",
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"device":"/etc"}}}}]"#,
    ),
    (
        Denied,
        "volume driver in the mount",
        r#""Mounts":[{"Type":"volume","Source":"data_cache","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"sshfs"}}}]"#,
    ),
    (Denied, "volume driver", r#""VolumeDriver":"sshfs","Binds":["data_cache:/x"]"#),
    (
        Invalid,
        "subpath that climbs",
        r#""Mounts":[{"Type":"volume","Source":"data_cache","Target":"/x","VolumeOptions":{"Subpath":"../../etc"}}]"#,
    ),
    (Denied, "volume of somebody else in a bind", r#""Binds":["other:/x"]"#),
    (Denied, "volume of somebody else in a mount", r#""Mounts":[{"Type":"volume","Source":"other","Target":"/x"}]"#),
    (Denied, "volumes of another container", r#""VolumesFrom":["db"]"#),
    (Denied, "tmpfs with devices", r#""Tmpfs":{"/x":"dev,suid"}"#),
    (Denied, "tmpfs mount with devices", r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[["dev"]]}}]"#),
    // Namespaces.
    (Denied, "network of the host", r#""NetworkMode":"host""#),
    (Denied, "network of another container", r#""NetworkMode":"container:db""#),
    (Denied, "default network", r#""NetworkMode":"bridge""#),
    (Denied, "default network, unnamed", r#""NetworkMode":"default""#),
    (Denied, "default network, empty", r#""NetworkMode":"""#),
    (Denied, "default network, null", r#""NetworkMode":null"#),
    (Denied, "network of somebody else", r#""NetworkMode":"other""#),
    (Denied, "network in another case", r#""NetworkMode":"Host""#),
    (Denied, "network namespace by path", r#""NetworkMode":"ns:/proc/1/ns/net""#),
    (Denied, "processes of the host", r#""PidMode":"host""#),
    (Denied, "processes of another container", r#""PidMode":"container:db""#),
    (Denied, "shared memory of the host", r#""IpcMode":"host""#),
    (Denied, "shared memory of another container", r#""IpcMode":"container:db""#),
    (Denied, "name of the host", r#""UTSMode":"host""#),
    (Denied, "users of the host", r#""UsernsMode":"host""#),
    (Denied, "users as Podman has them", r#""UsernsMode":"keep-id""#),
    (Denied, "cgroups of the host", r#""CgroupnsMode":"host""#),
    (Denied, "cgroup of another container", r#""Cgroup":"container:db""#),
    // Devices, capabilities, kernel.
    (Denied, "device", r#""Devices":[{"PathOnHost":"/dev/sda","PathInContainer":"/dev/sda","CgroupPermissions":"rwm"}]"#),
    (Denied, "device request", r#""DeviceRequests":[{"Driver":"nvidia","Count":-1,"Capabilities":[["gpu"]]}]"#),
    (Denied, "device request for CDI", r#""DeviceRequests":[{"Driver":"cdi","DeviceIDs":["vendor.com/x=all"]}]"#),
    (Denied, "device rule", r#""DeviceCgroupRules":["a *:* rwm"]"#),
    (Denied, "capability", r#""CapAdd":["SYS_ADMIN"]"#),
    (Denied, "capability with prefix in lower case", r#""CapAdd":["cap_sys_admin"]"#),
    (Denied, "all capabilities", r#""CapAdd":["ALL"]"#),
    (Denied, "no seccomp", r#""SecurityOpt":["seccomp=unconfined"]"#),
    (Denied, "no seccomp with a colon", r#""SecurityOpt":["seccomp:unconfined"]"#),
    (Denied, "no AppArmor", r#""SecurityOpt":["apparmor=unconfined"]"#),
    (Denied, "no labels", r#""SecurityOpt":["label:disable"]"#),
    (Denied, "all of /proc", r#""SecurityOpt":["systempaths=unconfined"]"#),
    (Denied, "new privileges after all", r#""SecurityOpt":["no-new-privileges=false"]"#),
    (Denied, "nothing masked", r#""MaskedPaths":[]"#),
    (Denied, "nothing read-only", r#""ReadonlyPaths":[]"#),
    (Denied, "sysctl", r#""Sysctls":{"kernel.shmmax":"1"}"#),
    (Denied, "cgroup parent", r#""CgroupParent":"/system.slice""#),
    (Denied, "runtime", r#""Runtime":"other""#),
    (Denied, "isolation", r#""Isolation":"process""#),
    (Denied, "annotation to the runtime", r#""Annotations":{"run.oci.hooks.stdout":"/x"}"#),
    (Denied, "groups of the caller", r#""GroupAdd":["keep-groups"]"#),
    // Taking more than a share.
    (Denied, "last to be killed", r#""OomScoreAdj":-1000"#),
    (Denied, "never killed", r#""OomKillDisable":true"#),
    (Denied, "real-time processor", r#""CpuRealtimeRuntime":950000"#),
    (Denied, "real-time priority", r#""Ulimits":[{"Name":"rtprio","Soft":99,"Hard":99}]"#),
    (Denied, "device of the machine in a limit", r#""BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1}]"#),
    (Denied, "log to elsewhere", r#""LogConfig":{"Type":"syslog","Config":{"syslog-address":"tcp://10.0.0.1"}}"#),
    (Denied, "log option", r#""LogConfig":{"Type":"json-file","Config":{"path":"/etc/passwd"}}"#),
    (Denied, "storage option", r#""StorageOpt":{"dm.basesize":"1"}"#),
    // Ports and links.
    (Denied, "port of a service of the machine", r#""PortBindings":{"80/tcp":[{"HostPort":"80"}]}"#),
    (Denied, "port with zeros before it", r#""PortBindings":{"80/tcp":[{"HostPort":"00080"}]}"#),
    (Denied, "range that begins low", r#""PortBindings":{"80/tcp":[{"HostPort":"1000-1100"}]}"#),
    (Denied, "second binding", r#""PortBindings":{"80/tcp":[{"HostPort":"8080"},{"HostIp":"127.0.0.1","HostPort":"443"}]}"#),
    (Invalid, "port with a sign", r#""PortBindings":{"80/tcp":[{"HostPort":"+80"}]}"#),
    (Invalid, "port with a space", r#""PortBindings":{"80/tcp":[{"HostPort":" 80"}]}"#),
    (Invalid, "port that is no port", r#""PortBindings":{"80/tcp":[{"HostPort":"65616"}]}"#),
    (Invalid, "range that runs backwards", r#""PortBindings":{"80/tcp":[{"HostPort":"9000-80"}]}"#),
    (Invalid, "port as a number", r#""PortBindings":{"80/tcp":[{"HostPort":80}]}"#),
    (Invalid, "port binding twice", r#""PortBindings":{"80/tcp":[],"80/tcp":[{"HostPort":"80"}]}"#),
    (Invalid, "port range of the container", r#""PortBindings":{"80-90/tcp":[{"HostPort":"8080"}]}"#),
    (Invalid, "address that is none", r#""PortBindings":{"80/tcp":[{"HostIp":"localhost","HostPort":"8080"}]}"#),
    (Denied, "link", r#""Links":["db:db"]"#),
    (Invalid, "file of the client", r#""ContainerIDFile":"/etc/cron.d/x""#),
    // Making the engine slow for everybody; the rest is with the bounds themselves.
    (Invalid, "thousands of ports", r#""PortBindings":{"80/tcp":[{"HostPort":"2000-60000"}]}"#),
    (Invalid, "billions of processors", r#""CpusetCpus":"0-4294967295""#),
    (Invalid, "thousands of log files", r#""LogConfig":{"Type":"json-file","Config":{"max-size":"10m","max-file":"100000"}}"#),
    (Invalid, "log template with a function", r#""LogConfig":{"Config":{"tag":"{{pad .Name 1000000000 0}}"}}"#),
    (Invalid, "unknown key", r#""FutureKey":true"#),
    (Invalid, "number with a fraction", r#""Memory":1.5"#),
    (Invalid, "number too large", r#""Memory":99999999999999999999"#),
];

/// What may not stand at the top.
const HARMFUL_TOPS: &[(How, &str, &str)] = &[
    // Engines up to 20.10 read the keys of `HostConfig` here too.
    (Invalid, "privileged at the top", r#""Privileged":true"#),
    (Invalid, "binds at the top", r#""Binds":["/:/host"]"#),
    (Invalid, "host config in lower case", r#""hostconfig":{"Privileged":true}"#),
    (Invalid, "host config twice", r#""HostConfig":{"Privileged":true}"#),
    (Invalid, "image in lower case", r#""image":"other""#),
    (Invalid, "address of the network card", r#""MacAddress":"02:42:ac:11:00:02""#),
    (Invalid, "volume with a source", r#""Volumes":{"/etc:/host":{}}"#),
    (Invalid, "volume with options", r#""Volumes":{"/x":{"device":"/etc"}}"#),
    (Denied, "second network", r#""NetworkingConfig":{"EndpointsConfig":{"other":{}}}"#),
    (Denied, "second network, null", r#""NetworkingConfig":{"EndpointsConfig":{"other":null}}"#),
    (Denied, "default network as a second one", r#""NetworkingConfig":{"EndpointsConfig":{"bridge":{}}}"#),
    (Denied, "network of the host as a second one", r#""NetworkingConfig":{"EndpointsConfig":{"host":{}}}"#),
    (Invalid, "another network by id", r#""NetworkingConfig":{"EndpointsConfig":{"lopco-network":{"NetworkID":"0123456789ab"}}}"#),
    (
        Denied,
        "sysctls of the endpoint",
        r#""NetworkingConfig":{"EndpointsConfig":{"lopco-network":{"DriverOpts":{"com.docker.network.endpoint.sysctls":"x=1"}}}}"#,
    ),
    (
        Denied,
        "address that the network does not manage",
        r#""NetworkingConfig":{"EndpointsConfig":{"lopco-network":{"IPAMConfig":{"LinkLocalIPs":["169.254.34.68"]}}}}"#,
    ),
    (Invalid, "stop that is waited for without end", r#""StopTimeout":-1"#),
    (Invalid, "stop that is waited for an hour", r#""StopTimeout":3600"#),
    (Invalid, "health check every millisecond", r#""Healthcheck":{"Test":["CMD","true"],"Interval":1000000}"#),
    (Invalid, "every port exposed", r#""ExposedPorts":{"1-65535/tcp":{}}"#),
    (Denied, "links of the endpoint", r#""NetworkingConfig":{"EndpointsConfig":{"lopco-network":{"Links":["db:db"]}}}"#),
    (Invalid, "networks twice", r#""NetworkingConfig":{"EndpointsConfig":{"lopco-network":{},"lopco-network":{}}}"#),
    (Invalid, "network settings in lower case", r#""networkingConfig":{}"#),
    (Invalid, "label twice", r#""Labels":{"a":"1","a":"2"}"#),
    (Invalid, "platform, which is no key of a specification", r#""Platform":"linux""#),
];

const HARMLESS_HOST_CONFIGS: &[(&str, &str)] = &[
    ("nothing", r#""Privileged":false"#),
    ("null for absent", r#""Binds":null,"Mounts":null,"CapAdd":null,"MaskedPaths":null,"PidMode":null,"Privileged":null"#),
    ("no network at all", r#""NetworkMode":"none""#),
    ("named volume in a bind", r#""Binds":["data_cache:/data:rw"]"#),
    (
        "named volume in a mount",
        r#""Mounts":[{"Type":"volume","Source":"data_cache","Target":"/data","ReadOnly":true,"VolumeOptions":{"NoCopy":true,"Subpath":"a/b"}}]"#,
    ),
    ("volume of its own", r#""Binds":["/data"],"Mounts":[{"Type":"volume","Target":"/x"}]"#),
    (
        "tmpfs",
        r#""Tmpfs":{"/run":"rw,noexec,size=64m","/tmp":""},"Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"SizeBytes":65536,"Mode":1023}}]"#,
    ),
    (
        "published ports",
        r#""PortBindings":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"53/udp":[{"HostPort":"6000-6010"}]}"#,
    ),
    (
        "ports that the engine chooses",
        r#""PortBindings":{"80/tcp":[{"HostPort":""}],"81/tcp":[{"HostPort":"0"}],"82/tcp":[],"83/tcp":null},"PublishAllPorts":true"#,
    ),
    ("restart policy", r#""RestartPolicy":{"Name":"unless-stopped","MaximumRetryCount":0}"#),
    (
        "limits",
        r#""Memory":268435456,"NanoCpus":500000000,"PidsLimit":100,"OomScoreAdj":500,"Ulimits":[{"Name":"nofile","Soft":1024,"Hard":2048}]"#,
    ),
    ("fewer rights", r#""CapDrop":["ALL"],"SecurityOpt":["no-new-privileges:true"],"ReadonlyRootfs":true"#),
    ("names of its own namespaces", r#""PidMode":"","IpcMode":"private","UTSMode":"","UsernsMode":"","CgroupnsMode":"private""#),
    ("local log", r#""LogConfig":{"Type":"json-file","Config":{"max-size":"10m","max-file":"3"}}"#),
    // The name stands for an address that the container reaches anyway.
    ("name for the host", r#""ExtraHosts":["host.docker.internal:host-gateway"]"#),
];

const HARMLESS_TOPS: &[(&str, &str)] = &[
    ("environment and labels", r#""Env":["A=b=c","EMPTY"],"Labels":{"lopco-type":"worker","Lopco-Type":"x"}"#),
    ("command as a text", r#""Cmd":"true","Entrypoint":["/bin/sh","-c"]"#),
    ("exposed ports", r#""ExposedPorts":{"80/tcp":{},"81/tcp":null},"Volumes":{"/data":{}}"#),
    (
        "network with aliases",
        r#""NetworkingConfig":{"EndpointsConfig":{"lopco-network":{"Aliases":["web"],"IPAMConfig":{"IPv4Address":"10.0.0.5"}}}}"#,
    ),
    ("health check", r#""Healthcheck":{"Test":["CMD","true"],"Interval":30000000000}"#),
];

fn host(fragment: &str) -> String {
    let network = if fragment.contains("\"NetworkMode\"") { "" } else { r#""NetworkMode":"lopco-network","# };
    format!(r#"{{"Image":"redis:7","HostConfig":{{{network}{fragment}}}}}"#)
}

fn top(fragment: &str) -> String {
    format!(r#"{{"Image":"redis:7","HostConfig":{{"NetworkMode":"lopco-network"}},{fragment}}}"#)
}

/// Checks a specification under a grant; the answer is the text that would be sent.
fn decide(grant_text: &str, name: &str, specification: &str) -> Result<String, How> {
    let grant = grant(grant_text).on_engine_at(Some(std::path::Path::new("/srv/data/engine/docker.sock")));
    let request = CreateRequest::parse(name, specification).map_err(|_| Invalid)?;
    let ImageName::Reference(reference) = request.image() else { panic!("an id is looked up first") };
    let image = grant.image("create", reference).map_err(|_| Denied)?;
    let mark = CreationMark::new();
    match grant.creation(&request, &image) {
        Ok(allowed) => Ok(allowed.body(&mark).replace(mark.as_str(), "MARK")),
        Err(Refusal::Invalid(_)) => Err(Invalid),
        Err(Refusal::Denied(_)) => Err(Denied),
    }
}

#[test]
fn every_harmful_specification_is_refused() {
    assert!(HARMFUL_HOST_CONFIGS.len() + HARMFUL_TOPS.len() >= 40);
    for (how, name, fragment) in HARMFUL_HOST_CONFIGS {
        assert_eq!(decide(DEPLOYER, "web-1", &host(fragment)), Err(*how), "{name}");
    }
    for (how, name, fragment) in HARMFUL_TOPS {
        assert_eq!(decide(DEPLOYER, "web-1", &top(fragment)), Err(*how), "{name}");
    }
    for text in ["", "null", "[]", "1", "{", "{}x", r#"{"Image":""}"#, r#"{"Image":"redis","Image":"other"}"#, r#"{"HostConfig":{}}"#] {
        assert_eq!(decide(DEPLOYER, "web-1", text), Err(Invalid), "{text}");
    }
}

#[test]
fn every_harmless_specification_passes() {
    for (name, fragment) in HARMLESS_HOST_CONFIGS {
        assert!(decide(DEPLOYER, "web-1", &host(fragment)).is_ok(), "{name}: {:?}", decide(DEPLOYER, "web-1", &host(fragment)));
    }
    for (name, fragment) in HARMLESS_TOPS {
        assert!(decide(DEPLOYER, "web-1", &top(fragment)).is_ok(), "{name}: {:?}", decide(DEPLOYER, "web-1", &top(fragment)));
    }
}

#[test]
fn what_was_checked_is_what_is_sent() {
    let text = "{ \"Image\": \"docker.io/library/redis\", \"Cmd\": null, \"Entrypoint\": [],\n \"HostConfig\": { \"Priv\\u0069leged\": false, \"NetworkMode\": \"none\", \"Memory\": 9007199254740993, \"PortBindings\": {\"80/tcp\": null} } }";
    let sent = decide(DEPLOYER, "web-1", text).unwrap();
    assert_eq!(
        sent,
        r#"{"Entrypoint":[],"HostConfig":{"Privileged":false,"NetworkMode":"none","Memory":9007199254740993,"PortBindings":{"80/tcp":[]}},"Image":"redis:latest","Labels":{"wharf.create":"MARK"}}"#
    );
}

/// One entry of `grants.docker.create`, a `HostConfig` that it allows, and one that it does not.
const ENTRIES: &[(&str, &str, &str)] = &[
    ("privileged = true", r#""Privileged":true"#, r#""PidMode":"host""#),
    ("host_paths = [\"/srv/data\"]", r#""Binds":["/srv/data/a:/a:ro"]"#, r#""Binds":["/srv/database:/a"]"#),
    (
        "host_paths = [\"/srv/data\"]",
        r#""Mounts":[{"Type":"bind","Source":"/srv/data","Target":"/a","ReadOnly":true}]"#,
        r#""Binds":["/srv:/a"]"#,
    ),
    ("namespaces = [\"network=host\"]", r#""NetworkMode":"host""#, r#""PidMode":"host""#),
    ("namespaces = [\"pid=container:db\"]", r#""PidMode":"container:db""#, r#""PidMode":"container:web""#),
    (
        "namespaces = [\"ipc=host\", \"uts=host\", \"userns=host\", \"cgroupns=host\"]",
        r#""IpcMode":"host","UTSMode":"host","UsernsMode":"host","CgroupnsMode":"host""#,
        r#""NetworkMode":"host""#,
    ),
    (
        "devices = [\"/dev/ttyUSB0\"]",
        r#""Devices":[{"PathOnHost":"/dev/ttyUSB0","PathInContainer":"/dev/tty","CgroupPermissions":"rw"}]"#,
        r#""Devices":[{"PathOnHost":"/dev/../dev/sda"}]"#,
    ),
    ("device_requests = true", r#""DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]"#, r#""Devices":[{"PathOnHost":"/dev/sda"}]"#),
    ("capabilities = [\"NET_ADMIN\"]", r#""CapAdd":["CAP_NET_ADMIN","net_admin"]"#, r#""CapAdd":["NET_RAW"]"#),
    ("security_options = [\"seccomp=unconfined\"]", r#""SecurityOpt":["seccomp:unconfined"]"#, r#""SecurityOpt":["apparmor=unconfined"]"#),
    (
        "security_options = [\"systempaths=unconfined\"]",
        r#""MaskedPaths":[],"ReadonlyPaths":[]"#,
        r#""SecurityOpt":["seccomp=unconfined"]"#,
    ),
    ("cgroup_parents = [\"/apps\"]", r#""CgroupParent":"/apps""#, r#""CgroupParent":"/apps/..""#),
    ("runtimes = [\"nvidia\"]", r#""Runtime":"nvidia""#, r#""Runtime":"runc""#),
    ("sysctls = [\"net.core.somaxconn\"]", r#""Sysctls":{"net.core.somaxconn":"1024"}"#, r#""Sysctls":{"net/core/somaxconn":"1"}"#),
    ("lowest_port = 80", r#""PortBindings":{"80/tcp":[{"HostPort":"80"}]}"#, r#""PortBindings":{"80/tcp":[{"HostPort":"79"}]}"#),
];

#[test]
fn each_entry_of_the_grant_allows_what_it_says_and_no_more() {
    for (entry, allowed, refused) in ENTRIES {
        let grant = format!("{DEPLOYER}\n[create]\n{entry}\n");
        if entry.contains("host_paths") && allowed.contains("\"/srv/data\"") {
            // The whole directory holds this engine's socket.
            assert_eq!(decide(&grant, "web-1", &host(allowed)), Err(Denied), "{entry}");
        } else {
            assert!(decide(&grant, "web-1", &host(allowed)).is_ok(), "{entry}: {allowed}");
        }
        assert!(decide(&grant, "web-1", &host(refused)).is_err(), "{entry}: {refused}");
    }
}

#[test]
fn no_granted_path_leads_to_an_engine() {
    let grant = format!("{DEPLOYER}\n[create]\nhost_paths = [\"/\"]\n");
    for path in
        ["/", "/run", "/var/run", "/var/run/docker.sock", "/run/docker.sock", "/run/podman", "/srv/data/engine", "/proc", "/proc/1/root"]
    {
        assert_eq!(decide(&grant, "web-1", &host(&format!(r#""Binds":["{path}:/x"]"#))), Err(Denied), "{path}");
    }
    for path in ["/etc", "/var", "/srv/data/other", "/runner"] {
        let outcome = decide(&grant, "web-1", &host(&format!(r#""Binds":["{path}:/x"]"#)));
        // `/var` holds the link `/var/run`, which leads nowhere from inside a container.
        assert!(outcome.is_ok(), "{path}");
    }
}

#[test]
fn a_new_container_lies_within_the_scope_of_the_grant() {
    let named = format!("{DEPLOYER}\ncontainers = {{ names = [\"web-*\"], labels = [\"tier=front\"] }}\n");
    let labelled = top(r#""Labels":{"tier":"front"}"#);
    assert!(decide(&named, "web-1", &labelled).is_ok());
    assert_eq!(decide(&named, "db", &labelled), Err(Denied));
    assert_eq!(decide(&named, "web-1", &top(r#""Labels":{"tier":"back"}"#)), Err(Denied));
    assert_eq!(decide(&named, "web-1", &host("\"Init\":true")), Err(Denied));
    let images = format!("{DEPLOYER}\nimages = [\"docker.io/library/nginx\"]\n");
    assert_eq!(decide(&images, "web-1", &host("\"Init\":true")), Err(Denied));
    let image_mount = r#""Mounts":[{"Type":"image","Source":"redis","Target":"/x"}]"#;
    // The engine would take such a source for an id prefix too.
    assert_eq!(decide(EVERYTHING, "web-1", &host(image_mount)), Err(Denied));
}

#[test]
fn a_new_container_answers_to_names_within_the_scope_only() {
    let hostname = |name: &str| top(&format!(r#""Labels":{{"tier":"front"}},"Hostname":"{name}""#));
    let alias = |name: &str| {
        let endpoints = format!(r#"{{"lopco-network":{{"Aliases":["web-3","{name}"]}}}}"#);
        top(&format!(r#""Labels":{{"tier":"front"}},"NetworkingConfig":{{"EndpointsConfig":{endpoints}}}"#))
    };
    let named = format!("{DEPLOYER}\ncontainers = {{ names = [\"web-*\"] }}\n");
    let labelled = format!("{DEPLOYER}\ncontainers = {{ labels = [\"tier=front\"] }}\n");
    for (grant, own, name, outcome) in [
        (DEPLOYER, "web-1", "db", None),
        (named.as_str(), "web-1", "web-2", None),
        (&named, "web-1", "db", Some(Denied)),
        (&named, "web-1", "WEB-2", Some(Denied)),
        (&named, "web-1", "web-2.local", None),
        (&named, "web-1", "db.web-2", Some(Denied)),
    ] {
        assert_eq!(decide(grant, own, &hostname(name)).err(), outcome, "{grant} hostname {name}");
        assert_eq!(decide(grant, own, &alias(name)).err(), outcome, "{grant} alias {name}");
    }
    // A scope by labels says nothing of names: only the container's own is left.
    assert_eq!(decide(&labelled, "web-3", &hostname("web-3")).err(), None);
    assert_eq!(decide(&labelled, "web-3", &alias("web-3")).err(), None);
    assert_eq!(decide(&labelled, "web-3", &hostname("db")).err(), Some(Denied));
    assert_eq!(decide(&labelled, "web-3", &alias("db")).err(), Some(Denied));
    // Empty is the short id, which is nobody else's.
    assert_eq!(decide(&named, "web-1", &hostname("")).err(), None);
}

#[test]
fn what_only_newer_engines_know_is_a_requirement() {
    let requirement =
        |text: &str| specification::requirement(&specification::parse(text).unwrap()).map(|found| (found.key, found.since.to_string()));
    for (text, expected) in [
        (
            host(r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"Subpath":"a"}}]"#),
            Some(("HostConfig.Mounts.VolumeOptions.Subpath", "1.45")),
        ),
        (
            host(r#""Mounts":[{"Target":"/x","TmpfsOptions":{"Options":[["noexec"]]}}]"#),
            Some(("HostConfig.Mounts.TmpfsOptions.Options", "1.46")),
        ),
        (
            host(r#""Mounts":[{"Target":"/x","BindOptions":{"CreateMountpoint":true}}]"#),
            Some(("HostConfig.Mounts.BindOptions.CreateMountpoint", "1.42")),
        ),
        (
            host(r#""Mounts":[{"Target":"/x","BindOptions":{"ReadOnlyForceRecursive":true}}]"#),
            Some(("HostConfig.Mounts.BindOptions.ReadOnlyForceRecursive", "1.44")),
        ),
        (host(r#""ConsoleSize":[24,80]"#), Some(("HostConfig.ConsoleSize", "1.42"))),
        (host(r#""CgroupnsMode":"private""#), Some(("HostConfig.CgroupnsMode", "1.41"))),
        (host(r#""Annotations":{"a":"b"}"#), Some(("HostConfig.Annotations", "1.43"))),
        (top(r#""Healthcheck":{"StartPeriod":1000000000,"StartInterval":1000000000}"#), Some(("Healthcheck.StartInterval", "1.44"))),
        (
            top(r#""NetworkingConfig":{"EndpointsConfig":{"lopco-network":{"GwPriority":1}}}"#),
            Some(("NetworkingConfig.EndpointsConfig.GwPriority", "1.48")),
        ),
        // What asks for nothing is missed by nobody, and what every engine knows is no requirement.
        (host(r#""ConsoleSize":[0,0],"Annotations":{},"CgroupnsMode":"","Mounts":[{"Target":"/x","VolumeOptions":{"Subpath":""}}]"#), None),
        (host(r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"NoCopy":true}}],"Init":true"#), None),
    ] {
        assert_eq!(requirement(&text), expected.map(|(key, since)| (key.to_owned(), since.to_owned())), "{text}");
    }
}

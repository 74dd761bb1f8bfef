//! The specification of a new container: from a plugin's text to a tree of known keys.
//!
//! An engine reads this JSON with rules of its own: it matches keys without regard to case, takes the last of several that it thinks equal, ignores what it does not know, and
//! old ones read the keys of `HostConfig` at the top level too. A check that reads the text by other rules can be walked around. So there is one form: each key in the
//! engine's exact spelling, once, and known here; `null` is the same as absent and is taken out; and the tree that results is what is checked and what is sent, never the text.
//!
//! A new field of a new engine is therefore `invalid` until it is written down here, together with what it means for the policy.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The longest specification: 1 MiB, far more than the longest environment that a kernel takes.
const MAX_SPECIFICATION_BYTES: usize = 1024 * 1024;

/// JSON in which no key occurs twice and every number is an integer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Flag(bool),
    Integer(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What may stand under a key.
#[derive(Clone, Copy)]
enum Shape {
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
}

type Key = (&'static str, Shape);

const CONFIG: &[Key] = &[
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
    ("StartPeriod", Shape::Integer),
    ("StartInterval", Shape::Integer),
    ("Retries", Shape::Integer),
];

const THROTTLE: &[Key] = &[("Path", Shape::Text), ("Rate", Shape::Integer)];

const HOST_CONFIG: &[Key] = &[
    ("AutoRemove", Shape::Flag),
    ("Annotations", Shape::TextMap),
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
    ("CgroupnsMode", Shape::Text),
    ("ConsoleSize", Shape::Integers),
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
    ("DeviceRequests", Shape::Objects(DEVICE_REQUEST)),
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
            ("NonRecursive", Shape::Flag),
            ("CreateMountpoint", Shape::Flag),
            ("ReadOnlyNonRecursive", Shape::Flag),
            ("ReadOnlyForceRecursive", Shape::Flag),
        ]),
    ),
    (
        "VolumeOptions",
        Shape::Object(&[
            ("NoCopy", Shape::Flag),
            ("Labels", Shape::TextMap),
            ("DriverConfig", Shape::Object(&[("Name", Shape::Text), ("Options", Shape::TextMap)])),
            ("Subpath", Shape::Text),
        ]),
    ),
    ("ImageOptions", Shape::Object(&[("Subpath", Shape::Text)])),
    ("TmpfsOptions", Shape::Object(&[("SizeBytes", Shape::Integer), ("Mode", Shape::Integer), ("Options", Shape::TextLists)])),
];

const ENDPOINT: &[Key] = &[
    ("IPAMConfig", Shape::Object(&[("IPv4Address", Shape::Text), ("IPv6Address", Shape::Text), ("LinkLocalIPs", Shape::Texts)])),
    ("Aliases", Shape::Texts),
    ("GwPriority", Shape::Integer),
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

/// Reads a specification into its one form.
///
/// # Errors
///
/// The first rule that it breaks, with the place.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    if text.len() > MAX_SPECIFICATION_BYTES {
        return Err(format!("the specification is longer than {MAX_SPECIFICATION_BYTES} bytes"));
    }
    let json: Json = serde_json::from_str(text).map_err(|error| format!("the specification is not acceptable JSON: {error}"))?;
    match fit(json, Shape::Object(CONFIG), "the specification")? {
        Some(tree) => Ok(tree),
        None => Err("the specification is `null`, expected an object".to_owned()),
    }
}

/// `json` if it has `shape`, without nulls; none if it is null itself.
fn fit(json: Json, shape: Shape, place: &str) -> Result<Option<Json>, String> {
    if let Shape::Refused(reason) = shape {
        return Err(format!("`{place}` is not taken: {reason}"));
    }
    let fitting = match (shape, json) {
        (_, Json::Null) => return Ok(None),
        (Shape::Text | Shape::Command, text @ Json::Text(_)) => text,
        (Shape::Flag, flag @ Json::Flag(_)) => flag,
        (Shape::Integer, integer @ Json::Integer(_)) => integer,
        (Shape::Texts | Shape::Command, Json::List(items)) => fit_all(items, Shape::Text, place)?,
        (Shape::Integers, Json::List(items)) => fit_all(items, Shape::Integer, place)?,
        (Shape::TextLists, Json::List(items)) => fit_all(items, Shape::Texts, place)?,
        (Shape::Objects(keys), Json::List(items)) => fit_all(items, Shape::Object(keys), place)?,
        (Shape::TextMap, Json::Object(entries)) => fit_values(entries, Shape::Text, &Json::Text(String::new()), place)?,
        (Shape::Set, Json::Object(entries)) => fit_values(entries, Shape::Object(&[]), &Json::Object(Vec::new()), place)?,
        (Shape::ObjectMap(keys), Json::Object(entries)) => fit_values(entries, Shape::Object(keys), &Json::Object(Vec::new()), place)?,
        (Shape::ObjectListMap(keys), Json::Object(entries)) => fit_values(entries, Shape::Objects(keys), &Json::List(Vec::new()), place)?,
        (Shape::Object(keys), Json::Object(entries)) => fit_object(entries, keys, place)?,
        (shape, other) => return Err(format!("`{place}` is {}, expected {}", other.kind(), shape.kind())),
    };
    Ok(Some(fitting))
}

/// The items of a list, none of which may be null: an engine would read it as an empty value, which is rarely meant.
fn fit_all(items: Vec<Json>, shape: Shape, place: &str) -> Result<Json, String> {
    let mut fitting = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        fitting.push(fit(item, shape, &place)?.ok_or_else(|| format!("`{place}` is null, expected {}", shape.kind()))?);
    }
    Ok(Json::List(fitting))
}

/// The values of an object with free keys; null is `empty`, as the engine has it.
fn fit_values(entries: Vec<(String, Json)>, shape: Shape, empty: &Json, place: &str) -> Result<Json, String> {
    let mut fitting = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let value = fit(value, shape, &format!("{place}.{key}"))?;
        fitting.push((key, value.unwrap_or_else(|| empty.clone())));
    }
    Ok(Json::Object(fitting))
}

fn fit_object(entries: Vec<(String, Json)>, keys: &[Key], place: &str) -> Result<Json, String> {
    let mut fitting = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Some((_, shape)) = keys.iter().find(|(known, _)| *known == key) else {
            let meant = keys.iter().find(|(known, _)| known.to_lowercase() == key.to_lowercase());
            let hint = meant.map(|(known, _)| format!("; write `{known}`")).unwrap_or_default();
            return Err(format!("{place} has the unknown key `{key}`{hint}"));
        };
        let place = if place == "the specification" { key.clone() } else { format!("{place}.{key}") };
        if let Some(value) = fit(value, *shape, &place)? {
            fitting.push((key, value));
        }
    }
    Ok(Json::Object(fitting))
}

impl Shape {
    fn kind(self) -> &'static str {
        match self {
            Shape::Text => "a string",
            Shape::Flag => "a boolean",
            Shape::Integer => "an integer",
            Shape::Texts | Shape::Integers | Shape::TextLists | Shape::Objects(_) => "an array",
            Shape::Command => "a string or an array of strings",
            Shape::TextMap | Shape::Set | Shape::Object(_) | Shape::ObjectMap(_) | Shape::ObjectListMap(_) => "an object",
            Shape::Refused(_) => "nothing",
        }
    }
}

impl Json {
    /// The value under `key`; none if there is none or this is no object.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.entries().iter().find(|(own, _)| own == key).map(|(_, value)| value)
    }

    /// The text under `key`; empty if there is none, as the engine has it.
    pub(super) fn text(&self, key: &str) -> &str {
        self.get(key).map_or("", Json::as_text)
    }

    /// The flag under `key`; false if there is none.
    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Json::Flag(true)))
    }

    /// The integer under `key`.
    pub(super) fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Json::Integer(integer)) => Some(*integer),
            _ => None,
        }
    }

    /// The list under `key`; empty if there is none.
    pub(super) fn list(&self, key: &str) -> &[Json] {
        match self.get(key) {
            Some(Json::List(items)) => items,
            _ => &[],
        }
    }

    /// The texts in the list under `key`.
    pub(super) fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        self.list(key).iter().map(Json::as_text)
    }

    /// The entries of the object under `key`; none if there is none.
    pub(super) fn map(&self, key: &str) -> &[(String, Json)] {
        self.get(key).map_or(&[], Json::entries)
    }

    /// The entries of this object.
    pub(super) fn entries(&self) -> &[(String, Json)] {
        match self {
            Json::Object(entries) => entries,
            _ => &[],
        }
    }

    /// This text; empty if it is none.
    pub(super) fn as_text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            _ => "",
        }
    }

    /// The items of this list.
    pub(super) fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            _ => &[],
        }
    }

    /// Puts `value` under `key` of this object, in place of what is there.
    pub(super) fn set(&mut self, key: &str, value: Json) {
        let Json::Object(entries) = self else { return };
        entries.retain(|(own, _)| own != key);
        entries.push((key.to_owned(), value));
    }

    fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Flag(_) => "a boolean",
            Json::Integer(_) => "an integer",
            Json::Text(_) => "a string",
            Json::List(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Flag(flag) => serializer.serialize_bool(*flag),
            Json::Integer(integer) => serializer.serialize_i64(*integer),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => serializer.collect_seq(items),
            Json::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without fractions and repeated keys")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_i64<E: de::Error>(self, integer: i64) -> Result<Json, E> {
        Ok(Json::Integer(integer))
    }

    fn visit_u64<E: de::Error>(self, integer: u64) -> Result<Json, E> {
        i64::try_from(integer).map(Json::Integer).map_err(|_| E::custom(format!("the number {integer} is too large")))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Json, E> {
        Err(E::custom(format!("the number {number} is no integer of 64 bits")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format!("the key `{key}` occurs twice")));
            }
            entries.push((key, value));
        }
        Ok(Json::Object(entries))
    }
}

//! Containers that are not ours to replace: somebody else would put the old one back, or the state cannot be kept.

use serde_json::Value;

use super::Facts;
use super::json::{at, text_at};

/// Why a container is not recreated. The text is for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Swarm owns it.
    #[error("it is a task of Swarm, which would put the old one back: update the service")]
    Swarm,
    /// A kubelet owns it.
    #[error("it belongs to a pod of Kubernetes, which would put the old one back: update the pod's owner")]
    Kubernetes,
    /// Podman's units create their containers themselves.
    #[error("systemd manages it as `{unit}`: update the unit")]
    Systemd {
        /// The unit's name.
        unit: String,
    },
    /// Its processes would have to be thawed to be stopped.
    #[error("it is paused")]
    Paused,
    /// It goes away.
    #[error("it is being removed")]
    Removing,
    /// Nobody would be there to undo it.
    #[error("this host itself runs in it, and nobody could put it back")]
    Own,
    /// What the engine bakes in on other systems is not known here.
    #[error("it is a container of {platform}, and only those of Linux can be recreated")]
    Platform {
        /// `windows`.
        platform: String,
    },
    /// The engine would refuse to create it, and could not start the old one either.
    #[error("`{key}` leads to the container `{container}`, which is not there any more")]
    Orphan {
        /// `NetworkMode`.
        key: &'static str,
        /// As the container has it, most often an id.
        container: String,
    },
    /// Its data would stay behind.
    #[error("the volume at `{path}` has no name by which it could be mounted again")]
    NamelessVolume {
        /// Where it is mounted.
        path: String,
    },
    /// This is no answer to an inspection.
    #[error("the engine's description of it has no `{0}`")]
    Malformed(&'static str),
}

/// Refuses what must not be recreated, by the inspect document.
pub(super) fn check(container: &Value, facts: &Facts) -> Result<(), Refusal> {
    for (pointer, key) in [("/Id", "Id"), ("/Name", "Name"), ("/Image", "Image"), ("/Config/Image", "Config.Image")] {
        if text_at(container, pointer).is_empty() {
            return Err(Refusal::Malformed(key));
        }
    }
    if !at(container, "/HostConfig").is_object() {
        return Err(Refusal::Malformed("HostConfig"));
    }
    let label = |name: &str| at(container, "/Config/Labels").get(name).and_then(Value::as_str);
    let is_own = facts.own_container.as_deref() == Some(text_at(container, "/Id"));
    let platform = text_at(container, "/Platform");
    match text_at(container, "/State/Status") {
        _ if is_own => Err(Refusal::Own),
        _ if label("com.docker.swarm.task.id").is_some() || label("com.docker.swarm.service.id").is_some() => Err(Refusal::Swarm),
        _ if label("io.kubernetes.pod.uid").is_some() || label("io.kubernetes.pod.name").is_some() => Err(Refusal::Kubernetes),
        _ if let Some(unit) = label("PODMAN_SYSTEMD_UNIT") => Err(Refusal::Systemd { unit: unit.to_owned() }),
        _ if !matches!(platform, "" | "linux") => Err(Refusal::Platform { platform: platform.to_owned() }),
        "paused" => Err(Refusal::Paused),
        "removing" | "dead" => Err(Refusal::Removing),
        _ if at(container, "/State/Paused") == true => Err(Refusal::Paused),
        _ => Ok(()),
    }
}

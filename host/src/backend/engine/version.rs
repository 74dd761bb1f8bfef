//! Which version of the API is spoken with an engine.
//!
//! The answers of an engine change their shape with the version that the request names, so the host names one: the newest up to [`NEWEST`] that the engine
//! has. From 1.52 on `Config.MacAddress` and the top-level fields of `NetworkSettings` are gone, and plugins that read them would change their behaviour with
//! an upgrade of the engine. An engine that has dropped 1.51 is spoken to in the oldest version it still has.

use std::fmt;

use serde::Deserialize;

use super::error::EngineError;

/// A version of the engine's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u32,
    minor: u32,
}

/// The newest version whose answers the host and its plugins know.
pub(super) const NEWEST: ApiVersion = ApiVersion::v1(51);

/// Something in a request that engines know only from a version of the API on, and older ones leave out without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// Where it stands: `HostConfig.Annotations`.
    pub(crate) key: String,
    /// The version that brought it.
    pub(crate) since: ApiVersion,
}

impl ApiVersion {
    /// Version 1 with this minor number.
    pub(crate) const fn v1(minor: u32) -> ApiVersion {
        ApiVersion { major: 1, minor }
    }

    /// Reads `1.41`.
    pub(crate) fn parse(text: &str) -> Option<ApiVersion> {
        let (major, minor) = text.split_once('.')?;
        Some(ApiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// What was agreed with an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreement {
    /// What goes on the wire.
    pub(super) spoken: ApiVersion,
    /// The engine's newest version in its own spelling, as it puts it into the field `Api-Version` of each answer. Another one there means another engine.
    pub(super) newest_of_engine: String,
}

impl Agreement {
    /// Checks that the engine knows what a request needs.
    pub(super) fn meets(&self, requirement: Option<&Requirement>) -> Result<(), EngineError> {
        match requirement {
            Some(requirement) if requirement.since > self.spoken => {
                Err(EngineError::TooOld { requirement: requirement.clone(), spoken: self.spoken })
            }
            _ => Ok(()),
        }
    }
}

/// `GET /version`, as far as the host reads it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VersionAnswer {
    /// The engine's own version.
    #[serde(default)]
    pub(crate) version: String,
    /// The newest version of the API that it has.
    pub(crate) api_version: String,
    /// The oldest one; Podman and old engines may leave it out.
    #[serde(default, rename = "MinAPIVersion")]
    pub(crate) min_api_version: Option<String>,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) arch: String,
}

impl VersionAnswer {
    /// The version to speak with this engine.
    pub(super) fn agree(&self) -> Result<Agreement, EngineError> {
        let newest = ApiVersion::parse(&self.api_version)
            .ok_or_else(|| EngineError::Unintelligible(format!("`{}` is no API version", self.api_version)))?;
        let oldest = self.min_api_version.as_deref().and_then(ApiVersion::parse);
        let spoken = oldest.map_or(NEWEST, |oldest| oldest.max(NEWEST)).min(newest);
        Ok(Agreement { spoken, newest_of_engine: self.api_version.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_spoken(newest: &str, oldest: Option<&str>, spoken: &str) {
        let answer = VersionAnswer {
            version: String::new(),
            api_version: newest.to_owned(),
            min_api_version: oldest.map(str::to_owned),
            os: String::new(),
            arch: String::new(),
        };
        assert_eq!(answer.agree().unwrap().spoken.to_string(), spoken);
    }

    #[test]
    fn the_newest_version_that_both_know_is_spoken() {
        check_spoken("1.41", Some("1.12"), "1.41");
        check_spoken("1.51", Some("1.24"), "1.51");
        check_spoken("1.54", Some("1.40"), "1.51");
        check_spoken("1.41", None, "1.41");
        check_spoken("1.44", Some("nonsense"), "1.44");
    }

    #[test]
    fn an_engine_that_has_dropped_our_version_is_spoken_to_in_its_oldest() {
        check_spoken("1.60", Some("1.53"), "1.53");
        assert!(ApiVersion::parse("1.9").unwrap() < ApiVersion::parse("1.41").unwrap());
    }
}

//! Paths below `/api/v1/image/`, whose names have slashes in them.
//!
//! A path is read from both ends: the last segment says what is asked, the one before it is the tag, the first ones are what the API puts there, and the name is the rest. Only then is a segment
//! decoded, so that a slash may also be written as `%2F`. Which names there can be is for the engine's grammar to say; here a name is what is not empty.

use std::borrow::Cow;

use wharf_sdk::{Request, Response, percent_decode};

use crate::failure::Failure;
use crate::{delete as deletion, download, inspect, tags, templates};

/// A type of image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Docker,
    Lxc,
}

impl Kind {
    pub(crate) fn parse(text: &str) -> Result<Kind, Failure> {
        match text {
            "docker" => Ok(Kind::Docker),
            "lxc" => Ok(Kind::Lxc),
            other => Err(Failure::Malformed(format!("unknown image type `{other}`: expected `docker` or `lxc`"))),
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Docker => "docker",
            Kind::Lxc => "lxc",
        }
    }
}

/// A name and a tag, as the client wrote them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) tag: String,
}

impl Named {
    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }
}

/// The decoded segments of the path.
fn segments(request: &Request) -> Vec<Cow<'_, str>> {
    request.raw_param("path").split('/').map(percent_decode).collect()
}

/// A name of `segments`, which are not empty.
fn name(segments: &[&str]) -> Option<String> {
    let usable = !segments.is_empty() && segments.iter().all(|segment| !segment.is_empty());
    usable.then(|| segments.join("/"))
}

/// A name and, in the last segment, a tag.
fn named(segments: &[&str]) -> Option<Named> {
    let (tag, rest) = segments.split_last()?;
    let name = name(rest)?;
    (!tag.is_empty()).then(|| Named { name, tag: (*tag).to_owned() })
}

fn no_path(request: &Request) -> Failure {
    Failure::NoPath(request.path().to_owned())
}

/// `GET {type}/{name}/{tag}/inspect`, `…/remote_inspect` and `dockerhub/docker/{is_official}/{name}/tags`.
pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let path = segments(request);
    let path: Vec<&str> = path.iter().map(|segment| &**segment).collect();
    match path.as_slice() {
        ["dockerhub", "docker", is_official, rest @ .., "tags"] => tags::tags(is_official, &name(rest).ok_or_else(|| no_path(request))?),
        [kind, rest @ .., verb @ ("inspect" | "remote_inspect")] => {
            let image = named(rest).ok_or_else(|| no_path(request))?;
            match (Kind::parse(kind)?, *verb) {
                (Kind::Lxc, "inspect") => templates::inspect(&image),
                (Kind::Lxc, _) => Err(Failure::Malformed("only images of type `docker` can be inspected at their registry".to_owned())),
                (Kind::Docker, "inspect") => inspect::local(&image),
                (Kind::Docker, _) => inspect::remote(&image),
            }
        }
        _ => Err(no_path(request)),
    }
}

/// `POST {repository}/{type}/{name}/{tag}/download`.
pub(crate) fn post(request: &Request) -> Result<Response, Failure> {
    let path = segments(request);
    let path: Vec<&str> = path.iter().map(|segment| &**segment).collect();
    match path.as_slice() {
        [repository, kind, rest @ .., "download"] => {
            let image = named(rest).ok_or_else(|| no_path(request))?;
            download::download(request, repository, kind, &image)
        }
        _ => Err(no_path(request)),
    }
}

/// `DELETE local/{type}/{name}`, where the last segment may be a tag.
pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    let path = segments(request);
    let path: Vec<&str> = path.iter().map(|segment| &**segment).collect();
    match path.as_slice() {
        [repository, kind, rest @ ..] => {
            let name = name(rest).ok_or_else(|| no_path(request))?;
            deletion::delete(repository, kind, &name, named(rest))
        }
        _ => Err(no_path(request)),
    }
}

//! The part of a [course](super::course) that makes the new containers, under names of their own and beside the old ones.
//!
//! **A name may be lent.** A dependent is made anew on the image that it has, which its reference may not lead to any more; so it does for as long as the engine takes. The journal knows where it led before.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::course::{Course, Stop, failed, of_journal, of_preparing};
use super::error::FailureWord;
use super::prepare::{Prepare, Prepared, refused};
use super::record::{LentName, Phase};
use super::specification::{Specification, Target, differences, specify};
use super::{Request, raw};
use crate::backend::engine::{ContainerId, CreateError, EngineError};
use crate::backend::operations::RecreationStep;
use crate::backend::reference::ImageReference;

/// How many differences are told of.
const MAX_TOLD: usize = 5;

impl Course {
    /// Makes the new containers, and what is to stand in for old ones that vanish. Nothing has happened to the old ones when it is done.
    pub(super) async fn create(&mut self, request: &Request, prepared: &Prepared, target: &Value) -> Result<(), Stop> {
        if let Some(main) = prepared.members.first() {
            check_platform(main, target)?;
        }
        self.enter(Phase::Creating, RecreationStep::Creating).await?;
        let (mut replaced, mut returned) = (BTreeMap::new(), BTreeMap::new());
        for (place, prepare) in prepared.members.iter().enumerate() {
            let own = raw::text(&prepare.member.inspected, "/Config/Image");
            let (reference, image) = if place == 0 { (request.spelling.as_str(), target) } else { (own, &prepare.image) };
            let name = self.record.members.get(place).map(|member| self.record.new_name(member)).unwrap_or_default();
            let new = self.make(prepared, prepare, &replaced, &Target { reference, image }, &name).await?;
            replaced.insert(prepare.member.old.as_str().to_owned(), new.as_str().to_owned());
            self.with_member(place, |member| member.new = Some(new));
            if prepare.member.vanishes() || !returned.is_empty() {
                let name = self.record.members.get(place).map(|member| self.record.stand_in_name(member)).unwrap_or_default();
                let back = self.make(prepared, prepare, &returned, &Target { reference: own, image: &prepare.image }, &name).await?;
                returned.insert(prepare.member.old.as_str().to_owned(), back.as_str().to_owned());
                self.with_member(place, |member| member.stand_in = Some(back));
            }
        }
        Ok(())
    }

    /// Makes a container called `name` in the place of another, and compares it with what was meant.
    async fn make(
        &mut self,
        prepared: &Prepared,
        prepare: &Prepare,
        replaced: &BTreeMap<String, String>,
        target: &Target<'_>,
        name: &str,
    ) -> Result<ContainerId, Stop> {
        let is_main = self.record.name == prepare.member.name;
        let refusal = |reason: &dyn std::fmt::Display| of_preparing(refused(is_main, &prepare.member.name, &reason.to_string()));
        let mut specification = specify(&prepared.subject(prepare, replaced), target).map_err(|error| refusal(&error))?;
        self.link_to_successors(&mut specification, replaced);
        let new = self.create_on(&specification, target, name).await?;
        for connection in &specification.connect {
            let connected = self.home.engine.connect(&connection.network, &new, &connection.endpoint).await;
            connected.map_err(|error| failed(&format!("connect the new container to the network `{}`", connection.network), &error))?;
        }
        let created = self.home.engine.container(new.as_str()).await.map_err(|error| failed("look at the new container", &error))?;
        let differences = differences(&specification, target.image, &created, &prepared.facts);
        if !differences.is_empty() {
            let told: Vec<String> = differences.iter().take(MAX_TOLD).map(ToString::to_string).collect();
            let reason = format!("the engine made another container than was meant: {}", told.join(", "));
            return Err(Stop::because(FailureWord::Internal, reason));
        }
        Ok(new)
    }

    /// Lets links lead to the containers that are about to have the names: the engine follows a link when a container is made, and the old ones have the names then.
    fn link_to_successors(&self, specification: &mut Specification, replaced: &BTreeMap<String, String>) {
        let Some(links) = specification.body.pointer_mut("/HostConfig/Links").and_then(Value::as_array_mut) else { return };
        for link in links {
            let Some((target, alias)) = link.as_str().and_then(|link| link.split_once(':')) else { continue };
            let successor = self.record.members.iter().find(|member| member.name == target && replaced.contains_key(member.old.as_str()));
            if let Some(member) = successor {
                let stands_in =
                    member.stand_in.as_ref().is_some_and(|id| replaced.get(member.old.as_str()).is_some_and(|new| new == id.as_str()));
                let name = if stands_in { self.record.stand_in_name(member) } else { self.record.new_name(member) };
                *link = json!(format!("{name}:{alias}"));
            }
        }
    }

    /// Creates a container on an image that its reference may not lead to any more. Then the reference does so for a moment: what a container was created with is what people and update checkers know it by.
    async fn create_on(&mut self, specification: &Specification, target: &Target<'_>, name: &str) -> Result<ContainerId, Stop> {
        let wanted = raw::text(target.image, "/Id");
        let leads_to = match self.home.engine.inspect_image(target.reference).await {
            Ok(body) => Some(serde_json::from_slice::<Value>(&body).map(|image| raw::text(&image, "/Id").to_owned()).unwrap_or_default()),
            Err(EngineError::NotFound(_)) => None,
            Err(error) => return Err(failed("look at the image", &error)),
        };
        let lends = leads_to.as_deref() != Some(wanted);
        if lends {
            let reference = ImageReference::parse(target.reference);
            let reference = reference.ok().filter(|reference| reference.digest().is_none());
            let reference = reference.ok_or_else(|| {
                let reason = format!(
                    "the reference `{}` does not lead to the image of the container any more, and cannot be given to it",
                    target.reference
                );
                Stop::because(FailureWord::Conflict, reason)
            })?;
            self.record.lent = Some(LentName { reference: target.reference.to_owned(), to: wanted.to_owned(), back: leads_to });
            self.write().await.map_err(of_journal)?;
            let tagged = self.home.engine.tag_image(wanted, &reference.repository(), reference.tag_or_digest()).await;
            tagged.map_err(|error| failed("name the image", &error))?;
        }
        let created = self.home.engine.create_container(name, specification.body.to_string(), None).await;
        if lends {
            self.return_name().await.map_err(|error| failed("name the image", &error))?;
        }
        match created {
            Ok(created) => Ok(created.id),
            // The engine looked at the whole of it, and the image may be what it does not like.
            Err(CreateError::Refused(error)) => Err(failed("create the new container", &error)),
            Err(CreateError::Unknown(error)) => Err(failed("create the new container", &error)),
        }
    }

    /// Lets a name that was lent lead where it led before.
    pub(super) async fn return_name(&mut self) -> Result<(), EngineError> {
        let Some(lent) = &self.record.lent else { return Ok(()) };
        if let (Some(back), Ok(reference)) = (&lent.back, ImageReference::parse(&lent.reference)) {
            match self.home.engine.tag_image(back, &reference.repository(), reference.tag_or_digest()).await {
                Ok(()) | Err(EngineError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.record.lent = None;
        Ok(())
    }
}

/// Refuses an image of another platform than the container's: registries may answer one.
fn check_platform(prepare: &Prepare, image: &Value) -> Result<(), Stop> {
    let platform = |image: &Value| (raw::text(image, "/Os").to_owned(), raw::text(image, "/Architecture").to_owned());
    let ((os, architecture), (new_os, new_architecture)) = (platform(&prepare.image), platform(image));
    let same = |one: &str, other: &str| one.is_empty() || other.is_empty() || one == other;
    if same(&os, &new_os) && same(&architecture, &new_architecture) {
        return Ok(());
    }
    let reason = format!("the image is for {new_os}/{new_architecture}, and the container has one for {os}/{architecture}");
    Err(Stop::because(FailureWord::Conflict, reason))
}

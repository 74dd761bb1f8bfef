//! Containers that exist: reading them, their environment and their logs; starting, stopping, removing.

use futures_util::stream::{self, StreamExt};
use wasmtime::component::Resource;

use super::super::backend::Backend;
use super::super::convert::{self, ContainerDetails, ContainerIdentity};
use super::super::error::Failure;
use super::super::grant::{ControllableContainer, Power, ReadableContainer};
use super::super::reference::ContainerName;
use super::super::{CONCURRENT_QUESTIONS, DockerCtxView, DockerRoom};
use crate::backend::engine::{EngineError, Removal};
use crate::backend::stream::ByteStream;
use crate::bindings::wharf::docker::types::{Container, Error};
use crate::bindings::wharf::docker::{containers_env, containers_lifecycle, containers_logs, containers_read, containers_remove};
use crate::capability::call::Denied;

impl containers_read::Host for DockerCtxView<'_> {
    async fn list(&mut self, filter: containers_read::ContainerFilter) -> Result<Vec<containers_read::ContainerSummary>, Error> {
        const FUNCTION: &str = "docker.containers-read.list";
        let listed = async {
            self.enter(FUNCTION, Power::ContainersRead)?;
            if let Some(label) = filter.labels.iter().find(|label| label.is_empty() || label.starts_with('=')) {
                return Err(Failure::Invalid(format!("the label condition `{label}` has no key")));
            }
            let body = self.room.backend.list_containers(filter.all, &filter.labels).await?;
            let mut summaries = convert::container_summaries(&body)?;
            // Its own name is what a container is known by; while it is being removed it has none.
            summaries.retain(|summary| {
                let name = summary.names.first().map_or("", String::as_str);
                // Of a container that is recreated there are two for a while, and one to be seen.
                self.room.grant.lists(name, &summary.labels) && !self.room.backend.is_aside(name)
            });
            Ok(summaries)
        };
        listed.await.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn inspect(&mut self, names: Vec<String>) -> Vec<Result<Container, Error>> {
        let inspected = self.inspect_all("docker.containers-read.inspect", Power::ContainersRead, names).await;
        let without = |container| convert::without_environment(container).map_err(|error| Error::Internal(error.to_string()));
        inspected.into_iter().map(|answer| answer.and_then(without)).collect()
    }
}

impl containers_env::Host for DockerCtxView<'_> {
    async fn inspect(&mut self, names: Vec<String>) -> Vec<Result<Container, Error>> {
        let inspected = self.inspect_all("docker.containers-env.inspect", Power::ContainersEnv, names).await;
        inspected.into_iter().map(|answer| answer.map(convert::with_environment)).collect()
    }
}

impl containers_logs::Host for DockerCtxView<'_> {
    async fn read(&mut self, container: String, options: containers_logs::LogOptions) -> Result<Resource<ByteStream>, Error> {
        const FUNCTION: &str = "docker.containers-logs.read";
        let opened = async {
            self.enter(FUNCTION, Power::ContainersLogs)?;
            if !options.stdout && !options.stderr {
                return Err(Failure::Invalid("neither standard output nor standard error is asked for".to_owned()));
            }
            let container = self.room.find("read the log of", &container).await?;
            let container = container.granted(|identity| self.room.grant.logged(identity))?;
            Ok(self.room.backend.log(&container, &convert::log_range(&options)).await?)
        };
        match opened.await {
            Ok(stream) => self.table.push(stream).map_err(|error| Error::Internal(error.to_string())),
            Err(failure) => Err(failure.answer(self.call, FUNCTION)),
        }
    }
}

impl containers_lifecycle::Host for DockerCtxView<'_> {
    async fn start(&mut self, container: String) -> Result<(), Error> {
        const FUNCTION: &str = "docker.containers-lifecycle.start";
        let started = async {
            self.enter(FUNCTION, Power::ContainersLifecycle)?;
            let found = self.room.find("start", &container).await?;
            let container = found.granted(|identity| self.room.grant.controllable(identity))?;
            found.at_rest()?;
            self.call.permitted(FUNCTION, &found.object());
            self.carry_through(|backend| async move { start(&*backend, &container).await }).await
        };
        started.await.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn stop(&mut self, container: String, grace_ms: Option<u32>) -> Result<(), Error> {
        const FUNCTION: &str = "docker.containers-lifecycle.stop";
        let stopped = async {
            self.enter(FUNCTION, Power::ContainersLifecycle)?;
            let found = self.room.find("stop", &container).await?;
            let container = found.granted(|identity| self.room.grant.controllable(identity))?;
            found.at_rest()?;
            self.call.permitted(FUNCTION, &found.object());
            let grace_secs = grace_ms.map(|ms| ms.div_ceil(1000));
            self.carry_through(move |backend| async move { backend.stop(&container, grace_secs).await }).await
        };
        stopped.await.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl containers_remove::Host for DockerCtxView<'_> {
    async fn remove(&mut self, container: String, options: containers_remove::RemoveOptions) -> Result<(), Error> {
        const FUNCTION: &str = "docker.containers-remove.remove";
        let removed = async {
            self.enter(FUNCTION, Power::ContainersRemove)?;
            let found = self.room.find("remove", &container).await?;
            let container = found.granted(|identity| self.room.grant.removable(identity))?;
            found.at_rest()?;
            self.call.permitted(FUNCTION, &found.object());
            let removal = Removal {
                force: options.contains(containers_remove::RemoveOptions::FORCE),
                volumes: options.contains(containers_remove::RemoveOptions::VOLUMES),
            };
            self.carry_through(move |backend| async move { backend.remove(&container, removal).await }).await
        };
        removed.await.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl DockerCtxView<'_> {
    async fn inspect_all(&mut self, function: &'static str, power: Power, names: Vec<String>) -> Vec<Result<ReadableContainer, Error>> {
        if let Err(failure) = self.enter_many(function, power, names.len()) {
            let error = failure.answer(self.call, function);
            return names.iter().map(|_| Err(error.clone())).collect();
        }
        let room = self.room;
        let questions = names.into_iter().map(|name| async move { room.inspect(&name).await });
        let answers: Vec<Result<ReadableContainer, Failure>> = stream::iter(questions).buffered(CONCURRENT_QUESTIONS).collect().await;
        answers.into_iter().map(|answer| answer.map_err(|failure| failure.answer(self.call, function))).collect()
    }
}

/// Starts a container that was there a moment ago.
///
/// The engine answers 404 both for a container that is gone and for one whose network is, and 400 for one whose command is not there. Only the first is an absent container, and nothing
/// is wrong with the caller's arguments.
async fn start(backend: &dyn Backend, container: &ControllableContainer) -> Result<(), EngineError> {
    match backend.start(container).await {
        Err(EngineError::NotFound(reason)) if backend.inspect_container(&container.name()).await.is_ok() => {
            Err(EngineError::Failed { status: 404, reason })
        }
        Err(EngineError::Invalid(reason)) => Err(EngineError::Failed { status: 400, reason }),
        outcome => outcome,
    }
}

/// A container that a name stands for. The grant has not been asked yet.
pub(super) struct Found<'a> {
    room: &'a DockerRoom,
    name: ContainerName,
    details: ContainerDetails,
}

impl Found<'_> {
    /// What `check` proves about the container. A refusal looks like an absent container.
    pub(super) fn granted<P>(&self, check: impl FnOnce(&ContainerIdentity) -> Result<P, Denied>) -> Result<P, Failure> {
        check(&self.details.identity).map_err(|denied| Failure::Hidden(denied, self.room.grant.answer_for_absent(&self.name)))
    }

    /// What `check` proves about more than the container, which the grant covers.
    pub(super) fn with_identity<P>(&self, check: impl FnOnce(&ContainerIdentity) -> Result<P, Denied>) -> Result<P, Failure> {
        Ok(check(&self.details.identity)?)
    }

    /// Refuses a container that is being recreated: whoever changed it now would do so to one of two.
    pub(super) fn at_rest(&self) -> Result<(), Failure> {
        let ContainerIdentity { id, name, .. } = &self.details.identity;
        if self.room.backend.is_recreated(name, id.as_str()) {
            return Err(Failure::Refused(format!("the container `{name}` is being recreated")));
        }
        Ok(())
    }

    /// The container, for the audit log.
    pub(super) fn object(&self) -> String {
        format!("container {} {}", self.details.identity.name, self.details.identity.id.as_str())
    }
}

impl DockerRoom {
    /// Looks up what `name` stands for.
    pub(super) async fn find(&self, action: &'static str, name: &str) -> Result<Found<'_>, Failure> {
        let name = ContainerName::parse(name).map_err(Failure::Invalid)?;
        self.grant.may_ask_for(action, &name)?;
        match self.backend.inspect_container(&name).await {
            Ok(body) => Ok(Found { room: self, details: ContainerDetails::parse(&body)?, name }),
            Err(EngineError::NotFound(_)) => Err(Failure::Absent(self.grant.answer_for_absent(&name))),
            // The engine's words for a prefix that several ids have: 400, and 500 of those before 25. Others of its failures are 500 too, and where the name may be a prefix the
            // two cannot be told apart; the log has the reason.
            Err(EngineError::Invalid(reason) | EngineError::Failed { status: 500, reason }) if name.may_be_prefix() => {
                tracing::warn!(container = name.as_str(), reason, "the engine finds no container by what may be a prefix of an id");
                Err(Failure::Absent(self.grant.answer_for_absent(&name)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn inspect(&self, name: &str) -> Result<ReadableContainer, Failure> {
        let Found { name, details, .. } = self.find("read", name).await?;
        self.grant.readable(details).map_err(|denied| Failure::Hidden(denied, self.grant.answer_for_absent(&name)))
    }
}

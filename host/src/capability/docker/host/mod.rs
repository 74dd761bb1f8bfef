//! The functions of `wharf:docker`, and the steps that they share. Here: networks, volumes and the system; the rest is in [`containers`], [`create`] with [`undo`], [`recreate`], [`images`], [`build`], and [`operations`]
//! with pulls.
//!
//! A function is: `enter` (count, power), parse, look up, grant, `permitted` if it changes something, backend. Its failure becomes the plugin's word in one place, [`Failure::answer`].

use std::sync::Arc;

use super::backend::Backend;
use super::convert;
use super::error::Failure;
use super::grant::Power;
use super::{DockerCtxView, MAX_NAMES};
use crate::backend::engine::EngineError;
use crate::bindings::wharf::docker::types::{self, Error};
use crate::bindings::wharf::docker::{networks_read, system_read, volumes_read};

mod build;
mod containers;
mod create;
mod images;
mod operations;
mod recreate;
mod undo;

impl types::Host for DockerCtxView<'_> {}

impl networks_read::Host for DockerCtxView<'_> {
    async fn list(&mut self) -> Result<Vec<networks_read::Network>, Error> {
        const FUNCTION: &str = "docker.networks-read.list";
        let listed = async {
            self.enter(FUNCTION, Power::NetworksRead)?;
            let networks = convert::networks(&self.room.backend.list_networks().await?)?;
            Ok(networks.into_iter().filter(|network| self.room.grant.covers_network(&network.name)).collect())
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl volumes_read::Host for DockerCtxView<'_> {
    async fn list(&mut self) -> Result<Vec<volumes_read::Volume>, Error> {
        const FUNCTION: &str = "docker.volumes-read.list";
        let listed = async {
            self.enter(FUNCTION, Power::VolumesRead)?;
            let volumes = convert::volumes(&self.room.backend.list_volumes().await?)?;
            Ok(volumes.into_iter().filter(|volume| self.room.grant.covers_volume(&volume.name)).collect())
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl system_read::Host for DockerCtxView<'_> {
    async fn version(&mut self) -> Result<system_read::Engine, Error> {
        const FUNCTION: &str = "docker.system-read.version";
        let asked = async {
            self.enter(FUNCTION, Power::SystemRead)?;
            let engine = self.room.backend.version().await?;
            Ok(system_read::Engine {
                version: engine.version,
                api_version: engine.api_version.to_string(),
                os: engine.os,
                architecture: engine.architecture,
            })
        };
        let asked: Result<_, Failure> = asked.await;
        asked.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl DockerCtxView<'_> {
    /// Counts the call and checks that its power was granted.
    fn enter(&mut self, function: &'static str, power: Power) -> Result<(), Failure> {
        self.call.begin(function)?;
        Ok(self.room.grant.power(power)?)
    }

    /// As [`Self::enter`], for a call that names many objects.
    fn enter_many(&mut self, function: &'static str, power: Power, names: usize) -> Result<(), Failure> {
        self.enter(function, power)?;
        if names > MAX_NAMES {
            return Err(Failure::Invalid(format!("{names} objects in one call, at most {MAX_NAMES}")));
        }
        Ok(())
    }

    /// Runs `work` to its end, even when the request is gone. The call's clock stands still meanwhile.
    async fn carry_through<T, W>(&mut self, work: impl FnOnce(Arc<dyn Backend>) -> W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, EngineError>> + Send + 'static,
    {
        let _paused = self.call.clock.pause();
        let work = work(Arc::clone(&self.room.backend));
        Ok(self.room.operations.carry_through(self.call.operation_deadline, work).await??)
    }
}

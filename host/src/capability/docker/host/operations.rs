//! Operations with a record: pulls, and looking at operations, watching and cancelling them.
//!
//! A plugin sees its own operations, those that concern no engine too, and those of others on its engine about images and containers that its grant covers. Any other looks like one that does not exist, and an id that was given away opens nothing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::StreamExt;
use wasmtime::component::Resource;

use super::super::convert;
use super::super::error::Failure;
use super::super::grant::{Absent, Power};
use super::super::{DockerCtxView, DockerRoom};
use super::images::by_name;
use crate::backend::operations::{Operation, OperationError, Outcome, Pull};
use crate::backend::stream::ByteStream;
use crate::bindings::wharf::docker::operations_read::ProgressFormat;
use crate::bindings::wharf::docker::types::Error;
use crate::bindings::wharf::docker::{images_pull, operations_cancel, operations_read};
use crate::capability::call::Denied;

impl images_pull::Host for DockerCtxView<'_> {
    async fn pull(&mut self, reference: String) -> Result<(), Error> {
        const FUNCTION: &str = "docker.images-pull.pull";
        let pulled = async {
            let operation = self.begin_pull(FUNCTION, &reference)?;
            let _paused = self.call.clock.pause();
            match operation.ended().await {
                Outcome::Succeeded => Ok(()),
                Outcome::Failed(failure) => Err(failure.into()),
                Outcome::Cancelled => Err(Failure::Cancelled),
            }
        };
        let pulled: Result<_, Failure> = pulled.await;
        pulled.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn begin(&mut self, reference: String) -> Result<String, Error> {
        const FUNCTION: &str = "docker.images-pull.begin";
        let begun = self.begin_pull(FUNCTION, &reference);
        begun.map(|operation| operation.id.clone()).map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl operations_read::Host for DockerCtxView<'_> {
    fn list(&mut self) -> Result<Vec<operations_read::Operation>, Error> {
        const FUNCTION: &str = "docker.operations-read.list";
        self.enter(FUNCTION, Power::OperationsRead).map_err(|failure| failure.answer(self.call, FUNCTION))?;
        let room = self.room;
        let visible = room.operations.recorded().into_iter().filter(|operation| room.sees(operation));
        Ok(visible.map(|operation| room.record(&operation)).collect())
    }

    fn get(&mut self, ids: Vec<String>) -> Vec<Result<operations_read::Operation, Error>> {
        const FUNCTION: &str = "docker.operations-read.get";
        if let Err(failure) = self.enter_many(FUNCTION, Power::OperationsRead, ids.len()) {
            let error = failure.answer(self.call, FUNCTION);
            return ids.iter().map(|_| Err(error.clone())).collect();
        }
        let answer = |id: &String| self.room.operation(id).map(|operation| self.room.record(&operation));
        ids.iter().map(|id| answer(id).map_err(|failure| failure.answer(self.call, FUNCTION))).collect()
    }

    async fn wait(&mut self, id: String) -> Result<operations_read::Operation, Error> {
        const FUNCTION: &str = "docker.operations-read.wait";
        let waited = async {
            self.enter(FUNCTION, Power::OperationsRead)?;
            let operation = self.room.operation(&id)?;
            let _paused = self.call.clock.pause();
            let limit = self.call.operation_deadline;
            let ended = tokio::time::timeout(limit, operation.ended()).await;
            ended.map_err(|_elapsed| OperationError::Deadline { limit })?;
            Ok(self.room.record(&operation))
        };
        let waited: Result<_, Failure> = waited.await;
        waited.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    fn log(&mut self, id: String) -> Result<Resource<ByteStream>, Error> {
        const FUNCTION: &str = "docker.operations-read.log";
        let found = self.enter(FUNCTION, Power::OperationsRead).and_then(|()| self.room.operation(&id));
        let operation = found.map_err(|failure| failure.answer(self.call, FUNCTION))?;
        self.table.push(ByteStream::new(operation.said().map(Ok))).map_err(|error| Error::Internal(error.to_string()))
    }

    fn watch(&mut self, id: String, format: ProgressFormat) -> Result<Resource<ByteStream>, Error> {
        const FUNCTION: &str = "docker.operations-read.watch";
        let found = self.enter(FUNCTION, Power::OperationsRead).and_then(|()| self.room.operation(&id));
        let operation = found.map_err(|failure| failure.answer(self.call, FUNCTION))?;
        let states = operation.states();
        let lines = states.map(move |moment| Ok(Bytes::from(convert::progress(&operation, &moment, format))));
        self.table.push(ByteStream::new(lines)).map_err(|error| Error::Internal(error.to_string()))
    }
}

impl operations_cancel::Host for DockerCtxView<'_> {
    fn cancel(&mut self, id: String) -> Result<(), Error> {
        const FUNCTION: &str = "docker.operations-cancel.cancel";
        let cancelled = self.enter(FUNCTION, Power::OperationsCancel).and_then(|()| {
            let operation = self.room.operation(&id)?;
            if !self.room.operations.owns(&operation) {
                let remedy = "only the plugin that began it may cancel it".to_owned();
                return Err(Denied { action: "cancel", object: format!("operation {id}"), remedy }.into());
            }
            self.call.permitted(FUNCTION, &format!("{} of {}, operation {id}", operation.subject.kind, operation.subject.object));
            operation.cancel();
            Ok(())
        });
        cancelled.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl DockerCtxView<'_> {
    /// Begins a pull that nobody needs to wait for.
    fn begin_pull(&mut self, function: &'static str, reference: &str) -> Result<Arc<Operation>, Failure> {
        self.enter(function, Power::ImagesPull)?;
        let image = self.room.grant.pullable(&by_name(reference)?)?;
        let reference = image.reference().clone();
        self.call.permitted(function, &format!("image {reference}"));
        let (asking, pulling) = (Arc::clone(&self.room.backend), Arc::clone(&self.room.backend));
        let registry = reference.registry().to_owned();
        let pull = Pull {
            engine: self.room.engine.clone(),
            image: reference,
            auth: Box::pin(async move { asking.registry_auth(&registry).await }),
            work: Box::new(|auth, progress| {
                Box::pin(async move { pulling.pull(&image, auth.as_ref(), &mut |line| progress.take(line)).await })
            }),
        };
        Ok(self.room.operations.pull(pull, self.call.operation_deadline)?)
    }
}

impl DockerRoom {
    /// Whether the plugin may know of `operation`.
    fn sees(&self, operation: &Operation) -> bool {
        let of_image = || operation.subject.image().is_some_and(|(image, _)| self.grant.covers_image(image));
        let of_container = || operation.subject.container().is_some_and(|container| self.grant.lists(&container.name, &container.labels));
        let here = || operation.subject.engine().is_some_and(|engine| *engine == self.engine);
        self.operations.owns(operation) || here() && (of_image() || of_container())
    }

    /// The operation `id`, if the plugin may know of it.
    fn operation(&self, id: &str) -> Result<Arc<Operation>, Failure> {
        self.operations.find(id).filter(|operation| self.sees(operation)).ok_or(Failure::Absent(Absent::NotFound))
    }

    fn record(&self, operation: &Operation) -> operations_read::Operation {
        convert::operation(operation, &operation.now(), self.operations.owns(operation))
    }
}

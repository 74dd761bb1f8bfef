//! Removing what a build has made that did not come to its end.
//!
//! An engine keeps the image of each instruction that was carried out, whatever becomes of the next one, and of a build whose client has gone it finishes the instruction that it is at. So the images and containers with the mark of the build are
//! looked for, again and again as long as the engine may still be at it, and removed. Names that the image had got already go back to the images that had them before.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::super::backend::Backend;
use super::super::super::convert::{self, MarkedImage};
use super::super::super::grant::{BuildableName, RemovableContainer};
use super::super::super::policy::{BuildMark, BuiltImage};
use super::super::super::reference::{ImageId, ImageName};
use crate::backend::engine::{ContainerId, EngineError, Removal};

/// How long nothing must appear before a build is over that was left at a command: its container is killed, or what it did is made an image, which the container outlasts.
const QUIET_AFTER_COMMAND: Duration = Duration::from_secs(5);
/// The same for one that was left at copying files, of which nothing is to be seen until there is an image.
const QUIET_AFTER_COPY: Duration = Duration::from_secs(300);
/// How long to go on trying. An engine that is away for longer is one that somebody has stopped.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a build has done so far, of which something may have to be undone.
#[derive(Debug, Default)]
pub(super) struct BuildTrace {
    /// The engine has what it needs to begin.
    sent: AtomicBool,
    /// The engine has ended it.
    over: AtomicBool,
    /// It is at an instruction that copies files.
    copies: AtomicBool,
    /// The names that were given to the image, or were about to be, and which image had each before.
    names: Mutex<Vec<(BuildableName, Option<ImageId>)>>,
}

impl BuildTrace {
    pub(super) fn sent(&self) {
        self.sent.store(true, Ordering::SeqCst);
    }

    pub(super) fn over(&self, over: bool) {
        self.over.store(over, Ordering::SeqCst);
    }

    /// It is at `instruction`.
    pub(super) fn at(&self, instruction: &str) {
        let copies = ["COPY", "ADD", "WORKDIR"].iter().any(|keyword| instruction.starts_with(keyword));
        self.copies.store(copies, Ordering::SeqCst);
    }

    fn names(&self) -> MutexGuard<'_, Vec<(BuildableName, Option<ImageId>)>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives `name` to `image`.
pub(super) async fn name(backend: &dyn Backend, trace: &BuildTrace, image: &BuiltImage, name: &BuildableName) -> Result<(), EngineError> {
    let before = match backend.inspect_image(&ImageName::Reference(name.reference().clone())).await {
        Ok(body) => Some(convert::base_identity(&body)?.id),
        Err(EngineError::NotFound(_)) => None,
        Err(error) => return Err(error),
    };
    trace.names().push((name.clone(), before));
    backend.name_image(image.id(), name).await
}

/// What to undo, and where.
pub(super) struct BuildUndo {
    backend: Arc<dyn Backend>,
    mark: BuildMark,
    trace: Arc<BuildTrace>,
}

impl BuildUndo {
    pub(super) fn new(backend: Arc<dyn Backend>, mark: BuildMark, trace: Arc<BuildTrace>) -> BuildUndo {
        BuildUndo { backend, mark, trace }
    }

    /// Removes what there is, until it is known that there will be nothing more.
    pub(super) async fn carry_out(self) {
        if !self.trace.sent.load(Ordering::SeqCst) {
            return;
        }
        let quiet = match (self.trace.over.load(Ordering::SeqCst), self.trace.copies.load(Ordering::SeqCst)) {
            (true, _) => Duration::ZERO,
            (false, false) => QUIET_AFTER_COMMAND,
            (false, true) => QUIET_AFTER_COPY,
        };
        let (began, mut last_seen, mut pause) = (Instant::now(), Instant::now(), FIRST_PAUSE);
        loop {
            let swept = self.sweep().await;
            match &swept {
                Ok(false) if last_seen.elapsed() >= quiet => return,
                Ok(false) => {}
                _ if began.elapsed() >= GIVE_UP_AFTER => {
                    let label = self.mark.label();
                    return tracing::error!(label, outcome = ?swept, "gave up removing what a build may have left behind");
                }
                Ok(true) | Err(_) => last_seen = Instant::now(),
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Whether there was anything.
    async fn sweep(&self) -> Result<bool, EngineError> {
        let containers = self.remove_containers().await?;
        let images = self.give_names_back().await? | remove_all_but(&*self.backend, &self.mark, None).await?;
        Ok(containers || images)
    }

    async fn remove_containers(&self) -> Result<bool, EngineError> {
        let found = convert::container_summaries(&self.backend.list_containers(true, &[self.mark.label()]).await?)?;
        let containers = found.iter().filter_map(|found| {
            let id = ContainerId::parse(&found.id)?;
            RemovableContainer::of_build(&self.mark, &id, &found.labels)
        });
        let mut any = false;
        for container in containers {
            any = true;
            // The engine may be at it too.
            let removed = self.backend.remove(&container, Removal { force: true, volumes: true }).await;
            ignore_conflicts(removed)?;
        }
        Ok(any)
    }

    /// Gives the names that the image has got to the images that had them before. Whether there were any.
    async fn give_names_back(&self) -> Result<bool, EngineError> {
        let given = self.trace.names().clone();
        if given.is_empty() {
            return Ok(false);
        }
        let made = convert::marked_images(&self.backend.images_of_build(&self.mark).await?)?;
        let mut any = false;
        for (name, before) in given {
            let familiar = name.reference().familiar();
            if !made.iter().any(|image| image.names.contains(&familiar)) {
                continue;
            }
            any = true;
            match before {
                // It may be gone, since it had no other name.
                Some(before) => match self.backend.name_image(&before, &name).await {
                    Err(EngineError::NotFound(_)) => self.backend.unname_image(&name).await?,
                    outcome => outcome?,
                },
                None => self.backend.unname_image(&name).await?,
            }
        }
        Ok(any)
    }
}

/// Removes the images that a build has made and that have no name, but for `kept` and what that stands on. Whether there were any.
pub(super) async fn remove_all_but(backend: &dyn Backend, mark: &BuildMark, kept: Option<&BuiltImage>) -> Result<bool, EngineError> {
    let made = convert::marked_images(&backend.images_of_build(mark).await?)?;
    let mut left = without_ancestors(made, kept.map(|kept| kept.id().as_str()));
    // One that has a name by now is somebody's.
    left.retain(|image| image.names.is_empty());
    let any = !left.is_empty();
    while !left.is_empty() {
        let parents: HashSet<String> = left.iter().map(|image| image.parent.clone()).collect();
        let (inner, leaves): (Vec<_>, Vec<_>) = left.into_iter().partition(|image| parents.contains(image.id.as_str()));
        if leaves.is_empty() {
            return Ok(any);
        }
        for image in leaves.iter().filter_map(|image| BuiltImage::made_by(mark, &image.id, &image.labels)) {
            ignore_conflicts(backend.remove_built(&image).await)?;
        }
        left = inner;
    }
    Ok(any)
}

/// What is gone already, or is in the way for now, is looked for the next time.
fn ignore_conflicts(removed: Result<(), EngineError>) -> Result<(), EngineError> {
    match removed {
        Err(EngineError::NotFound(_) | EngineError::Conflict(_)) => Ok(()),
        outcome => outcome,
    }
}

/// `images` but for `kept` and what that stands on.
fn without_ancestors(images: Vec<MarkedImage>, kept: Option<&str>) -> Vec<MarkedImage> {
    let mut spared = HashSet::new();
    let mut next = kept.map(str::to_owned);
    while let Some(id) = next.filter(|id| spared.insert(id.clone())) {
        next = images.iter().find(|image| image.id.as_str() == id).map(|image| image.parent.clone());
    }
    images.into_iter().filter(|image| !spared.contains(image.id.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(digit: char, parent: Option<char>) -> MarkedImage {
        let id = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
        let parent = parent.map(id).unwrap_or_default();
        MarkedImage { id: ImageId::parse(&id(digit)).unwrap(), parent, names: Vec::new(), labels: Vec::new() }
    }

    #[test]
    fn what_is_kept_stands_on_what_is_kept() {
        let images = || vec![image('3', Some('2')), image('2', Some('1')), image('1', Some('0')), image('5', Some('4')), image('4', None)];
        let left = |kept: Option<char>| -> Vec<char> {
            let kept = kept.map(|digit| image(digit, None).id);
            let left = without_ancestors(images(), kept.as_ref().map(ImageId::as_str));
            left.iter().map(|image| image.id.as_str().chars().last().unwrap()).collect()
        };
        assert_eq!(left(None), ['3', '2', '1', '5', '4']);
        assert_eq!(left(Some('3')), ['5', '4']);
        assert_eq!(left(Some('5')), ['3', '2', '1']);
        assert_eq!(left(Some('9')), ['3', '2', '1', '5', '4']);
    }
}

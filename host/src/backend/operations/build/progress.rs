//! How far a build is: at which of its instructions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::BuildLog;

/// How much of an instruction is shown.
const MAX_INSTRUCTION_CHARACTERS: usize = 1000;

/// How far a build is. Written by its work.
#[derive(Debug, Default)]
pub(crate) struct BuildProgress {
    steps: Mutex<Steps>,
    log: Arc<BuildLog>,
    changed: watch::Sender<()>,
}

/// What is known of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The id of what was built; none before its names lead to it.
    pub(crate) image: Option<String>,
    /// At which instruction it is, from 1; zero before the first.
    pub(crate) step: u32,
    /// How many there are.
    pub(crate) steps: u32,
    /// The instruction; empty before the first.
    pub(crate) instruction: String,
}

impl BuildProgress {
    /// A build of so many instructions, none of which has begun.
    pub(crate) fn of(steps: u32) -> BuildProgress {
        BuildProgress { steps: Mutex::new(Steps { steps, ..Steps::default() }), ..BuildProgress::default() }
    }

    /// The instruction `step` begins.
    pub(crate) fn begin(&self, step: u32, instruction: &str) {
        {
            let mut steps = self.steps();
            steps.step = step;
            steps.instruction = instruction.chars().take(MAX_INSTRUCTION_CHARACTERS).collect();
        }
        self.changed.send_replace(());
    }

    /// The image is built, and is called what it was to be called.
    pub(crate) fn built(&self, image: &str) {
        self.steps().image = Some(image.to_owned());
        self.changed.send_replace(());
    }

    /// What the engine has said.
    pub(crate) fn log(&self) -> &Arc<BuildLog> {
        &self.log
    }

    /// How far it is now.
    pub(crate) fn now(&self) -> Steps {
        self.steps().clone()
    }

    /// Wakes at each change.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steps {
    /// How much is done; none before the first instruction. Instructions count alike, since nobody knows how long one takes.
    pub(crate) fn percent(&self) -> Option<u8> {
        let done = u64::from(self.step.checked_sub(1)?) * 100;
        u8::try_from(done.checked_div(u64::from(self.steps))?.min(99)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_counts_when_the_next_one_begins() {
        let progress = BuildProgress::of(3);
        let mut percents = vec![progress.now().percent()];
        for step in 1..=3 {
            progress.begin(step, "RUN true");
            percents.push(progress.now().percent());
        }
        assert_eq!(percents, [None, Some(0), Some(33), Some(66)]);
        progress.begin(9, &"x".repeat(5000));
        assert_eq!((progress.now().percent(), progress.now().instruction.len()), (Some(99), MAX_INSTRUCTION_CHARACTERS));
        progress.built("sha256:1");
        assert_eq!(progress.now().image.as_deref(), Some("sha256:1"));
        assert_eq!(BuildProgress::of(0).now().percent(), None);
    }
}

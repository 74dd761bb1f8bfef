//! What the engine says of a build, told as of the Dockerfile that the plugin wrote.
//!
//! The engine counts the instructions of the Dockerfile that it got, which has some more, and base images by id. So its line for an instruction is replaced by one of ours, and what it says of instructions that are not the plugin's is left
//! out. A command of the build can write such a line too. That confuses nothing but the progress of its own build: nothing is decided on it but how long to look for what the build may have left.

use std::sync::{Arc, Mutex, PoisonError};

use super::undo::BuildTrace;
use crate::backend::engine::BuildObserver;
use crate::backend::operations::BuildProgress;

/// Hears a build.
pub(super) struct Narrator {
    /// As the Dockerfile has them.
    instructions: Vec<String>,
    /// For each instruction of the engine's the place of the one that it stands for; none for those of the host.
    places: Vec<Option<usize>>,
    /// How many the engine counts.
    steps: usize,
    progress: Arc<BuildProgress>,
    trace: Arc<BuildTrace>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many instructions the engine has begun.
    begun: usize,
    /// Whether the present one is none of the plugin's.
    quiet: bool,
    /// Whether the line break behind the line of an instruction is still to come.
    within_line: bool,
}

impl Narrator {
    pub(super) fn new(
        instructions: Vec<String>,
        places: Vec<Option<usize>>,
        steps: usize,
        progress: Arc<BuildProgress>,
        trace: Arc<BuildTrace>,
    ) -> Narrator {
        Narrator { instructions, places, steps, progress, trace, state: Mutex::default() }
    }

    /// Whether `text` is the engine's line for the instruction after those that have begun.
    fn is_next(&self, text: &str, begun: usize) -> bool {
        let numbers = text.strip_prefix("Step ").and_then(|rest| rest.split_once(" : ")).and_then(|(numbers, _)| numbers.split_once('/'));
        numbers.is_some_and(|(step, of)| step.parse() == Ok(begun + 1) && of.parse() == Ok(self.steps))
    }
}

impl BuildObserver for Narrator {
    fn sent(&self) {
        self.trace.sent();
    }

    fn said(&self, text: &str) {
        let log = self.progress.log();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_next(text, state.begun) {
            let place = self.places.get(state.begun).copied().flatten();
            let instruction = place.and_then(|place| Some((place + 1, self.instructions.get(place)?)));
            *state = State { begun: state.begun + 1, quiet: instruction.is_none(), within_line: true };
            if let Some((step, instruction)) = instruction {
                self.progress.begin(u32::try_from(step).unwrap_or(u32::MAX), instruction);
                self.trace.at(instruction);
                log.add(&format!("Step {step}/{} : {instruction}\n", self.instructions.len()));
            }
            return;
        }
        let is_end_of_line = std::mem::take(&mut state.within_line) && text == "\n";
        // Said behind the last instruction, of an image that has its names still to come.
        let is_farewell = state.begun == self.steps && text.starts_with("Successfully built ");
        if !is_end_of_line && (!state.quiet || is_farewell) {
            log.add(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told when the engine says this of a Dockerfile with `FROM base` and `RUN x`, and where it is then.
    #[track_caller]
    fn check(said: &[&str], told: &str, at: (u32, &str)) {
        let progress = Arc::new(BuildProgress::of(2));
        let instructions = ["FROM base", "RUN x"].map(str::to_owned).to_vec();
        let narrator = Narrator::new(instructions, vec![Some(0), None, Some(1)], 4, Arc::clone(&progress), Arc::default());
        for text in said {
            narrator.said(text);
        }
        assert_eq!(progress.log().text(), told);
        let now = progress.now();
        assert_eq!((now.step, now.instruction.as_str()), at);
    }

    #[test]
    fn instructions_are_those_of_the_plugin() {
        let said = [
            "Step 1/4 : FROM 0123",
            "\n",
            " ---> 0123\n",
            "Step 2/4 : LABEL wharf.build=1",
            "\n",
            " ---> Running in 77\n",
            " ---> 4567\n",
            "Step 3/4 : RUN x",
            "\n",
            "hello\n",
            "\n",
            " ---> 89ab\n",
            "Step 4/4 : LABEL wharf.build=1",
            "\n",
            " ---> cdef\n",
            "Successfully built cdef\n",
        ];
        let told = "Step 1/2 : FROM base\n ---> 0123\nStep 2/2 : RUN x\nhello\n\n ---> 89ab\nSuccessfully built cdef\n";
        check(&said, told, (2, "RUN x"));
        check(&said[..5], "Step 1/2 : FROM base\n ---> 0123\n", (1, "FROM base"));
        check(&[], "", (0, ""));
    }

    #[test]
    fn what_only_looks_like_an_instruction_is_told_as_it_is() {
        for line in [
            "Step 2/4",
            "Step 1/5 : x",
            "Step 3/4 : x",
            "Step 0/4 : x",
            "Step x/4 : x",
            "step 2/4 : x",
            "Step 1/4 : x",
            "Successfully built x",
        ] {
            let told = format!("Step 1/2 : FROM base\n{line}\n");
            check(&["Step 1/4 : FROM 0123", "\n", &format!("{line}\n")], &told, (1, "FROM base"));
        }
    }
}

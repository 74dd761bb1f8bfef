//! Builds of the fake host's engine: what was handed over is kept for the test, and nothing is run.
//!
//! An image has the names and labels that it was to have. Base images must be held by the engine; every other rule for Dockerfiles is the real host's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::engine::{Engine, hex_id};
use super::objects::Image;
use super::registry;
use crate::docker::images_build::{BuildOptions, Content, ContextFile};
use crate::error::Error;
use crate::reference::{familiar, with_tag};

/// A build that a plugin began.
#[derive(Debug, Clone)]
pub struct Build {
    /// The files, by their paths.
    pub files: BTreeMap<String, BuildFile>,
    /// What was to be built.
    pub options: BuildOptions,
    /// What the engine said.
    pub(super) log: String,
    instructions: Vec<String>,
    step: usize,
    image: Option<String>,
}

/// A file of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFile {
    /// What is in it.
    pub content: Vec<u8>,
    /// Whether it can be run.
    pub executable: bool,
    /// The length that was announced.
    pub size: u64,
}

impl Build {
    /// What the JSON of the operation has of it.
    pub(super) fn progress(&self) -> Value {
        let instruction = self.step.checked_sub(1).and_then(|place| self.instructions.get(place));
        json!({ "image": self.image, "step": self.step, "steps": self.instructions.len(), "instruction": instruction.map_or("", String::as_str) })
    }

    /// The file at `path` as text.
    ///
    /// # Panics
    ///
    /// There is none, or it is no text.
    #[must_use]
    #[track_caller]
    #[expect(clippy::panic, reason = "a test that asks for a file that is not there has failed")]
    pub fn text(&self, path: &str) -> &str {
        match self.files.get(path).map(|file| std::str::from_utf8(&file.content)) {
            Some(Ok(text)) => text,
            Some(Err(_)) => panic!("the file `{path}` is no text"),
            None => panic!("there is no file `{path}`, but {:?}", self.files.keys()),
        }
    }

    fn fail(&mut self, reason: &str) -> Error {
        let instruction = self.step.checked_sub(1).and_then(|place| self.instructions.get(place)).map_or("", String::as_str);
        let reason = format!("step {} of {}, `{instruction}`: {reason}", self.step, self.instructions.len());
        self.log.push_str(&format!("{reason}\n"));
        Error::Internal(reason)
    }
}

impl Engine {
    pub(super) fn begin_build(&mut self, files: Vec<ContextFile>, options: &BuildOptions) -> Result<String, Error> {
        if options.names.is_empty() {
            return Err(Error::Invalid("0 names, from 1 to 16".to_owned()));
        }
        for name in &options.names {
            registry::resolve(name)?;
        }
        let mut kept = BTreeMap::new();
        for file in files {
            if file.path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(Error::Invalid(format!("`{}` is no path", file.path)));
            }
            let content = match file.content {
                Content::Bytes(bytes) => bytes,
                Content::Stream(stream) => stream.read_to_end()?,
            };
            let path = file.path.clone();
            if kept.insert(file.path, BuildFile { content, executable: file.executable, size: file.size }).is_some() {
                return Err(Error::Invalid(format!("two files `{path}`")));
            }
        }
        let dockerfile = kept.get(&options.dockerfile);
        let text = dockerfile.and_then(|file| String::from_utf8(file.content.clone()).ok());
        let text = text.ok_or_else(|| Error::Invalid(format!("none of the files is the Dockerfile, `{}`", options.dockerfile)))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let instructions = lines.map(str::to_owned).collect();
        let build = Build { files: kept, options: options.clone(), log: String::new(), instructions, step: 0, image: None };
        Ok(self.begin_checked_build(build))
    }

    pub(super) fn carry_out_build(&mut self, build: &mut Build) -> Result<(), Error> {
        if let Some((path, file)) = build.files.iter().find(|(_, file)| file.content.len() as u64 != file.size) {
            let reason = format!("the file `{path}` has {} bytes, {} were announced", file.content.len(), file.size);
            return Err(Error::Invalid(reason));
        }
        let steps = build.instructions.len();
        let mut stages = vec!["scratch".to_owned()];
        for (place, instruction) in build.instructions.clone().iter().enumerate() {
            build.step = place + 1;
            build.log.push_str(&format!("Step {}/{steps} : {instruction}\n", place + 1));
            let words: Vec<&str> = instruction.split_whitespace().collect();
            if let ["FROM", base, rest @ ..] = words.as_slice() {
                if !stages.iter().any(|stage| stage == base) && !base.contains('$') && self.image(base).is_none() {
                    build.fail(&format!("the base image `{base}` is not there"));
                    return Err(Error::NotFound);
                }
                stages.extend(rest.get(1).map(|name| (*name).to_owned()));
            }
            let failing = self.failing_builds.as_ref().filter(|(beginning, _)| instruction.starts_with(beginning));
            if let Some((_, reason)) = failing {
                return Err(build.fail(reason));
            }
        }
        let id = format!("sha256:{}", hex_id(&format!("built {} {}", self.images.len(), build.options.names.join(" "))));
        let names = build.options.names.iter().map(|name| with_tag(familiar(name)).into_owned());
        let labels: serde_json::Map<String, Value> = build.options.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let image = Image::new("").id(&id).details(json!({ "Config": { "Labels": labels } }));
        self.add_image(names.fold(image, |image, name| image.tag(&name)));
        build.image = Some(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Host, Image};
    use crate::docker::images_build::{self, BuildDetails, BuildOptions, ContextFile};
    use crate::docker::operations_read::{self, OperationState};
    use crate::docker::{Error, images_read, operations_cancel};

    const DOCKERFILE: &str = "# a comment\nFROM base:1\nCOPY model /m\nRUN pip install x\n";

    fn options() -> BuildOptions {
        BuildOptions {
            dockerfile: "Dockerfile".to_owned(),
            names: vec!["model:1".to_owned(), "team/model".to_owned()],
            labels: vec![("made.by".to_owned(), "test".to_owned())],
            arguments: Vec::new(),
        }
    }

    fn begin() -> Result<String, Error> {
        let files = vec![ContextFile::new("Dockerfile", DOCKERFILE), ContextFile::new("run.sh", "exit 0").executable()];
        images_build::begin(files, &options())
    }

    #[test]
    fn what_is_handed_over_is_kept_and_the_image_has_its_names() {
        let host = Host::install();
        host.image(Image::new("base:1"));
        let id = begin().unwrap();
        let operation = operations_read::get_one(&id).unwrap();
        assert_eq!(
            (operation.kind.as_str(), operation.subject.as_str(), operation.state),
            ("build", "docker.io/library/model:1", OperationState::Succeeded)
        );
        let details: BuildDetails = operation.details().unwrap();
        let image = images_read::inspect_one("team/model").unwrap();
        assert_eq!((details.image.as_deref(), details.step, details.steps), (Some(image.id.as_str()), 3, 3));
        assert_eq!(image.repo_tags, ["model:1", "team/model:latest"]);
        assert!(image.json.contains("\"made.by\":\"test\""), "{}", image.json);
        let [build] = host.builds().try_into().unwrap();
        assert_eq!((build.text("Dockerfile"), build.files["run.sh"].executable, build.options.clone()), (DOCKERFILE, true, options()));
        let log = operations_read::log(&id).unwrap().read_to_end().unwrap();
        assert_eq!(String::from_utf8(log).unwrap().lines().last(), Some("Step 3/3 : RUN pip install x"));
    }

    #[test]
    fn a_build_fails_where_the_test_says_or_without_its_base() {
        let host = Host::install();
        let id = begin().unwrap();
        assert_eq!(operations_read::get_one(&id).unwrap().failure, Some(Error::NotFound));
        host.image(Image::new("base:1"));
        host.fail_builds("RUN pip", "it returned 1");
        let operation = operations_read::get_one(&begin().unwrap()).unwrap();
        let details: BuildDetails = operation.details().unwrap();
        assert_eq!((details.step, details.instruction.as_str(), details.image), (3, "RUN pip install x", None));
        assert_eq!(details.reason.as_deref(), Some("step 3 of 3, `RUN pip install x`: it returned 1"));
        assert_eq!(images_read::inspect_one("model:1").unwrap_err(), Error::NotFound);
        let wrong = |file: ContextFile| images_build::begin(vec![ContextFile::new("Dockerfile", DOCKERFILE), file], &options());
        assert!(matches!(wrong(ContextFile::new("../../x", "")), Err(Error::Invalid(_))));
        let short = operations_read::get_one(&wrong(ContextFile { size: 9, ..ContextFile::new("a", "1") }).unwrap()).unwrap();
        assert!(matches!(short.failure, Some(Error::Invalid(_))));
    }

    #[test]
    fn a_build_that_is_held_can_be_waited_for_and_cancelled() {
        let host = Host::install();
        host.image(Image::new("base:1"));
        host.hold_builds();
        let (first, second, third) = (begin().unwrap(), begin().unwrap(), begin().unwrap());
        assert!(operations_read::get_one(&first).unwrap().is_running());
        assert_eq!(operations_read::wait(&first).unwrap().state, OperationState::Succeeded);
        operations_cancel::cancel(&second).unwrap();
        host.finish_builds();
        let state = |id: &str| operations_read::get_one(id).unwrap().state;
        assert_eq!((state(&second), state(&third)), (OperationState::Cancelled, OperationState::Succeeded));
    }
}

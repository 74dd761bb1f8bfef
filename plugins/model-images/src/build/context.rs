//! What an image is built of: the files of a model, or of all models of a pipeline.

use std::collections::BTreeMap;

use wharf_sdk::Error;
use wharf_sdk::docker::images_build::ContextFile;
use wharf_sdk::storage::blobs;

use super::dockerfile::FOLDER;
use crate::failure::Failure;
use crate::images::{Source, not_found};
use crate::models::{self, Artifact, Model};
use crate::{pipelines, stored};

/// The most artifacts of one image. Each is opened before the build begins, and the host lets a request hold a thousand handles.
pub(crate) const MAX_ARTIFACTS: usize = 900;

/// A model, or the models of a pipeline.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) task_id: i64,
    /// At least one; the first is the one that runs.
    models: Vec<Model>,
}

impl Context {
    /// Looks up what `source` is.
    ///
    /// # Errors
    ///
    /// [`Failure::NoObject`].
    pub(crate) fn of(source: Source) -> Result<Context, Failure> {
        let gone = |failure| match failure {
            Failure::NoObject(..) => not_found(source),
            other => other,
        };
        match source {
            Source::Model(id) => {
                let model = models::one(id).map_err(gone)?;
                Ok(Context { task_id: model.task_id, models: vec![model] })
            }
            Source::Pipeline(id) => {
                let pipeline: pipelines::Pipeline = stored::one(id).map_err(gone)?;
                Ok(Context { task_id: pipeline.task_id, models: pipelines::models_of(id)? })
            }
        }
    }

    /// Whether the files can stand beside each other.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] for more than [`MAX_ARTIFACTS`], for two models with different artifacts of one name, or one whose file is another's folder.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let mut files: BTreeMap<&str, (&Artifact, &Model)> = BTreeMap::new();
        for model in &self.models {
            for artifact in &model.artifacts {
                let other = files.get(artifact.name.as_str());
                let folders = artifact.name.match_indices('/').filter_map(|(end, _)| files.get(artifact.name.get(..end)?));
                let below = format!("{}/", artifact.name);
                let inside = files.range(below.as_str()..).next().filter(|(name, _)| name.starts_with(&below)).map(|(_, file)| file);
                let different = other.into_iter().filter(|(other, _)| other.digest != artifact.digest);
                if let Some((other, owner)) = different.chain(folders).chain(inside).next() {
                    return Err(Failure::Refused(format!(
                        "the artifact `{}` of the model `{}` and `{}` of `{}` cannot be in one image",
                        artifact.name, model.name, other.name, owner.name
                    )));
                }
                files.insert(&artifact.name, (artifact, model));
            }
        }
        if files.len() > MAX_ARTIFACTS {
            return Err(Failure::Refused(format!("an image of {} artifacts: at most {MAX_ARTIFACTS}", files.len())));
        }
        Ok(())
    }

    /// The lines of `requirements.txt`, each once.
    pub(super) fn requirements(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = Vec::new();
        for line in self.models.iter().flat_map(|model| &model.requirements) {
            if !lines.contains(&line.as_str()) {
                lines.push(line);
            }
        }
        lines
    }

    /// All files, the Dockerfile `dockerfile` among them. The bytes of artifacts are streams, which the host reads by itself.
    pub(super) fn files(&self, dockerfile: String) -> Result<Vec<ContextFile>, Failure> {
        let requirements: String = self.requirements().iter().map(|line| format!("{line}\n")).collect();
        let run = self.models.first().map_or_else(String::new, |model| format!("{}\n", model.run_cmd.trim_end_matches('\n')));
        let mut files = vec![
            ContextFile::new(super::run::DOCKERFILE, dockerfile),
            ContextFile::new(format!("{FOLDER}/requirements.txt"), requirements),
            ContextFile::new(format!("{FOLDER}/run.sh"), run).executable(),
        ];
        let mut names = std::collections::BTreeSet::new();
        for artifact in self.models.iter().flat_map(|model| &model.artifacts) {
            if names.insert(&artifact.name) {
                let content = blobs::read(&artifact.stored_as, None).map_err(|error| match error {
                    // It is the number of calls that is used up: reading takes no space.
                    Error::QuotaExceeded => Failure::Refused("the artifacts are more than one request may open on this site".to_owned()),
                    other => other.into(),
                })?;
                let file = ContextFile::streamed(format!("{FOLDER}/{}", artifact.name), artifact.size.unsigned_abs(), content);
                // Nobody says of an uploaded file whether it is a program.
                files.push(file.executable());
            }
        }
        Ok(files)
    }
}

//! How the engine in memory builds: by what the instructions of a Dockerfile say that they do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::super::super::policy::AllowedBuild;
use super::{BUILDER, Built, Container, MemoryEngine};
use crate::backend::engine::{BuildError, BuildObserver, Content, ContextError, EngineError};

impl MemoryEngine {
    /// How many images are left of what was built.
    pub(in super::super) fn built(&self) -> usize {
        self.built.lock().unwrap().len()
    }

    /// The image that has this name.
    pub(in super::super) fn image_called(&self, name: &str) -> Option<String> {
        self.image_names.lock().unwrap().get(name).cloned()
    }

    /// The files of the last build, by their paths.
    pub(in super::super) fn context(&self) -> BTreeMap<String, String> {
        self.context.lock().unwrap().clone()
    }

    /// Carries out the Dockerfile of `build`: `fail` fails, `hang` never ends, `lose` breaks the connection and makes its image three seconds later; anything else makes an image.
    pub(super) async fn carry_out(&self, build: AllowedBuild, observer: &dyn BuildObserver) -> Result<String, BuildError> {
        let target = build.request.target().to_owned();
        let query: BTreeMap<String, String> = form_urlencoded::parse(target.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
        let labels: BTreeMap<String, String> = serde_json::from_str(&query["labels"]).unwrap();
        let context = contents(build).await?;
        let dockerfile = context[&query["dockerfile"]].clone();
        *self.context.lock().unwrap() = context;
        self.act("build", "")?;
        observer.sent();
        let lines: Vec<String> = dockerfile.lines().map(str::to_owned).chain(labels.keys().map(|key| format!("LABEL {key}"))).collect();
        let mut parent = String::new();
        for (step, line) in lines.iter().enumerate() {
            observer.said(&format!("Step {}/{} : {line}", step + 1, lines.len()));
            observer.said("\n");
            match line.split_once(' ').unwrap() {
                ("FROM", image) => parent = format!("sha256:{image}"),
                (_, "fail") => {
                    observer.said("about to fail\n");
                    return Err(EngineError::Failed { status: 200, reason: "it returned 1".to_owned() }.into());
                }
                (_, "lose") => {
                    let image = Built { id: format!("sha256:{:064x}", 0xeeee), parent, mark: labels["wharf.build"].clone() };
                    *self.late.lock().unwrap() = Some((Instant::now() + Duration::from_secs(3), image));
                    return Err(EngineError::Lost("connection reset".to_owned()).into());
                }
                (_, "hang") => {
                    self.containers.lock().unwrap().push(Container {
                        id: BUILDER.to_owned(),
                        name: "builder".to_owned(),
                        image: String::new(),
                        running: true,
                        labels: json!({ "wharf.build": labels["wharf.build"] }),
                    });
                    std::future::pending::<()>().await;
                }
                _ => {
                    let id = format!("sha256:{:064x}", 0xb000 + self.built());
                    self.built.lock().unwrap().push(Built { id: id.clone(), parent, mark: labels["wharf.build"].clone() });
                    parent = id;
                }
            }
        }
        observer.said("Successfully built it\n");
        Ok(parent)
    }
}

/// The files of `build`, as far as they are of the length that was announced.
async fn contents(build: AllowedBuild) -> Result<BTreeMap<String, String>, ContextError> {
    let mut contents = BTreeMap::new();
    for file in build.files {
        let mut whole = Vec::new();
        match file.content {
            Content::Bytes(bytes) => whole.extend_from_slice(&bytes),
            Content::Stream(mut stream) => {
                while let Some(piece) = stream.read(usize::MAX).await.unwrap() {
                    whole.extend_from_slice(&piece);
                }
            }
        }
        let (path, size, found) = (file.path, file.size, whole.len() as u64);
        if found != size {
            return Err(ContextError::Short { path, size, found });
        }
        contents.insert(path, String::from_utf8(whole).unwrap());
    }
    Ok(contents)
}

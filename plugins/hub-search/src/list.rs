//! `GET /api/v1/image/`: the images of one category.

use serde::Serialize;
use serde_json::Value;
use wharf_sdk::{Request, Response};

use crate::catalog;
use crate::failure::Failure;
use crate::local::{Downloads, Local};
use crate::path::Kind;
use crate::search;
use crate::templates::{self, Templates};

/// Where images come from.
#[derive(Debug, Clone, Copy)]
enum Category {
    Local,
    Qnap,
    Official,
    DockerHub,
}

impl Category {
    /// The one called `word`; empty is the local one.
    fn parse(word: &str) -> Result<Category, Failure> {
        match word {
            "" | "local" => Ok(Category::Local),
            "qnap" => Ok(Category::Qnap),
            "official" => Ok(Category::Official),
            "dockerhub" => Ok(Category::DockerHub),
            other => Err(Failure::Malformed(format!("unknown category `{other}`: expected `local`, `qnap`, `official` or `dockerhub`"))),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Category::Local => "local",
            Category::Qnap => "qnap",
            Category::Official => "official",
            Category::DockerHub => "dockerhub",
        }
    }
}

/// The answer. As everywhere in this API the keys are in the order of the alphabet.
#[derive(Serialize)]
struct List<'a> {
    category: &'static str,
    filter_text: &'a str,
    results: Vec<Value>,
    total_count: usize,
    r#type: &'static str,
}

/// What of a category is asked for.
pub(crate) struct Filter<'a> {
    /// Empty lets everything through.
    pub(crate) text: &'a str,
    /// None lets both through.
    pub(crate) kind: Option<Kind>,
}

impl Filter<'_> {
    /// Whether the text is in one of `texts`, in upper or lower case.
    pub(crate) fn finds(&self, texts: &[&str]) -> bool {
        let wanted = self.text.to_lowercase();
        texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    pub(crate) fn takes(&self, kind: Kind) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
    }
}

/// What is here or on its way.
pub(crate) struct Here {
    pub(crate) local: Local,
    pub(crate) templates: Templates,
    pub(crate) downloads: Downloads,
}

pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    let query = request.query();
    let category = Category::parse(&query.get("category").unwrap_or_default())?;
    let text = query.get("filter_text").unwrap_or_default();
    let kind = match &*query.get("type").unwrap_or_default() {
        "" => None,
        word => Some(Kind::parse(word)?),
    };
    let filter = Filter { text: &text, kind };
    let results = match category {
        Category::Local => local(&filter)?,
        Category::Qnap => catalog::qnap(&filter)?,
        Category::Official => catalog::official(&filter)?,
        Category::DockerHub => search::docker_hub(&filter)?,
    };
    Ok(Response::json(&List {
        category: category.word(),
        filter_text: filter.text,
        total_count: results.len(),
        results,
        r#type: kind.map_or("", Kind::word),
    }))
}

impl Here {
    /// Asks what is here, of images or templates or both. Of what is not asked for nothing is.
    pub(crate) fn read(images: bool, templates: bool) -> Result<Here, Failure> {
        let of_engine = |error| Failure::of_engine(error, "");
        Ok(Here {
            local: if images { Local::read().map_err(of_engine)? } else { Local::default() },
            templates: if templates { Templates::read()? } else { Templates::default() },
            downloads: Downloads::read().map_err(of_engine)?,
        })
    }
}

/// One repository of the engine. `tags` and `size` stand side by side.
#[derive(Serialize)]
struct LocalImage<'a> {
    description: &'static str,
    downloading: bool,
    icon: &'static str,
    installed: bool,
    is_latest: Vec<&'a str>,
    name: &'a str,
    repository: &'static str,
    size: Vec<u64>,
    tags: Vec<&'a str>,
    r#type: &'static str,
}

/// The templates that are stored, and then the repositories that the engine holds, each sorted by name.
fn local(filter: &Filter<'_>) -> Result<Vec<Value>, Failure> {
    let here = Here::read(filter.takes(Kind::Docker), filter.takes(Kind::Lxc))?;
    let mut images = templates::local(filter, &here);
    let downloading = here.downloads.repositories();
    let image = |(name, tags)| entry(&local_image(name, tags, downloading.contains(name)));
    images.extend(here.local.repositories().filter(|(name, _)| filter.finds(&[name])).map(image));
    Ok(images)
}

fn local_image<'a>(name: &'a str, tags: &'a std::collections::BTreeMap<String, u64>, downloading: bool) -> LocalImage<'a> {
    LocalImage {
        description: "",
        downloading,
        icon: "",
        installed: true,
        is_latest: tags.keys().map(String::as_str).filter(|tag| *tag == "latest").collect(),
        name,
        repository: "local",
        size: tags.values().copied().collect(),
        tags: tags.keys().map(String::as_str).collect(),
        r#type: Kind::Docker.word(),
    }
}

/// An entry of the answer. Texts and numbers can always be written.
pub(crate) fn entry(entry: &impl Serialize) -> Value {
    serde_json::to_value(entry).unwrap_or_default()
}

//! What a Dockerfile builds on, and the Dockerfile that the engine gets.

use std::collections::HashMap;

use super::super::reference::{ImageId, ImageName};
use super::expand::{expand, is_variable, words};
use super::{Dockerfile, Instruction};

/// The label that is the host's own: see `policy/build.rs`.
const OWN_LABEL: &str = super::super::policy::BUILD_LABEL;

/// A Dockerfile of which it is known what it builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capability::docker) struct BuildPlan {
    escape: char,
    lines: Vec<Line>,
    /// Those that come from outside of the Dockerfile, each once.
    bases: Vec<BaseImage>,
}

/// An image on which something is built, or from which something is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capability::docker) struct BaseImage {
    pub(in crate::capability::docker) name: ImageName,
    /// `os/architecture`, if the Dockerfile asks for one.
    pub(in crate::capability::docker) platform: Option<String>,
    /// Which instruction named it first, from 1.
    pub(in crate::capability::docker) step: u32,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// As the Dockerfile has it.
    text: String,
    sent: Sent,
}

/// What the engine gets for it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    AsItIs,
    From {
        base: Base,
        stage: Option<String>,
    },
    /// `COPY` from an image, by its place in the list.
    Copy {
        image: usize,
        flags: String,
        rest: String,
    },
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    Scratch,
    /// An earlier stage.
    Stage(String),
    /// An image, by its place in the list.
    Image(usize),
}

/// The Dockerfile that the engine gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capability::docker) struct Rendered {
    pub(in crate::capability::docker) text: String,
    /// For each of its instructions the place of the one that it stands for, from 0; none for those that the host has added.
    pub(in crate::capability::docker) places: Vec<Option<usize>>,
}

impl Dockerfile {
    /// Finds out what is built on, with `arguments` as the values of `ARG`s.
    ///
    /// # Errors
    ///
    /// What cannot be told, or is not allowed, and where.
    pub(in crate::capability::docker) fn plan(&self, arguments: &[(String, String)]) -> Result<BuildPlan, String> {
        let mut planner = Planner { dockerfile: self, arguments, variables: HashMap::new(), stages: Vec::new(), bases: Vec::new() };
        let mut lines = Vec::new();
        for (place, instruction) in self.instructions.iter().enumerate() {
            let step = u32::try_from(place + 1).unwrap_or(u32::MAX);
            let sent = planner.line(instruction, step).map_err(|what| instruction.mistake(what))?;
            lines.push(Line { text: instruction.text(), sent });
        }
        if planner.stages.is_empty() {
            return Err("the Dockerfile has no FROM".to_owned());
        }
        Ok(BuildPlan { escape: self.escape, lines, bases: planner.bases })
    }
}

impl BuildPlan {
    /// The images that it builds on or copies from.
    pub(in crate::capability::docker) fn bases(&self) -> &[BaseImage] {
        &self.bases
    }

    /// The instructions, as the Dockerfile has them.
    pub(in crate::capability::docker) fn instructions(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lines.iter().map(|line| line.text.as_str())
    }

    /// Writes the Dockerfile with `ids` for the base images, in their order, and with the label `label` on everything that is built.
    pub(in crate::capability::docker) fn render(&self, ids: &[ImageId], label: &str) -> Rendered {
        // In the form that cannot be taken for a name.
        let id = |image: usize| ids.get(image).map_or("", |id| id.as_str().trim_start_matches("sha256:"));
        let mut rendered = Rendered { text: String::new(), places: Vec::new() };
        if self.escape != '\\' {
            rendered.text.push_str(&format!("# escape={}\n", self.escape));
        }
        for (place, line) in self.lines.iter().enumerate() {
            let text = match &line.sent {
                Sent::AsItIs => line.text.clone(),
                Sent::Copy { image, flags, rest } => format!("COPY --from={} {flags}{rest}", id(*image)),
                Sent::From { base, stage } => {
                    let base = match base {
                        Base::Scratch => "scratch",
                        Base::Stage(name) => name,
                        Base::Image(image) => id(*image),
                    };
                    stage.as_ref().map_or_else(|| format!("FROM {base}"), |stage| format!("FROM {base} AS {stage}"))
                }
            };
            rendered.push(&text, Some(place));
            if matches!(&line.sent, Sent::From { base: Base::Scratch | Base::Image(_), .. }) {
                rendered.push(&format!("LABEL {label}"), None);
            }
        }
        rendered
    }
}

impl Rendered {
    fn push(&mut self, line: &str, place: Option<usize>) {
        self.text.push_str(line);
        self.text.push('\n');
        self.places.push(place);
    }
}

struct Planner<'a> {
    dockerfile: &'a Dockerfile,
    arguments: &'a [(String, String)],
    /// Those of the `ARG`s before the first `FROM`: their values, or why nobody can tell.
    variables: HashMap<String, Result<Option<String>, String>>,
    /// The names of the stages; none for one without.
    stages: Vec<Option<String>>,
    bases: Vec<BaseImage>,
}

impl Planner<'_> {
    fn line(&mut self, instruction: &Instruction, step: u32) -> Result<Sent, String> {
        let Instruction { keyword, rest, .. } = instruction;
        if self.stages.is_empty() && !matches!(*keyword, "FROM" | "ARG") {
            return Err(format!("{keyword} before the first FROM"));
        }
        match *keyword {
            "FROM" => return self.from(rest, step),
            "COPY" => return self.copy(rest, step),
            "ARG" if self.stages.is_empty() => self.arg(rest),
            "ADD" => self.add(rest)?,
            "RUN" => {
                if rest.starts_with("--") {
                    return Err("the flags of RUN need BuildKit".to_owned());
                }
                without_here_documents(rest)?;
            }
            "ONBUILD" => return Err("ONBUILD is not allowed".to_owned()),
            "LABEL" if rest.contains(OWN_LABEL) => return Err(format!("the label `{OWN_LABEL}` is the host's own")),
            _ => {}
        }
        Ok(Sent::AsItIs)
    }

    /// `ARG` before the first `FROM`.
    fn arg(&mut self, rest: &str) {
        for word in words(rest) {
            let (name, default) = word.split_once('=').map_or((word, None), |(name, default)| (name, Some(default)));
            if !is_variable(name) {
                continue;
            }
            let given = self.arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            let value = match (given, default) {
                (Some(given), _) => Ok(Some(given)),
                (None, Some(default)) => self.expand(default).map(Some),
                (None, None) => Ok(None),
            };
            self.variables.insert(name.to_owned(), value);
        }
    }

    fn from(&mut self, rest: &str, step: u32) -> Result<Sent, String> {
        if !rest.is_ascii() {
            return Err("FROM is written in ASCII".to_owned());
        }
        let (flags, rest) = flags(rest);
        let mut platform = None;
        for flag in flags {
            match flag.strip_prefix("--platform=") {
                Some(value) if platform.is_none() => platform = Some(self.expand(value)?),
                _ => return Err(format!("the flag `{flag}` of FROM is not known here")),
            }
        }
        let (base, stage) = match words(rest).as_slice() {
            [base] => (*base, None),
            [base, word, stage] if word.eq_ignore_ascii_case("as") => (*base, Some(stage_name(stage)?)),
            _ => return Err("FROM has an image, and may have `AS` and a name".to_owned()),
        };
        if let Some(name) = &stage
            && self.stages.contains(&stage)
        {
            return Err(format!("a second stage `{name}`"));
        }
        let base = self.expand(base)?;
        let base = if base == "scratch" {
            Base::Scratch
        } else if self.stages.contains(&Some(base.to_ascii_lowercase())) {
            Base::Stage(base.to_ascii_lowercase())
        } else {
            Base::Image(self.image(&base, platform, step)?)
        };
        self.stages.push(stage.clone());
        Ok(Sent::From { base, stage })
    }

    fn copy(&mut self, rest: &str, step: u32) -> Result<Sent, String> {
        let (from, chown, rest) = self.copy_flags("COPY", rest)?;
        without_here_documents(rest)?;
        let Some(from) = from else { return Ok(Sent::AsItIs) };
        let is_number = from.bytes().all(|byte| byte.is_ascii_digit());
        let before = self.stages.len() - 1;
        // A stage by its name or by its number, and only one that is done.
        let stage = self.stages.iter().position(|stage| stage.as_deref() == Some(&*from.to_ascii_lowercase()));
        let stage = if is_number && stage.is_none() { Some(from.parse().unwrap_or(usize::MAX)) } else { stage };
        match stage {
            Some(stage) if stage < before => Ok(Sent::AsItIs),
            Some(_) => Err(format!("there is no stage `{from}` before this one")),
            None => {
                let flags = chown.map(|owner| format!("--chown={owner} ")).unwrap_or_default();
                Ok(Sent::Copy { image: self.image(from, None, step)?, flags, rest: rest.to_owned() })
            }
        }
    }

    fn add(&self, rest: &str) -> Result<(), String> {
        let (from, _, rest) = self.copy_flags("ADD", rest)?;
        if from.is_some() {
            return Err("ADD has no `--from`".to_owned());
        }
        without_here_documents(rest)?;
        let lower = rest.to_ascii_lowercase();
        if lower.contains("://") || lower.contains("git@") {
            return Err("ADD of what the engine would fetch from elsewhere is not allowed".to_owned());
        }
        // What a variable, an escape or a quote hides may be a URL. Quotes are those of the JSON form, and nothing else.
        let is_json = || serde_json::from_str::<Vec<String>>(rest).is_ok();
        if rest.contains(['$', '\\', '`', '\'']) || rest.contains('"') && !is_json() {
            return Err("ADD with variables, escapes or quotes is not allowed; COPY is".to_owned());
        }
        Ok(())
    }

    /// `--from` and `--chown` of `COPY` and `ADD`, and what stands behind them.
    fn copy_flags<'a>(&self, keyword: &str, rest: &'a str) -> Result<(Option<&'a str>, Option<&'a str>, &'a str), String> {
        let (flags, rest) = flags(rest);
        let (mut from, mut chown) = (None, None);
        for flag in flags {
            let is_plain = flag.is_ascii() && !flag.contains(['"', '\'', '\\', '`', self.dockerfile.escape]);
            match flag.split_once('=') {
                Some(("--from", image)) if is_plain && from.is_none() && !image.is_empty() => from = Some(image),
                Some(("--chown", owner)) if is_plain && chown.is_none() => chown = Some(owner),
                _ => return Err(format!("the flag `{flag}` of {keyword} is not known here, or needs BuildKit")),
            }
        }
        Ok((from, chown, rest))
    }

    /// The place in the list of the image that `name` names.
    fn image(&mut self, name: &str, platform: Option<String>, step: u32) -> Result<usize, String> {
        if name.is_empty() {
            return Err("an image without a name".to_owned());
        }
        let name = ImageName::parse(name)?;
        if let Some(place) = self.bases.iter().position(|base| base.name == name && base.platform == platform) {
            return Ok(place);
        }
        self.bases.push(BaseImage { name, platform, step });
        Ok(self.bases.len() - 1)
    }

    fn expand(&self, word: &str) -> Result<String, String> {
        expand(word, &|name| self.variables.get(name).cloned().unwrap_or(Ok(None)))
    }
}

/// The words at the beginning of `rest` that are flags, and what stands behind them.
fn flags(rest: &str) -> (Vec<&str>, &str) {
    let (mut flags, mut rest) = (Vec::new(), rest);
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        flags.push(flag);
        rest = after.trim_start();
    }
    (flags, rest)
}

/// `[a-z][a-z0-9-_.]*`, whatever the case it is written in.
fn stage_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let is_sound = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.'));
    if is_sound && name != "scratch" { Ok(name) } else { Err(format!("`{text}` is no name of a stage")) }
}

/// Newer engines read `<<WORD`, with a number before it or without, as the beginning of a here-document, and then refuse it; older ones take it for a part of the command.
fn without_here_documents(rest: &str) -> Result<(), String> {
    let begins_word = |place: usize| {
        let before = rest.get(..place).unwrap_or_default().trim_end_matches(|character: char| character.is_ascii_digit());
        before.is_empty() || before.ends_with(char::is_whitespace)
    };
    // Three are a string, and the shell's affair.
    let is_three = |place: usize| rest.get(place..).is_some_and(|rest| rest.starts_with("<<<"));
    match rest.match_indices("<<").any(|(place, _)| begins_word(place) && !is_three(place)) {
        true => Err("here-documents need BuildKit".to_owned()),
        false => Ok(()),
    }
}

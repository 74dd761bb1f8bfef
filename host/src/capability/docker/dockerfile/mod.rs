//! Dockerfiles, read for what they build on, and written anew for the engine.
//!
//! **What is checked is what is sent.** Engines read Dockerfiles differently from version to version (20.10 knows no here-documents and takes their lines for instructions), and a reader of ours that differs in one
//! place from the engine's would be a way around every check. So a Dockerfile is read into instructions here, and the engine gets one that is written from these: one line for each, with no comment, no continuation and no
//! directive but `escape`. What cannot be told, or is read differently by engines, is refused. Crates that read Dockerfiles read BuildKit's language; the classic builder's is a page, and its doubtful parts are the point.
//!
//! **Images by id.** In what is sent, each base image is the full id, without `sha256:`, of the image that its name led to when it was looked up. No engine can take that for the name of an image to be pulled, so that the
//! time between looking up and building is no way in, and nothing is fetched if the image is removed meanwhile. (The classic builder fetches what is missing, whatever `pull` says.)
//!
//! **The mark.** After each `FROM` of an image stands a `LABEL` of ours with the [mark](super::policy::BuildMark) of the build. Whatever the build makes has it from there on, intermediate images and containers too, and is
//! found by it. That no two builds have the same mark means that nothing is taken from the cache of an earlier one.
//!
//! **Refused**: `ONBUILD`, here and in base images, since its instructions would be carried out unseen; flags of `RUN`, and those of `COPY` and `ADD` but for `--from` and `--chown`, which need BuildKit; here-documents;
//! `ADD` of a URL or of what may become one, since the engine would fetch it from where the engine is, which may be the inside of a network. `# syntax=` has no effect, as with the classic builder.

mod expand;
mod plan;
#[cfg(test)]
mod tests;

pub(super) use plan::BuildPlan;

/// The longest Dockerfile.
pub(super) const MAX_DOCKERFILE_BYTES: usize = 256 * 1024;
/// The longest instruction. Engines refuse a line of 64 KiB.
const MAX_INSTRUCTION_BYTES: usize = 32 * 1024;

/// The instructions of the classic builder.
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A Dockerfile that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dockerfile {
    /// `\`, or what the directive says.
    escape: char,
    instructions: Vec<Instruction>,
}

/// One instruction, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Instruction {
    /// Where it begins, from 1.
    line: usize,
    /// In upper case.
    keyword: &'static str,
    /// What stands behind the keyword, without white space around it.
    rest: String,
}

impl Instruction {
    fn text(&self) -> String {
        format!("{} {}", self.keyword, self.rest).trim_end().to_owned()
    }

    /// A mistake in this instruction.
    fn mistake(&self, what: impl std::fmt::Display) -> String {
        format!("line {} of the Dockerfile: {what}", self.line)
    }
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub(super) fn parse(text: &[u8]) -> Result<Dockerfile, String> {
        if text.len() > MAX_DOCKERFILE_BYTES {
            return Err(format!("the Dockerfile has {} bytes, at most {MAX_DOCKERFILE_BYTES}", text.len()));
        }
        let text = std::str::from_utf8(text).map_err(|_| "the Dockerfile is no UTF-8".to_owned())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        if let Some(place) = lines.iter().position(|line| line.contains(|character: char| character.is_control() && character != '\t')) {
            return Err(format!("line {} of the Dockerfile: a control character", place + 1));
        }
        let (escape, directives) = directives(&lines)?;
        let mut instructions = Vec::new();
        let mut rest = lines.iter().enumerate().skip(directives);
        while let Some((place, first)) = rest.next() {
            let first = first.trim_start();
            if first.is_empty() || first.starts_with('#') {
                continue;
            }
            let mut whole = String::new();
            let mut next = continued(first, escape);
            whole.push_str(next.unwrap_or(first));
            while next.is_some() {
                let Some((_, line)) = rest.next() else { break };
                // Comments and empty lines between the parts do not count.
                if line.trim_start().is_empty() || line.trim_start().starts_with('#') {
                    continue;
                }
                next = continued(line, escape);
                whole.push_str(next.unwrap_or(line));
            }
            instructions.push(instruction(place + 1, whole.trim())?);
        }
        Ok(Dockerfile { escape, instructions })
    }
}

/// The escape character, and how many lines at the beginning are directives.
fn directives(lines: &[&str]) -> Result<(char, usize), String> {
    let mut escape = None;
    for (place, line) in lines.iter().enumerate() {
        let directive = line.trim().strip_prefix('#').and_then(|rest| rest.split_once('='));
        let Some((name, value)) = directive.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim())) else {
            return Ok((escape.unwrap_or('\\'), place));
        };
        match (name.as_str(), value) {
            ("syntax" | "check", _) => {}
            ("escape", "\\" | "`") if escape.is_none() => escape = value.chars().next(),
            ("escape", _) => {
                return Err(format!("line {} of the Dockerfile: the directive `escape` is `\\` or a backtick, and stands once", place + 1));
            }
            // An ordinary comment, after which there are no directives.
            _ => return Ok((escape.unwrap_or('\\'), place)),
        }
    }
    Ok((escape.unwrap_or('\\'), lines.len()))
}

/// `line` without its end, if it goes on in the next one. Two escape characters are an escaped one.
fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

fn instruction(line: usize, whole: &str) -> Result<Instruction, String> {
    let (word, rest) = whole.split_once([' ', '\t']).unwrap_or((whole, ""));
    let keyword = KEYWORDS.iter().find(|keyword| keyword.eq_ignore_ascii_case(word));
    let Some(keyword) = keyword else {
        let shown: String = word.chars().take(40).collect();
        return Err(format!("line {line} of the Dockerfile: `{shown}` is no instruction"));
    };
    if whole.len() > MAX_INSTRUCTION_BYTES {
        return Err(format!("line {line} of the Dockerfile: an instruction of {} bytes, at most {MAX_INSTRUCTION_BYTES}", whole.len()));
    }
    Ok(Instruction { line, keyword, rest: rest.trim().to_owned() })
}

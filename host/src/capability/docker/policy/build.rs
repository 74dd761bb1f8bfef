//! What a build may be: its names, its files, its labels and arguments.
//!
//! Its Dockerfile is read in [`super::super::dockerfile`], and which images it may build on is the grant's to say.
//!
//! **The mark.** Whatever a build makes carries a value in the label [`BUILD_LABEL`] that no other build has, and only what carries it is removed when the build fails. The name of an image cannot tell that (it belongs to the
//! image before), nor can what the engine writes (a command of the build may write the same).

use std::collections::HashSet;

use super::super::reference::{ImageId, ImageReference};
use crate::backend::engine::{BuildRequest, Content, ContextFile};

/// The label in which an image carries the mark of the build that made it.
pub(in crate::capability::docker) const BUILD_LABEL: &str = "wharf.build";

/// The most files of a context. Each has an entry on the engine's disk, and a name here.
const MAX_FILES: usize = 10_000;
/// The longest path, and the longest of its parts, that file systems take with the engine's own folder before it.
const MAX_PATH_BYTES: usize = 1024;
const MAX_PART_BYTES: usize = 255;
/// The most names of one image.
const MAX_NAMES: usize = 16;
/// The most labels, and the most arguments. That they are not too long together is seen when they are written into a URL.
const MAX_PAIRS: usize = 128;

/// What tells one build from every other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildMark(String);

impl BuildMark {
    /// A mark that no other build has.
    pub(in crate::capability::docker) fn new() -> BuildMark {
        BuildMark(format!("{:032x}", fastrand::u128(..)))
    }

    /// The label with the mark: `key=value`.
    pub(in crate::capability::docker) fn label(&self) -> String {
        format!("{BUILD_LABEL}={}", self.0)
    }

    /// Whether something with `labels` was made by this build.
    pub(in crate::capability::docker) fn is_on(&self, labels: &[(String, String)]) -> bool {
        labels.iter().any(|(key, value)| key == BUILD_LABEL && *value == self.0)
    }

    /// The path of the Dockerfile that the engine gets. No file of a plugin has it.
    fn dockerfile(&self) -> String {
        format!(".wharf-dockerfile-{}", self.0)
    }
}

/// An image that a build has made, so that it may be named and removed. Not proof that it still exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuiltImage(ImageId);

impl BuiltImage {
    /// The image of this id, if its labels have the mark.
    pub(in crate::capability::docker) fn made_by(mark: &BuildMark, id: &ImageId, labels: &[(String, String)]) -> Option<BuiltImage> {
        mark.is_on(labels).then(|| BuiltImage(id.clone()))
    }

    pub(in crate::capability::docker) fn id(&self) -> &ImageId {
        &self.0
    }
}

/// The files of a context, which were checked.
pub(crate) struct BuildContext(Vec<ContextFile>);

/// Why files are no context.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::capability::docker) enum ContextRefusal {
    /// They break a rule.
    Invalid(String),
    /// They have more bytes than the plugin may send.
    TooLarge {
        /// How many they have.
        bytes: u64,
    },
}

impl BuildContext {
    /// Checks the paths and sizes of `files`, which may have `at_most_bytes` together.
    pub(in crate::capability::docker) fn check(files: Vec<ContextFile>, at_most_bytes: u64) -> Result<BuildContext, ContextRefusal> {
        if files.len() > MAX_FILES {
            return Err(ContextRefusal::Invalid(format!("{} files, at most {MAX_FILES}", files.len())));
        }
        check_paths(files.iter().map(|file| file.path.as_str())).map_err(ContextRefusal::Invalid)?;
        for file in &files {
            if let Content::Bytes(bytes) = &file.content
                && bytes.len() as u64 != file.size
            {
                let what = format!("the file `{}` has {} bytes, {} were announced", file.path, bytes.len(), file.size);
                return Err(ContextRefusal::Invalid(what));
            }
        }
        let bytes = files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
        if bytes > at_most_bytes {
            return Err(ContextRefusal::TooLarge { bytes });
        }
        Ok(BuildContext(files))
    }

    /// The file at `path`.
    pub(in crate::capability::docker) fn file(&mut self, path: &str) -> Option<&mut ContextFile> {
        self.0.iter_mut().find(|file| file.path == path)
    }

    /// What is sent for a build by the Dockerfile `text`, of an image with `labels`, where its `ARG`s have the values `arguments`.
    ///
    /// The Dockerfile is a file of its own, so that what a `COPY` sees is what the plugin gave; the engine takes it away when it has read it, because `.dockerignore` says so, which goes
    /// with it. That is all that engines do with `.dockerignore`: leaving out what it names is a client's affair. So one of the plugin's has no effect, and is not sent.
    ///
    /// # Errors
    ///
    /// That labels and arguments are too long.
    pub(in crate::capability::docker) fn with_dockerfile(
        self,
        text: String,
        mark: &BuildMark,
        labels: &[(String, String)],
        arguments: &[(String, String)],
    ) -> Result<AllowedBuild, String> {
        const IGNORE: &str = ".dockerignore";
        let path = mark.dockerfile();
        let own_label = (BUILD_LABEL.to_owned(), mark.0.clone());
        let labels: Vec<_> = labels.iter().cloned().chain([own_label]).collect();
        let request = BuildRequest::new(&path, &labels, arguments)?;
        let file = |path: &str, text: String| ContextFile {
            path: path.to_owned(),
            executable: false,
            size: text.len() as u64,
            content: Content::Bytes(text.into()),
        };
        let own = [file(IGNORE, format!("{IGNORE}\n{path}\n")), file(&path, text)];
        let files = own.into_iter().chain(self.0.into_iter().filter(|file| file.path != IGNORE)).collect();
        Ok(AllowedBuild { request, files })
    }
}

/// A build that the plugin may have.
pub(crate) struct AllowedBuild {
    pub(in crate::capability::docker) request: BuildRequest,
    pub(in crate::capability::docker) files: Vec<ContextFile>,
}

/// Checks that each path is one, that none occurs twice, and that no file is the folder of another.
fn check_paths<'a>(paths: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let (mut files, mut folders) = (HashSet::new(), HashSet::new());
    for path in paths {
        check_path(path)?;
        if !files.insert(path) {
            return Err(format!("two files `{path}`"));
        }
        folders.extend(path.match_indices('/').map(|(end, _)| path.split_at(end).0));
    }
    match files.intersection(&folders).min() {
        Some(path) => Err(format!("`{path}` is a file and a folder")),
        None => Ok(()),
    }
}

fn check_path(path: &str) -> Result<(), String> {
    let shown: String = path.chars().take(100).collect();
    if path.len() > MAX_PATH_BYTES || path.split('/').any(|part| part.len() > MAX_PART_BYTES) {
        return Err(format!("the path `{shown}…` is longer than {MAX_PATH_BYTES} bytes, or a part of it than {MAX_PART_BYTES}"));
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("`{shown}` is no path: parts with `/` between them, without `.`, `..` and empty ones"));
    }
    if path.contains(char::is_control) {
        return Err(format!("the path {shown:?} has a control character"));
    }
    Ok(())
}

/// The names that an image is to have: `repository[:tag]`.
///
/// # Errors
///
/// What is wrong with them.
pub(in crate::capability::docker) fn names(texts: &[String]) -> Result<Vec<ImageReference>, String> {
    if texts.is_empty() || texts.len() > MAX_NAMES {
        return Err(format!("{} names, from 1 to {MAX_NAMES}", texts.len()));
    }
    let mut names: Vec<ImageReference> = Vec::new();
    for text in texts {
        let name = match super::super::reference::ImageName::parse(text)? {
            super::super::reference::ImageName::Reference(name) if name.digest().is_none() => name,
            _ => return Err(format!("`{text}` is an id or a digest, and a name is needed")),
        };
        if names.contains(&name) {
            return Err(format!("the name `{name}` twice"));
        }
        names.push(name);
    }
    Ok(names)
}

/// Checks the labels of an image.
///
/// # Errors
///
/// What is wrong with them.
pub(in crate::capability::docker) fn check_labels(labels: &[(String, String)]) -> Result<(), String> {
    check_pairs("label", labels, |key| key != BUILD_LABEL && !key.contains(char::is_whitespace) && !key.contains('='))
}

/// Checks the values of `ARG`s.
///
/// # Errors
///
/// What is wrong with them.
pub(in crate::capability::docker) fn check_arguments(arguments: &[(String, String)]) -> Result<(), String> {
    check_pairs("argument", arguments, |key| {
        key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !key.starts_with(|first: char| first.is_ascii_digit())
    })
}

fn check_pairs(what: &str, pairs: &[(String, String)], is_key: impl Fn(&str) -> bool) -> Result<(), String> {
    if pairs.len() > MAX_PAIRS {
        return Err(format!("{} {what}s, at most {MAX_PAIRS}", pairs.len()));
    }
    let mut keys = HashSet::new();
    for (key, value) in pairs {
        if key.is_empty() || key.contains(char::is_control) || !is_key(key) {
            return Err(format!("{key:?} is no name of a {what}"));
        }
        if value.contains('\0') {
            return Err(format!("the {what} `{key}` has a NUL"));
        }
        if !keys.insert(key) {
            return Err(format!("the {what} `{key}` twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn file(path: &str, size: u64) -> ContextFile {
        ContextFile { path: path.to_owned(), executable: false, size, content: Content::Bytes(Bytes::from_static(b"12345")) }
    }

    #[track_caller]
    fn check(paths: &[&str], expected: Result<(), &str>) {
        let checked = BuildContext::check(paths.iter().map(|path| file(path, 5)).collect(), 100);
        let found = checked.map(drop).map_err(|refusal| match refusal {
            ContextRefusal::Invalid(rule) => rule,
            ContextRefusal::TooLarge { bytes } => format!("{bytes} bytes"),
        });
        assert_eq!(found, expected.map_err(str::to_owned), "{paths:?}");
    }

    #[test]
    fn a_path_is_relative_and_stays_in_the_context() {
        for good in ["Dockerfile", "a/b/c.py", "größe", "a b", "..a", "a..", "-x", "a\\b", ".dockerignore"] {
            check(&[good], Ok(()));
        }
        for bad in ["", "/", "/etc/passwd", "..", ".", "../../x", "a/../b", "a/./b", "a//b", "a/", "./a", "a/.."] {
            check(&[bad], Err(&format!("`{bad}` is no path: parts with `/` between them, without `.`, `..` and empty ones")));
        }
        for bad in ["a\0b", "a\nb", "\u{7f}"] {
            check(&[bad], Err(&format!("the path {bad:?} has a control character")));
        }
        for long in ["x".repeat(256), format!("{}x", "y/".repeat(512))] {
            let shown: String = long.chars().take(100).collect();
            check(&[&long], Err(&format!("the path `{shown}…` is longer than 1024 bytes, or a part of it than 255")));
        }
        check(&["x".repeat(255).as_str()], Ok(()));
    }

    #[test]
    fn each_path_is_there_once_and_a_file_is_no_folder() {
        check(&["a", "b", "c/a"], Ok(()));
        check(&["a", "b", "a"], Err("two files `a`"));
        check(&["a/b", "a"], Err("`a` is a file and a folder"));
        check(&["a", "a/b/c"], Err("`a` is a file and a folder"));
        check(&["a", "ab/c"], Ok(()));
    }

    #[test]
    fn a_context_has_a_limit_and_its_sizes_are_right() {
        check(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19"], Ok(()));
        let many: Vec<String> = (0..21).map(|number| number.to_string()).collect();
        check(&many.iter().map(String::as_str).collect::<Vec<_>>(), Err("105 bytes"));
        let wrong = BuildContext::check(vec![file("a", 4)], 100).map(drop);
        assert_eq!(wrong, Err(ContextRefusal::Invalid("the file `a` has 5 bytes, 4 were announced".to_owned())));
        let endless = ContextFile {
            content: Content::Stream(crate::backend::stream::ByteStream::new(futures_util::stream::empty())),
            ..file("a", u64::MAX)
        };
        let too_large = BuildContext::check(vec![endless, file("b", 5)], u64::MAX - 1).map(drop);
        assert_eq!(too_large, Err(ContextRefusal::TooLarge { bytes: u64::MAX }));
        let many: Vec<ContextFile> = (0..=MAX_FILES).map(|number| file(&number.to_string(), 5)).collect();
        assert!(matches!(BuildContext::check(many, u64::MAX), Err(ContextRefusal::Invalid(_))));
    }

    #[test]
    fn what_is_sent_has_a_dockerfile_of_its_own_that_no_copy_sees() {
        let context = BuildContext::check([".dockerignore", "Dockerfile", "a/.dockerignore"].map(|path| file(path, 5)).into(), 100);
        let build = context.unwrap_or_else(|_| panic!("no context")).with_dockerfile(
            "FROM scratch".to_owned(),
            &BuildMark("m".to_owned()),
            &[],
            &[],
        );
        let files: Vec<_> = build.unwrap().files.into_iter().map(|file| (file.path, file.content)).collect();
        let texts: Vec<_> = files
            .iter()
            .map(|(path, content)| match content {
                Content::Bytes(bytes) => (path.as_str(), std::str::from_utf8(bytes).unwrap()),
                Content::Stream(_) => panic!("a stream"),
            })
            .collect();
        assert_eq!(
            texts,
            [
                (".dockerignore", ".dockerignore\n.wharf-dockerfile-m\n"),
                (".wharf-dockerfile-m", "FROM scratch"),
                ("Dockerfile", "12345"),
                ("a/.dockerignore", "12345"),
            ]
        );
    }

    #[test]
    fn labels_arguments_and_names_keep_to_their_grammar() {
        let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        assert_eq!(check_labels(&pair("org.opencontainers.image.title", "it's \"$x\"\nand so on")), Ok(()));
        for bad in ["", "a b", "a=b", "wharf.build", "a\n"] {
            assert!(check_labels(&pair(bad, "")).is_err(), "{bad:?}");
        }
        assert_eq!(check_arguments(&pair("PIP_INDEX", "--no-index")), Ok(()));
        for bad in ["", "1A", "A B", "A-B", "Ä"] {
            assert!(check_arguments(&pair(bad, "")).is_err(), "{bad:?}");
        }
        assert!(check_labels(&pair("a", "\0")).is_err());
        assert!(check_labels(&[pair("a", "1"), pair("a", "2")].concat()).is_err());
        let names = |texts: &[&str]| names(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["model", "localhost:5000/team/model:2"]).unwrap()[0].to_string(), "docker.io/library/model:latest");
        let digest = format!("a@sha256:{}", "a".repeat(64));
        for bad in [&[] as &[&str], &["Model"], &["sha256:aa"], &[&digest], &["a", "docker.io/library/a:latest"], &["a"; 17]] {
            assert!(names(bad).is_err(), "{bad:?}");
        }
    }
}

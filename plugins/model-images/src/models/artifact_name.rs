//! What an artifact may be called: a path below `/app` of the image, which leads nowhere else.

use std::collections::BTreeSet;

/// The longest name, in bytes.
const MAX_BYTES: usize = 255;

/// What every image has in `/app` beside the artifacts.
const OURS: [&str; 2] = ["run.sh", "requirements.txt"];

/// The names that were taken so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Takes `name`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that it is taken: a file of the name, or a folder, or a file where it would need a folder.
    pub(crate) fn take(&mut self, name: &str) -> Result<(), String> {
        check(name)?;
        let folders: Vec<&str> = name.match_indices('/').filter_map(|(end, _)| name.get(..end)).collect();
        if self.files.contains(name) || self.folders.contains(name) {
            return Err(format!("there is more than one artifact `{name}`"));
        }
        if let Some(file) = folders.iter().find(|folder| self.files.contains(**folder)) {
            return Err(format!("`{file}` cannot be an artifact and the folder of `{name}`"));
        }
        self.folders.extend(folders.into_iter().map(str::to_owned));
        self.files.insert(name.to_owned());
        Ok(())
    }
}

fn check(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_BYTES {
        return Err(format!("the name of an artifact has 1 to {MAX_BYTES} bytes"));
    }
    if name.contains(|character: char| character.is_control() || character == '\\') {
        return Err("the name of an artifact has no control characters and no backslashes".to_owned());
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("`{name}` is no path below the folder of the model"));
    }
    if OURS.iter().any(|ours| name == *ours || name.strip_prefix(ours).is_some_and(|rest| rest.starts_with('/'))) {
        return Err(format!("`{name}` is written by the build: call the artifact something else"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_taken(names: &[&str], expected: Option<&str>) {
        let mut taken = Names::default();
        let (last, before) = names.split_last().unwrap();
        before.iter().for_each(|name| taken.take(name).unwrap());
        let answer = taken.take(last);
        match expected {
            None => assert_eq!((answer, taken.len()), (Ok(()), names.len())),
            Some(expected) => {
                assert!(answer.as_ref().is_err_and(|message| message.contains(expected)), "{names:?}: {answer:?}");
                assert_eq!(taken.len(), before.len());
            }
        }
    }

    #[test]
    fn a_name_is_a_path_below_the_model() {
        for name in ["model.pkl", "a/b/c.txt", "Dockerfile", ".dockerignore", "...", "ä ö", "run.sh.txt", "a/run.sh", "~", "a:b"] {
            check_taken(&[name], None);
        }
        for name in ["../../x", "..", ".", "a/../b", "./a", "/etc/passwd", "a//b", "a/"] {
            check_taken(&[name], Some("no path below"));
        }
        for name in ["", &"x".repeat(256)] {
            check_taken(&[name], Some("1 to 255"));
        }
        for name in ["a\nb", "a\0", "a\\b", "\u{7f}"] {
            check_taken(&[name], Some("no control characters"));
        }
        for name in ["run.sh", "requirements.txt", "run.sh/x"] {
            check_taken(&[name], Some("written by the build"));
        }
    }

    #[test]
    fn a_name_is_taken_once_and_no_file_is_a_folder() {
        check_taken(&["a", "b", "c/d", "c/e"], None);
        check_taken(&["a", "a"], Some("more than one"));
        check_taken(&["a/b", "a"], Some("more than one"));
        check_taken(&["a", "a/b/c"], Some("cannot be an artifact and the folder"));
    }
}

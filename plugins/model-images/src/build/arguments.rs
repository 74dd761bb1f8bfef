//! `builder_args`: how a client wants an image to be built.
//!
//! | argument | here |
//! |---|---|
//! | `force_overwrite` | the tag is taken away from the image that has it, once the new one is there |
//! | `base_image` | in place of the site's; the engine must hold it |
//! | `python_version` | put into the site's `base_image` if that has a place for it, and refused if not; without effect beside a `base_image`, as in the original |
//! | `run_cmd` | what a container runs, in a shell, in place of `sh run.sh` |
//! | `package_install_cmd` | in place of `pip install -r requirements.txt`; like that only if the model has requirements |
//! | `templates_dir` | refused: a folder of the server's own, of which clients know nothing |
//! | `prebuild_hook` | refused: a function of the original's own process |
//!
//! Anything else is refused too.

use crate::body::Fields;
use crate::failure::{Detail, Failure};
use crate::name::ImageName;
use crate::settings::{Settings, VERSION_PLACE};

/// The longest command, in bytes.
const MAX_COMMAND: usize = 64 * 1024;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) force_overwrite: bool,
    base_image: Option<String>,
    python_version: Option<String>,
    pub(crate) run_cmd: Option<String>,
    pub(crate) package_install_cmd: Option<String>,
}

impl Arguments {
    pub(crate) fn read(fields: &mut Fields) -> Arguments {
        let arguments = Arguments {
            force_overwrite: fields.flag("force_overwrite"),
            base_image: fields.optional_text("base_image"),
            python_version: fields.optional_text("python_version"),
            run_cmd: command(fields, "run_cmd"),
            package_install_cmd: command(fields, "package_install_cmd"),
        };
        if let Some(message) = arguments.base_image.as_deref().and_then(|image| check_base_image(image).err()) {
            fields.refuse("base_image", &message);
        }
        if arguments.python_version.as_deref().is_some_and(|version| !is_version(version)) {
            fields.refuse("python_version", "a version has letters, digits, `.`, `_` and `-`");
        }
        if fields.has("templates_dir") {
            fields.refuse("templates_dir", "this site has no templates of Dockerfiles");
        }
        if fields.has("prebuild_hook") {
            fields.refuse("prebuild_hook", "a hook is a function of a program and cannot be posted");
        }
        for key in fields.rest().keys() {
            if !matches!(key.as_str(), "templates_dir" | "prebuild_hook") {
                fields.refuse_extra(key);
            }
        }
        arguments
    }

    /// What the image is built on.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] for a version that the site's base image has no place for.
    pub(crate) fn base_image(&self, settings: &Settings) -> Result<String, Failure> {
        if let Some(base_image) = &self.base_image {
            return Ok(base_image.clone());
        }
        match &self.python_version {
            Some(_) if !settings.base_image.contains(VERSION_PLACE) => {
                let place = ["builder_args".into(), "python_version".into()];
                let message = format!("this site builds on `{}` whatever the version: name a `base_image`", settings.base_image);
                Err(Failure::invalid(Detail::value(&place, message)))
            }
            version => Ok(settings.base_image.replace(VERSION_PLACE, version.as_ref().unwrap_or(&settings.python_version))),
        }
    }
}

fn command(fields: &mut Fields, key: &str) -> Option<String> {
    let command = fields.optional_text(key)?;
    if command.trim().is_empty() || command.len() > MAX_COMMAND {
        fields.refuse(key, &format!("a command has 1 to {MAX_COMMAND} bytes"));
    }
    Some(command)
}

/// A reference is a name, or a name with a digest behind it; `scratch` is none.
fn check_base_image(image: &str) -> Result<(), String> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    ImageName::parse(name)?;
    let is_digest = |digest: &str| {
        let digits = digest.strip_prefix("sha256:");
        digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err(format!("`{image}` ends in no digest"));
    }
    if name == "scratch" {
        return Err("`scratch` has no shell to run anything with".to_owned());
    }
    Ok(())
}

fn is_version(version: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&version.len()) && version.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(arguments: Value) -> Result<Arguments, Vec<String>> {
        let Value::Object(arguments) = arguments else { panic!("no object") };
        let mut fields = Fields::of(arguments);
        let arguments = Arguments::read(&mut fields);
        match fields.finish() {
            Ok(()) => Ok(arguments),
            Err(Failure::Invalid(details)) => {
                Err(details.into_iter().map(|detail| format!("{}: {}", json!(detail.place), detail.message)).collect())
            }
            Err(failure) => panic!("{failure}"),
        }
    }

    #[track_caller]
    fn check_wrong(arguments: Value, expected: &[&str]) {
        assert_eq!(read(arguments.clone()).unwrap_err(), expected, "{arguments}");
    }

    #[track_caller]
    fn check_base(arguments: Value, site: &str, expected: Option<&str>) {
        let settings = Settings { base_image: site.to_owned(), ..Settings::default() };
        assert_eq!(read(arguments).unwrap().base_image(&settings).ok().as_deref(), expected);
    }

    #[test]
    fn the_base_image_is_the_clients_or_the_sites() {
        let site = "python:{python_version}-slim";
        check_base(json!({}), site, Some("python:3-slim"));
        check_base(json!({"python_version": "3.8"}), site, Some("python:3.8-slim"));
        check_base(json!({"python_version": "3.8", "base_image": "mine"}), site, Some("mine"));
        check_base(json!({}), "base:1", Some("base:1"));
        check_base(json!({"python_version": "3.8"}), "base:1", None);
        let pinned = format!("localhost:5000/a/b:1@sha256:{}", "0a".repeat(32));
        check_base(json!({"base_image": pinned}), "base:1", Some(&pinned));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        check_wrong(json!({"templates_dir": "/x"}), &[r#"["templates_dir"]: this site has no templates of Dockerfiles"#]);
        check_wrong(json!({"prebuild_hook": "f"}), &[r#"["prebuild_hook"]: a hook is a function of a program and cannot be posted"#]);
        check_wrong(json!({"colour": 1}), &[r#"["colour"]: extra fields not permitted"#]);
        assert_eq!(read(json!({"templates_dir": null, "prebuild_hook": null, "run_cmd": null})).unwrap(), Arguments::default());
    }

    #[test]
    fn nothing_is_turned_into_anything_else() {
        check_wrong(json!({"force_overwrite": 1}), &[r#"["force_overwrite"]: value is not a valid boolean"#]);
        check_wrong(json!({"force_overwrite": "true"}), &[r#"["force_overwrite"]: value is not a valid boolean"#]);
        check_wrong(json!({"run_cmd": false}), &[r#"["run_cmd"]: str type expected"#]);
        check_wrong(json!({"python_version": 3.8}), &[r#"["python_version"]: str type expected"#]);
    }

    #[test]
    fn no_argument_can_begin_an_instruction_of_its_own() {
        for image in ["a\nRUN x", "a AS b", "scratch", "A", "", "--platform=x a", "$BASE", "a@sha256:0", "a@b"] {
            assert!(read(json!({"base_image": image})).is_err(), "{image}");
        }
        for version in ["3\nRUN x", "", "3 8", "$(x)", "../x"] {
            assert!(read(json!({"python_version": version})).is_err(), "{version}");
        }
        assert!(read(json!({"run_cmd": " "})).is_err());
        assert!(read(json!({"run_cmd": "a\0"})).is_err());
    }
}

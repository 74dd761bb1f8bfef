//! The Dockerfile.
//!
//! Commands stand in it as JSON lists, on one line each whatever is in them, so that nothing that a client posts can be an instruction.

use serde_json::json;

/// Where everything is in the image.
pub(super) const FOLDER: &str = "app";

const INSTALL: &str = "pip install -r requirements.txt";

pub(super) struct Dockerfile<'a> {
    pub(super) base_image: &'a str,
    pub(super) has_requirements: bool,
    /// In place of [`INSTALL`].
    pub(super) package_install_cmd: Option<&'a str>,
    /// In place of the script.
    pub(super) run_cmd: Option<&'a str>,
}

impl Dockerfile<'_> {
    pub(super) fn text(&self) -> String {
        let shell = |command: &str| json!(["sh", "-c", command]);
        let mut text = format!("FROM {}\nWORKDIR /{FOLDER}\nCOPY {FOLDER}/ /{FOLDER}/\n", self.base_image);
        if self.has_requirements {
            text += &format!("RUN {}\n", shell(self.package_install_cmd.unwrap_or(INSTALL)));
        }
        let run = self.run_cmd.map_or_else(|| json!(["sh", "run.sh"]), shell);
        text + &format!("CMD {run}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(has_requirements: bool, install: Option<&str>, run: Option<&str>, expected: &[&str]) {
        let dockerfile = Dockerfile { base_image: "base:1", has_requirements, package_install_cmd: install, run_cmd: run };
        let head = ["FROM base:1", "WORKDIR /app", "COPY app/ /app/"];
        let text = dockerfile.text();
        assert_eq!(text.lines().collect::<Vec<_>>(), [&head, expected].concat());
    }

    #[test]
    fn packages_are_installed_only_if_there_are_requirements() {
        let run = r#"CMD ["sh","run.sh"]"#;
        check(false, None, None, &[run]);
        check(false, Some("x"), None, &[run]);
        check(true, None, None, &[r#"RUN ["sh","-c","pip install -r requirements.txt"]"#, run]);
        check(
            true,
            Some("pip3 install --no-index -r requirements.txt"),
            None,
            &[r#"RUN ["sh","-c","pip3 install --no-index -r requirements.txt"]"#, run],
        );
    }

    #[test]
    fn a_command_is_one_line_whatever_is_in_it() {
        let nasty = "a \"b\" 'c' \\\nFROM evil\r\nRUN d\u{2028}\\";
        check(
            true,
            Some(nasty),
            Some(nasty),
            &[
                "RUN [\"sh\",\"-c\",\"a \\\"b\\\" 'c' \\\\\\nFROM evil\\r\\nRUN d\u{2028}\\\\\"]",
                "CMD [\"sh\",\"-c\",\"a \\\"b\\\" 'c' \\\\\\nFROM evil\\r\\nRUN d\u{2028}\\\\\"]",
            ],
        );
    }
}

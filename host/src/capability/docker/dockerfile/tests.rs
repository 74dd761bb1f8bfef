//! Dockerfiles: what they build on, what the engine gets, and what is refused.

use super::super::reference::ImageId;
use super::Dockerfile;

fn pairs(arguments: &[(&str, &str)]) -> Vec<(String, String)> {
    arguments.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The base images of `text`, each as `name`, `name platform` if it asks for one.
fn bases(text: &str, arguments: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let plan = Dockerfile::parse(text.as_bytes())?.plan(&pairs(arguments))?;
    let shown = plan.bases().iter().map(|base| match &base.platform {
        Some(platform) => format!("{} {platform}", base.name),
        None => base.name.to_string(),
    });
    Ok(shown.collect())
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    check_with(&[], text, expected);
}

#[track_caller]
fn check_with(arguments: &[(&str, &str)], text: &str, expected: &[&str]) {
    assert_eq!(bases(text, arguments), Ok(expected.iter().map(|base| (*base).to_owned()).collect()), "{text}");
}

#[track_caller]
fn check_refused(text: &str, reason: &str) {
    assert_eq!(bases(text, &[]), Err(reason.to_owned()), "{text}");
}

const REDIS: &str = "docker.io/library/redis:latest";

#[test]
fn each_stage_and_each_copy_from_an_image_names_what_is_built_on() {
    check("FROM redis", &[REDIS]);
    check("from redis\nrun true", &[REDIS]);
    check("FROM scratch", &[]);
    check("FROM redis AS a\nFROM a\nFROM A as b\nFROM nginx:1", &[REDIS, "docker.io/library/nginx:1"]);
    check("FROM redis\nFROM redis:latest\nCOPY --from=docker.io/redis /a /b", &[REDIS]);
    check("FROM scratch\nCOPY --from=localhost:5000/a/b:1 --chown=1:1 /a /b", &["localhost:5000/a/b:1"]);
    check("FROM scratch AS one\nFROM scratch\nCOPY --from=one / /\nCOPY --from=0 / /\nCOPY --from=ONE / /", &[]);
    check("FROM --platform=linux/amd64 redis", &["docker.io/library/redis:latest linux/amd64"]);
    let id = "a".repeat(64);
    check(&format!("FROM {id}"), &[&format!("sha256:{id}")]);
    check("FROM sha256:aa", &["sha256:aa"]);
    // A word of hexadecimal digits is a name.
    check("FROM beef", &["docker.io/library/beef:latest"]);
}

#[test]
fn variables_are_those_before_the_first_stage() {
    check("ARG BASE=redis\nFROM $BASE", &[REDIS]);
    check_with(&[("BASE", "nginx")], "ARG BASE=redis\nFROM $BASE", &["docker.io/library/nginx:latest"]);
    check_with(&[("BASE", "nginx")], "ARG BASE\nFROM ${BASE}", &["docker.io/library/nginx:latest"]);
    check("ARG NAME=redis TAG=7\nFROM $NAME:${TAG}", &["docker.io/library/redis:7"]);
    check("ARG NAME=\"redis\"\nARG ALL='$NAME'\nARG REALLY=\"$NAME:7\"\nFROM $REALLY", &["docker.io/library/redis:7"]);
    check("FROM ${BASE:-redis}", &[REDIS]);
    check("ARG BASE=\nFROM ${BASE:-redis}", &[REDIS]);
    check("ARG BASE=x\nFROM ${BASE:+redis}", &[REDIS]);
    check("ARG STAGE=a\nFROM redis AS a\nFROM $STAGE", &[REDIS]);
    check("ARG NOTHING=scratch\nFROM $NOTHING", &[]);
    check("FROM \"redis\"", &[REDIS]);
    // What nobody uses need not be known.
    check("ARG ODD=${A%%b}\nFROM redis", &[REDIS]);
    // Given, but not declared; declared, but in a stage.
    assert!(bases("FROM $BASE", &[("BASE", "redis")]).is_err());
    assert!(bases("FROM scratch\nARG BASE=redis\nFROM $BASE", &[]).is_err());
    check_refused("FROM $BASE", "line 1 of the Dockerfile: an image without a name");
    check_refused("FROM ${A%%b}", "line 1 of the Dockerfile: `${A%%b}` has a substitution of a kind that is not known here");
    check_refused("ARG B=${A%%b}\nFROM $B", "line 2 of the Dockerfile: `${A%%b}` has a substitution of a kind that is not known here");
    for text in ["FROM ${A", "FROM $", "FROM $1", "FROM ${A:-$B}", "FROM ${A:?x}", "FROM red\\is", "FROM 're", "FROM \"re", "FROM ${}"] {
        assert!(bases(text, &[("A", "redis")]).is_err(), "{text}");
    }
}

#[test]
fn what_is_written_over_several_lines_is_one_instruction() {
    check("FROM \\\n  redis \\\n\n  # a comment\n  AS a\nFROM a", &[REDIS]);
    check("# syntax=docker/dockerfile:1\n# escape=`\nFROM `\nredis", &[REDIS]);
    check("#escape=`\n\nFROM re`   \ndis", &[REDIS]);
    check("\u{feff}FROM redis\r\nRUN a \\\r\n b\r\n", &[REDIS]);
    check("   \t FROM\tredis   ", &[REDIS]);
    check("FROM redis\nRUN echo \\\\\nFROM nginx", &[REDIS, "docker.io/library/nginx:latest"]);
    check("FROM redis\nRUN echo \\\\\\\nFROM nginx", &[REDIS, "docker.io/library/nginx:latest"]);
    check("FROM redis\nRUN echo \\\nFROM nginx", &[REDIS]);
    check("FROM redis\nRUN echo \\\n# FROM nginx\n FROM other", &[REDIS]);
    // A comment ends the directives.
    check("# hello\n# escape=`\nFROM re\\\ndis", &[REDIS]);
    check("FROM redis \\", &[REDIS]);
    let of_the_directive = "the directive `escape` is `\\` or a backtick, and stands once";
    check_refused("# escape=x\nFROM redis", &format!("line 1 of the Dockerfile: {of_the_directive}"));
    check_refused("# escape=`\n# escape=\\\nFROM redis", &format!("line 2 of the Dockerfile: {of_the_directive}"));
}

#[test]
fn what_is_no_dockerfile_of_the_classic_builder_is_refused() {
    for (text, reason) in [
        ("", "the Dockerfile has no FROM"),
        ("# nothing", "the Dockerfile has no FROM"),
        ("ARG A", "the Dockerfile has no FROM"),
        ("RUN true", "line 1 of the Dockerfile: RUN before the first FROM"),
        ("FROM", "line 1 of the Dockerfile: FROM has an image, and may have `AS` and a name"),
        ("FROM a b", "line 1 of the Dockerfile: FROM has an image, and may have `AS` and a name"),
        ("FROM a AS b c", "line 1 of the Dockerfile: FROM has an image, and may have `AS` and a name"),
        ("FROM redis AS 1a", "line 1 of the Dockerfile: `1a` is no name of a stage"),
        ("FROM redis AS scratch", "line 1 of the Dockerfile: `scratch` is no name of a stage"),
        ("FROM redis AS a\nFROM redis AS A", "line 2 of the Dockerfile: a second stage `a`"),
        ("FROM Redis", "line 1 of the Dockerfile: `Redis` is no image reference"),
        ("FROM a\u{a0}b", "line 1 of the Dockerfile: FROM is written in ASCII"),
        ("FROM --platform redis", "line 1 of the Dockerfile: the flag `--platform` of FROM is not known here"),
        ("FROM --pl\"\"atform=x redis", "line 1 of the Dockerfile: the flag `--pl\"\"atform=x` of FROM is not known here"),
        ("FROM redis\nFORM nginx", "line 2 of the Dockerfile: `FORM` is no instruction"),
        ("FROM redis\n\\\n", "line 2 of the Dockerfile: `` is no instruction"),
        ("FROM redis\nRUN a\u{b}b", "line 2 of the Dockerfile: a control character"),
        ("FROM redis\nRUN a\rFROM nginx", "line 2 of the Dockerfile: a control character"),
        ("FROM redis\nRUN a\0", "line 2 of the Dockerfile: a control character"),
        ("FROM redis\nCOPY --from=1 / /", "line 2 of the Dockerfile: there is no stage `1` before this one"),
        ("FROM redis AS a\nCOPY --from=a / /", "line 2 of the Dockerfile: there is no stage `a` before this one"),
        ("FROM redis\nCOPY --from=$A / /", "line 2 of the Dockerfile: `$A` is no image reference"),
    ] {
        check_refused(text, reason);
    }
    assert!(Dockerfile::parse(&[b"FROM redis\n# ".as_slice(), &[0xff]].concat()).is_err());
    assert!(Dockerfile::parse("#".repeat(300_000).as_bytes()).is_err());
    assert!(Dockerfile::parse(format!("FROM redis\nRUN {}", "x \\\n".repeat(20_000)).as_bytes()).is_err());
}

#[test]
fn what_would_go_around_the_checks_is_refused() {
    for instruction in [
        "ONBUILD RUN true",
        "onbuild COPY --from=nginx / /",
        "RUN --mount=type=bind,from=nginx,target=/x true",
        "RUN --network=host true",
        "COPY --from=nginx --from=redis / /",
        "COPY --fr\"om\"=nginx / /",
        "COPY --from=\"nginx\" / /",
        "COPY --from=ngi\\nx / /",
        "COPY --from / /",
        "COPY --from= / /",
        "COPY --link a b",
        "COPY --chmod=777 a b",
        "COPY -- --from=nginx / /",
        "COPY --parents a b",
        "ADD --from=nginx / /",
        "ADD --checksum=sha256:aa a b",
        "ADD https://example.com/x /x",
        "ADD HTTP://example.com/x /x",
        "ADD a https://example.com/x /x",
        "ADD [\"https://example.com/x\", \"/x\"]",
        "ADD git@example.com:x.git /x",
        "ADD $URL /x",
        "ADD ${A}ttps://x /x",
        "ADD htt\\ps:/\\/x /x",
        "ADD 'https:'//x /x",
        "ADD \"https:\"//x /x",
        "ADD [ \"https:\"//x /x",
        "ADD [\"https:\\u002f/x\", \"/x\"]",
        "ADD [\"'https:'//x\", \"/x\"]",
        "RUN cat <<EOF",
        "RUN cat 3<<-EOF",
        "RUN <<EOF",
        "COPY <<EOF /x",
        "ADD <<EOF /x",
        "LABEL wharf.build=x",
        "LABEL a=b \"wharf.build\"=x",
    ] {
        assert!(bases(&format!("FROM redis\n{instruction}\n"), &[]).is_err(), "{instruction}");
    }
    for instruction in [
        "ADD a b /c/",
        "ADD --chown=1:$GROUP a /b",
        "ADD [\"a b\", \"/c\"]",
        "COPY --chown=$USER a /b",
        "COPY $A \"b\" /c/",
        "RUN echo $((1<<2)) <<<word",
        "RUN [\"cat\", \"<<EOF\"]",
        "RUN a;<<EOF",
        "RUN echo https://example.com",
        "LABEL a=\"日本\u{3000}語\"",
        "HEALTHCHECK --interval=1s CMD true",
    ] {
        check(&format!("FROM redis\n{instruction}\n"), &[REDIS]);
    }
}

/// What the engine gets for `text`, with ids of the digits 1, 2, … for the base images.
#[track_caller]
fn check_sent(text: &str, arguments: &[(&str, &str)], expected: &str, places: &[Option<usize>]) {
    let plan = Dockerfile::parse(text.as_bytes()).unwrap().plan(&pairs(arguments)).unwrap();
    let ids: Vec<ImageId> =
        (1..=plan.bases().len()).map(|digit| ImageId::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap()).collect();
    let rendered = plan.render(&ids, "wharf.build=m");
    let expected = expected.replace("ID1", &"1".repeat(64)).replace("ID2", &"2".repeat(64));
    assert_eq!((rendered.text.as_str(), rendered.places.as_slice()), (expected.as_str(), places));
    // It is read as what it was written from, by an engine that reads it as we do.
    let again = Dockerfile::parse(rendered.text.as_bytes()).unwrap();
    assert_eq!(again.instructions.len(), places.len());
}

#[test]
fn the_engine_gets_one_line_for_each_instruction_and_ids_for_names() {
    check_sent(
        "# syntax=docker/dockerfile:1\nARG BASE\n\nFROM --platform=linux/amd64 $BASE as Build\nrun a \\\n  # no comment\n  && b\nCOPY . /x\n\
         FROM scratch\nCOPY --chown=1:1 --from=nginx:1 /a  /b\ncopy --from=build /x /y\nFROM build\nCMD [\"x\"]\n",
        &[("BASE", "redis")],
        "ARG BASE\nFROM ID1 AS build\nLABEL wharf.build=m\nRUN a   && b\nCOPY . /x\nFROM scratch\nLABEL wharf.build=m\n\
         COPY --from=ID2 --chown=1:1 /a  /b\nCOPY --from=build /x /y\nFROM build\nCMD [\"x\"]\n",
        &[Some(0), Some(1), None, Some(2), Some(3), Some(4), None, Some(5), Some(6), Some(7), Some(8)],
    );
    check_sent(
        "#escape=`\nFROM redis\nRUN echo `\n a \\\nSHELL",
        &[],
        "# escape=`\nFROM ID1\nLABEL wharf.build=m\nRUN echo  a \\\nSHELL\n",
        &[Some(0), None, Some(1), Some(2)],
    );
    check_sent("FROM redis\nRUN echo\\\n\\\n\\\\", &[], "FROM ID1\nLABEL wharf.build=m\nRUN echo\\\\\n", &[Some(0), None, Some(1)]);
}

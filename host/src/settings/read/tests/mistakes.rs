//! What is said of each mistake, and where.

use super::*;

#[track_caller]
fn check_files(files: &[(&str, &[u8])], expected: &[&str]) {
    let shown: Vec<String> = match read_files(files, None) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.0.iter().map(ToString::to_string).collect(),
    };
    let expected: Vec<String> = expected.iter().map(|mistake| (*mistake).to_owned()).collect();
    assert_eq!(shown, expected, "\n{}", shown.join("\n"));
}

#[track_caller]
pub(super) fn check(text: &str, expected: &[&str]) {
    check_files(&[("wharf.toml", text.as_bytes())], expected);
}

/// Checks `lines` before a site that has no mistakes.
#[track_caller]
pub(super) fn check_top(lines: &str, expected: &[&str]) {
    check(&format!("{lines}\n[[site]]\nname = \"a\"\n"), expected);
}

/// Checks `lines` of a plugin; they begin at line 6. `mount` is missing.
#[track_caller]
fn check_plugin(lines: &str, expected: &[&str]) {
    check(&plugin(lines), expected);
}

#[test]
fn an_unknown_key_is_reported_with_the_one_that_was_meant() {
    check_plugin(
        "mout = \"/\"\n",
        &[
            "wharf.toml:3:1: missing `mount` in `[[site.plugin]]`\n    help: add `mount = \"/\"`, for example",
            "wharf.toml:6:1: unknown key `mout` in `[[site.plugin]]`\n    help: did you mean `mount`?",
        ],
    );
    check_top("sever = 1", &["wharf.toml:1:1: unknown key `sever` at the top level\n    help: did you mean `server`?"]);
    check_top(
        "[server]\n\"zz\\nz\" = 1",
        &[
            "wharf.toml:2:1: unknown key `zz\\nz` in `[server]`\n    help: known keys: `listen`, `auth`, `trusted_proxies`, `admin`, `admin_auth`, `data_dir`, `shutdown_grace_secs`, `log_format`, `log_filter`",
        ],
    );
}

#[test]
fn a_key_that_is_there_cannot_have_been_meant() {
    check_top(
        "[engine.x]\nurl = \"http://x:1\"\nurll = 1",
        &["wharf.toml:3:1: unknown key `urll` in `[engine.x]`\n    help: known keys: `url`"],
    );
}

#[test]
fn a_wrong_type_says_what_was_expected_and_what_was_found() {
    check_top(
        "[server]\nlisten = 1\nshutdown_grace_secs = \"3\"\ndata_dir = 1.5\nlog_filter = [1]\nlog_format = 2024-01-01",
        &[
            "wharf.toml:2:10: `listen`: expected a string, found an integer",
            "wharf.toml:3:23: `shutdown_grace_secs`: expected an integer, found a string",
            "wharf.toml:4:12: `data_dir`: expected a string, found a float",
            "wharf.toml:5:14: `log_filter`: expected a string, found a list",
            "wharf.toml:6:14: `log_format`: expected a string, found a date or time",
        ],
    );
    check_top(
        "include = \"a.toml\"\n[engine]\na = true",
        &[
            "wharf.toml:1:11: `include`: expected a list of strings, found a string",
            "wharf.toml:3:5: `a`: expected a table, found a boolean",
        ],
    );
}

#[test]
fn brackets_too_few_or_too_many_are_named() {
    check(
        "[site]\nname = \"a\"",
        &["wharf.toml:1:1: `site`: expected a list of tables, found a table\n    help: there can be several: write `[[site]]`"],
    );
    check_top(
        "[[server]]",
        &["wharf.toml:1:1: `server`: expected a table, found a list\n    help: there can be only one: write `[server]`"],
    );
    check_plugin(
        "mount = \"/\"\n[[site.plugin.limits]]",
        &["wharf.toml:7:1: `limits`: expected a table, found a list\n    help: there can be only one: write `[site.plugin.limits]`"],
    );
    check("site = [1]", &["wharf.toml:1:9: `site`: expected a table, found an integer"]);
}

#[test]
fn a_configuration_without_a_site_serves_nothing() {
    check(
        "",
        &[
            "wharf.toml:1:1: there is no `[[site]]`, so there is nothing to serve\n    help: add a `[[site]]` with a `name`, and a `[[site.plugin]]` to it",
        ],
    );
}

#[test]
fn syntax_errors_are_reported_once_for_each_line_and_nothing_else_of_the_file() {
    check(
        "[server]\nlisten = localhost\nadmin = \nunknown = \"ö\n[[site]\nname = 1",
        &[
            "wharf.toml:2:10: syntax error: string values must be quoted, expected literal string at `localhost`",
            "wharf.toml:3:9: syntax error: missing value",
            "wharf.toml:4:13: syntax error: invalid basic string, expected `\"`",
            "wharf.toml:5:8: syntax error: unclosed array table, expected `]`",
        ],
    );
    check("a = 1\na = 2", &["wharf.toml:2:1: syntax error: duplicate key at `a`"]);
    check_files(&[("wharf.toml", b"a = 1\nb = '\xff'")], &["wharf.toml:2:6: this is not UTF-8\n    help: save the file as UTF-8"]);
}

#[test]
fn nothing_listens_beyond_loopback_by_accident() {
    // Whether somebody asks who comes to `listen` is known when the sites' users are: see `users.rs` here, and `serve.rs`.
    check_top(
        "[server]\nlisten = \"0.0.0.0:80\"\nadmin = \"192.0.2.1:81\"",
        &[
            "wharf.toml:3:9: `admin`: `192.0.2.1:81` can be reached from other machines, and nobody would be asked who they are\n    help: listen on loopback, behind a proxy that asks; or write `admin_auth = \"none\"` beside it to let everyone in",
        ],
    );
    check_top(
        "[server]\nlisten = \"[::]:80\"\nauth = \"basic\"",
        &["wharf.toml:3:8: unknown word `basic` for `auth`\n    help: known words: `none`"],
    );
}

#[test]
fn the_server_is_checked() {
    check_top(
        "[server]\nlisten = \"localhost:80\"\nadmin = true\ndata_dir = \"\"\nlog_filter = \"info,loud=loud\"\nlog_format = \"jsn\"\nshutdown_grace_secs = -1",
        &[
            "wharf.toml:2:10: `listen`: `localhost:80` is not an address with a port\n    help: write one such as `127.0.0.1:8080` or `[::1]:8080`",
            "wharf.toml:3:9: `admin`: expected a string, found a boolean",
            "wharf.toml:4:12: `data_dir` is empty\n    help: write a path, or leave it out for `wharf-data` beside the file",
            "wharf.toml:5:14: `log_filter`: `loud=loud` is not a level or `target=level`\n    help: write one such as `info` or `info,wharf_host=debug`",
            "wharf.toml:6:14: unknown word `jsn` for `log_format`\n    help: did you mean `json`?",
            "wharf.toml:7:23: `shutdown_grace_secs`: `-1` is out of range\n    help: it may be from 0 to 3600",
        ],
    );
    check_top(
        "[server]\nlisten = \"127.0.0.1:8081\"",
        &[
            "wharf.toml:2:10: `listen` and `admin` are both 127.0.0.1:8081\n    help: give `admin` a port of its own, or turn it off with `admin = false`",
        ],
    );
}

#[test]
fn engines_are_checked() {
    let urls = "\n    help: an engine is at `unix:///path`, `tcp://host:port` or `http://host:port`";
    check_top(
        "[engine.a]\nurl = \"ssh://x\"\n[engine.b]\nurl = \"tcp://x\"\n[engine.c]\nurl = \"unix://x\"\n[engine.d]\nurl = \"/x\"\n[engine.E]",
        &[
            &format!("wharf.toml:2:7: `ssh://x` has the unknown scheme `ssh`{urls}"),
            &format!("wharf.toml:4:7: `tcp://x` is not a host and a port{urls}"),
            &format!("wharf.toml:6:7: `unix://x` has no absolute path{urls}"),
            &format!("wharf.toml:8:7: `/x` is not a URL{urls}"),
            "wharf.toml:9:1: `E` cannot be the name of an engine\n    help: a name has at most 63 of the characters a-z, 0-9 and `-`, and does not begin with `-`",
            "wharf.toml:9:1: missing `url` in `[engine.E]`\n    help: add `url = \"unix:///var/run/docker.sock\"`, for example",
        ],
    );
}

#[test]
fn a_variable_of_the_environment_has_no_place() {
    let mistakes = read_files(&[("wharf.toml", b"[[site]]\nname = 1")], Some("ssh://x")).unwrap_err();
    let shown: Vec<_> = mistakes.to_string().lines().map(str::to_owned).collect();
    assert_eq!(
        shown,
        [
            "the environment variable `DOCKER_HOST`: `ssh://x` has the unknown scheme `ssh`",
            "    help: correct the variable, or set `url` of `[engine.default]`; an engine is at `unix:///path`, `tcp://host:port` or `http://host:port`",
            "wharf.toml:2:8: `name`: expected a string, found an integer",
        ]
    );
}

#[test]
fn an_engine_that_a_grant_names_must_exist() {
    let report = Report::default();
    let mut engines = Engines::default();
    engines.add_default(None, &report);
    let at = Location { file: Path::new("wharf.toml").into(), line: 7, column: 3 };
    engines.check_references(&["defualt", "far", "default"].map(|name| Located { value: name.to_owned(), at: at.clone() }), &report);
    let shown: Vec<_> = report.into_mistakes(&[]).iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "wharf.toml:7:3: there is no engine `defualt`\n    help: did you mean `default`?",
            "wharf.toml:7:3: there is no engine `far`\n    help: add a table `[engine.NAME]` with its `url`, or name one of `default`",
        ]
    );
}

#[test]
fn names_and_hosts_are_unique() {
    check(
        "[[site]]\nname = \"a\"\n[[site]]\nname = \"a\"\nhosts = [\"X.y\", \"x.Y\"]\n[[site]]\nname = \"b\"\nhosts = [\"x.y\"]\n[[site]]\nname = \"c\"\nhosts = []\n",
        &[
            "wharf.toml:4:8: there is a site `a` already, at wharf.toml:2:8\n    help: give one of the two another name",
            "wharf.toml:5:17: host `x.y` belongs to site `a` already, by wharf.toml:5:10\n    help: name it once",
            "wharf.toml:8:10: host `x.y` belongs to site `a` already, by wharf.toml:5:10\n    help: name it once",
            "wharf.toml:9:1: this site has no `hosts`, and neither has the one at wharf.toml:1:1\n    help: only one site can take every host that no other names: add `hosts = [\"…\"]` to this one",
        ],
    );
    check_plugin(
        "mount = \"/\"\n[[site.plugin]]\nname = \"p\"\nsource = \"q.wasm\"\nmount = \"/\"\n[[site]]\nname = \"\"\nhosts = [\"h\"]",
        &[
            "wharf.toml:8:8: there is a plugin `p` already, at wharf.toml:4:8\n    help: give one of the two another name",
            "wharf.toml:12:8: `` cannot be the name of a site\n    help: a name has at most 63 of the characters a-z, 0-9 and `-`, and does not begin with `-`",
        ],
    );
}

#[test]
fn a_host_is_a_name_or_an_address_alone() {
    let rest = [
        ("a:80", "leave out the port: a site is served on the port of `listen`"),
        ("http://b", "write the name alone, without `http://` and without a path"),
        ("*.c", "there are no patterns; a site without `hosts` takes every host that no other names"),
        ("::1", "put the IPv6 address into brackets"),
        ("[::1]:80", "write an IPv6 address as `[2001:db8::1]`, without a port"),
        ("", "write a name such as `plant-a.local` or an address such as `192.0.2.7`"),
        ("x..y", "write a name such as `plant-a.local` or an address such as `192.0.2.7`"),
    ];
    for (host, help) in rest {
        check(
            &format!("[[site]]\nname = \"a\"\nhosts = [\"{host}\"]"),
            &[&format!("wharf.toml:3:10: `hosts`: `{host}` is not a host\n    help: {help}")],
        );
    }
}

#[test]
fn a_plugin_needs_a_name_a_source_and_a_mount() {
    check(
        "[[site]]\nname = \"a\"\n[[site.plugin]]\n",
        &[
            "wharf.toml:3:1: missing `name` in `[[site.plugin]]`\n    help: add `name = \"deployments\"`, for example",
            "wharf.toml:3:1: missing `source` in `[[site.plugin]]`\n    help: add `source = \"plugins/deployments.wasm\"`, for example",
            "wharf.toml:3:1: missing `mount` in `[[site.plugin]]`\n    help: add `mount = \"/\"`, for example",
        ],
    );
}

#[test]
fn a_source_is_a_path() {
    let with = |source: &str| format!("[[site]]\nname = \"a\"\n[[site.plugin]]\nname = \"p\"\nmount = \"/\"\nsource = \"{source}\"");
    check(
        &with("oci://r/p:1"),
        &[
            "wharf.toml:6:10: `source`: `oci://r/p:1` is in a registry, and such sources are not supported yet\n    help: save the component as a file and write its path",
        ],
    );
    check(&with("file:///p"), &["wharf.toml:6:10: `source`: unknown scheme `file`\n    help: write a path, without a scheme"]);
    check(&with(""), &["wharf.toml:6:10: `source` is empty\n    help: write the path of a component"]);
}

#[test]
fn a_mount_is_a_plain_path() {
    let bad = [
        ("api", "does not begin with `/`", "write a path such as `/` or `/api`"),
        ("", "does not begin with `/`", "write a path such as `/` or `/api`"),
        ("/a/../b", "has a segment `.` or `..`", "write the path that is meant"),
        ("/./", "has a segment `.` or `..`", "write the path that is meant"),
        ("//", "has an empty segment", "write one `/` where there are several"),
        ("/a//b", "has an empty segment", "write one `/` where there are several"),
        ("/%20", "has an encoded character", "use characters that need no encoding: requests are matched as they are on the wire"),
        ("/a?b", "has a query or a fragment", "write the path alone"),
        ("/ä", "has a character that no request's path has", "use letters and digits of ASCII and any of `-._~!$&'()*+,;=:@`"),
        ("/{x}", "has a character that no request's path has", "use letters and digits of ASCII and any of `-._~!$&'()*+,;=:@`"),
    ];
    for (mount, reason, help) in bad {
        check_plugin(&format!("mount = \"{mount}\""), &[&format!("wharf.toml:6:9: `mount`: `{mount}` {reason}\n    help: {help}")]);
    }
}

#[test]
fn limits_words_and_digests_are_checked() {
    check_plugin(
        "mount = \"/\"\nsha256 = \"12\"\nisolation = \"poled\"\nlimits = { memory = 1, cpu_ms = 0, queue = 0x1_0000_0000_0000_0000, deadline_ms = 1.5, host_call = 1 }",
        &[
            "wharf.toml:7:10: `sha256`: `12` is not a sha256\n    help: write 64 hexadecimal digits, as `sha256sum` prints them, without a prefix",
            "wharf.toml:8:13: unknown word `poled` for `isolation`\n    help: did you mean `pooled`?",
            "wharf.toml:9:12: unknown key `memory` in `[site.plugin.limits]`\n    help: known keys: `memory_mib`, `cpu_ms`, `deadline_ms`, `stream_deadline_ms`, `operation_deadline_ms`, `operations`, `build_context_mib`, `start_deadline_ms`, `concurrency`, `queue`, `queue_ms`, `request_mib`, `response_mib`, `host_calls`, `jobs`, `jobs_waiting`, `job_deadline_ms`, `job_cpu_ms`, `log_lines_per_second`",
            "wharf.toml:9:33: `cpu_ms`: `0` is out of range\n    help: it may be from 10 to 3600000",
            "wharf.toml:9:44: `queue`: `0x10000000000000000` is out of range\n    help: it may be from 0 to 100000",
            "wharf.toml:9:83: `deadline_ms`: expected an integer, found a float",
            "wharf.toml:9:88: unknown key `host_call` in `[site.plugin.limits]`\n    help: did you mean `host_calls`?",
        ],
    );
}

#[test]
fn a_grant_for_no_room_is_an_unknown_key() {
    check_plugin(
        "mount = \"/\"\n[site.plugin.grants.dokcer]\nx = 1",
        &["wharf.toml:7:21: unknown key `dokcer` in `[site.plugin.grants]`\n    help: did you mean `docker`?"],
    );
}

#[test]
fn a_secret_stands_alone_at_the_top_level_of_config() {
    check_plugin(
        "mount = \"/\"\n[site.plugin.config]\nsecret_env = \"A\"\nb = { secret_file = 1 }\nc = { secret_file = \"\" }\nd = { secret_env = \"A=B\" }\ne = { secret_file = \"f\", trim = true }\nf = [{ secret_env = \"A\" }]",
        &[
            "wharf.toml:8:14: `secret_env` is in no table of its own at the top level of `config`\n    help: a secret is written as `config.NAME = { secret_env = \"…\" }`, with nothing else in the braces",
            "wharf.toml:9:21: `secret_file`: expected a string, found an integer",
            "wharf.toml:10:21: `secret_file` is empty\n    help: write the path of a file",
            "wharf.toml:11:20: `secret_env`: `A=B` cannot be the name of an environment variable\n    help: write the variable's name, not its value",
            "wharf.toml:12:21: `secret_file` is in no table of its own at the top level of `config`\n    help: a secret is written as `config.NAME = { secret_file = \"…\" }`, with nothing else in the braces",
            "wharf.toml:13:21: `secret_env` is in no table of its own at the top level of `config`\n    help: a secret is written as `config.NAME = { secret_env = \"…\" }`, with nothing else in the braces",
        ],
    );
}

#[test]
fn a_number_that_json_lacks_is_a_mistake() {
    check_plugin(
        "mount = \"/\"\nconfig = { a = nan, b = [1e999], c = 18446744073709551616 }",
        &[
            "wharf.toml:7:16: `config`: `NaN` is no number that JSON has\n    help: write it as a string",
            "wharf.toml:7:26: `config`: `inf` is no number that JSON has\n    help: write it as a string",
            "wharf.toml:7:38: `config`: `18446744073709551616` has more than 64 bits\n    help: write it as a string",
        ],
    );
}

#[test]
fn mistakes_of_all_files_come_at_once_in_the_order_of_the_files() {
    check_files(
        &[
            (
                "wharf.toml",
                b"include = [\"z.toml\", \"gone.toml\", \"a.toml\"]\n[server]\n[engine.x]\nurl = \"http://x:1\"\n[[site]]\nname = 1",
            ),
            ("z.toml", b"[server]\n[engine.x]\nurl = \"http://x:1\"\n[[site]]\nhosts = [\"z\"]"),
            ("a.toml", b"x ="),
        ],
        &[
            "wharf.toml:1:22: there is no file `gone.toml`\n    help: paths in `include` are relative to the file that they stand in, and may hold no patterns",
            "wharf.toml:6:8: `name`: expected a string, found an integer",
            "z.toml:1:1: `[server]` is already at wharf.toml:2:1\n    help: write it once",
            "z.toml:2:1: engine `x` is already at wharf.toml:3:1\n    help: give one of the two another name",
            "z.toml:4:1: missing `name` in `[[site]]`\n    help: add `name = \"plant-a\"`, for example",
            "a.toml:1:4: syntax error: missing value",
        ],
    );
}

#[test]
fn a_file_is_included_once_and_never_by_itself() {
    check_files(
        &[("wharf.toml", b"include = [\"wharf.toml\"]\nsite = [{ name = \"a\" }]")],
        &["wharf.toml:1:12: `wharf.toml` includes itself\n    help: take it out of this `include`"],
    );
    check_files(
        &[
            ("wharf.toml", b"include = [\"a.toml\", \"b.toml\"]\nsite = [{ name = \"a\" }]"),
            ("a.toml", b"include = [\"b.toml\"]"),
            ("b.toml", b"include = [\"a.toml\"]"),
        ],
        &[
            "wharf.toml:1:22: `b.toml` is included twice, first at a.toml:1:12\n    help: take one of the two out",
            "b.toml:1:12: `a.toml` includes itself\n    help: take it out of this `include`",
        ],
    );
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_directory() {
    let mistakes = load(Path::new("no-such-directory/wharf.toml")).unwrap_err();
    let absolute = std::path::absolute("no-such-directory/wharf.toml").unwrap();
    let help = format!("create `{}`, or name another file; a configuration needs at least one `[[site]]`", absolute.display());
    assert_eq!(mistakes.to_string(), format!("there is no file `no-such-directory/wharf.toml`\n    help: {help}"));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let mistakes = load(Path::new("/")).unwrap_err();
    assert!(mistakes.to_string().starts_with("failed to read `/`: "), "{mistakes}");
}

#[test]
fn a_registry_has_a_host_and_one_name_in_which_it_is_asked() {
    check_top(
        "[registry.\"https://r.example\"]\n[registry.\"r.example/team\"]\n[registry.\"a b\"]\n[registry.\"docker.io\"]\n[registry.\"index.docker.io\"]",
        &[
            "wharf.toml:1:1: `https://r.example` is not a registry's host\n    help: write the host alone, without a scheme; `plain_http = true` is for one without TLS",
            "wharf.toml:2:1: `r.example/team` is not a registry's host\n    help: write the host alone: a table is for all repositories of a registry",
            "wharf.toml:3:1: `a b` is not a registry's host\n    help: write a host, and its port if references have one: `[registry.\"registry.local:5000\"]`",
            "wharf.toml:5:1: registry `docker.io` is already at wharf.toml:4:1\n    help: write it once",
        ],
    );
    check_top(
        "[registry.\"r.example\"]\nusername = \"ci\"\nidentity_token = \"secret\"\ndocker_config = \"\"\nplain_http = true\nca_file = \"ca.pem\"\ntoken = 1",
        &[
            "wharf.toml:1:1: `username` without `password`\n    help: add `password = { secret_file = \"path\" }` or `password = { secret_env = \"NAME\" }`",
            "wharf.toml:1:1: `username` and `identity_token` exclude each other\n    help: a registry is asked in one name: keep one of them",
            "wharf.toml:3:18: `identity_token`: expected where a secret is kept, found a string\n    help: write `identity_token = { secret_file = \"path\" }` or `identity_token = { secret_env = \"NAME\" }`",
            "wharf.toml:4:17: `docker_config` is empty\n    help: write the path of a file",
            "wharf.toml:5:14: `plain_http` and `ca_file` exclude each other\n    help: take out the one that is wrong",
            "wharf.toml:7:1: unknown key `token` in `[registry.r.example]`\n    help: known keys: `username`, `password`, `identity_token`, `docker_config`, `docker_config_helpers`, `ca_file`, `plain_http`, `endpoint`",
        ],
    );
    check_top(
        "[registry.a]\npassword = { secret_env = \"A=B\" }\ndocker_config_helpers = true",
        &[
            "wharf.toml:1:1: `docker_config_helpers` without `docker_config`\n    help: it says whether the programs may be run that the file `docker_config` names",
            "wharf.toml:1:1: `password` without `username`\n    help: add `username = \"…\"`",
            "wharf.toml:2:27: `secret_env`: `A=B` cannot be the name of an environment variable\n    help: write the variable's name, not its value",
        ],
    );
}

#[test]
fn an_endpoint_is_a_server_and_unencrypted_only_where_that_is_meant() {
    check_top(
        "[registry.a]\nendpoint = \"mirror.local\"\n[registry.b]\nendpoint = \"https://mirror.local/hub\"\n[registry.c]\nendpoint = \"http://mirror.local\"\n[registry.d]\nendpoint = \"http://mirror.local\"\nplain_http = false\n[registry.e]\nendpoint = \"http://127.0.0.1:5000\"\nca_file = \"ca.pem\"",
        &[
            "wharf.toml:2:12: `endpoint`: `mirror.local` is no address\n    help: write one such as `https://hub.example`",
            "wharf.toml:4:12: `endpoint`: `https://mirror.local/hub` has a path\n    help: leave out the path: a registry answers below `/v2/` of its server",
            "wharf.toml:6:12: `endpoint` is not encrypted\n    help: begin it with `https://`, or add `plain_http = true`",
            "wharf.toml:8:12: `endpoint` is not encrypted, and `plain_http` is `false`\n    help: take out the one that is wrong",
            "wharf.toml:11:12: `endpoint` without encryption and `ca_file` exclude each other\n    help: take out the one that is wrong",
        ],
    );
    check_top(
        "[registry.a]\nendpoint = \"http://mirror.local\"\nplain_http = true\n[registry.b]\nendpoint = \"http://localhost:5000\"",
        &[],
    );
}

#[test]
fn docker_hub_has_providers_and_addresses_and_is_written_once() {
    check_top(
        "[docker_hub]\nsearch = [\"v5\", \"v2\", \"v2\", \"engines\"]\nsearch_v4 = \"ftp://hub.example\"\nsearch_v2 = \"https://me:pw@hub.example\"\ntags = \"https://hub.example/?a=b\"\nengine_index = \"hub\"\nindex = 1",
        &[
            "wharf.toml:2:11: `search`: there is no provider `v5`\n    help: did you mean `v4`?",
            "wharf.toml:2:23: `search`: `v2` is there twice\n    help: name it once",
            "wharf.toml:2:29: `search`: there is no provider `engines`\n    help: did you mean `engine`?",
            "wharf.toml:3:13: `search_v4`: unknown scheme `ftp`\n    help: write an address that begins with `https://` or `http://`",
            "wharf.toml:4:13: `search_v2` has a name or a password in it\n    help: leave them out: it is asked without",
            "wharf.toml:5:8: `tags`: `https://hub.example/?a=b` has a query\n    help: leave out what follows the `?`: the host adds its own",
            "wharf.toml:6:16: `engine_index`: `hub` is not an index that an engine knows as one\n    help: write its host with a dot or a port in it, such as `127.0.0.1:5000`, without a scheme",
            "wharf.toml:7:1: unknown key `index` in `[docker_hub]`\n    help: known keys: `search`, `search_v4`, `search_v2`, `tags`, `engine_index`",
        ],
    );
    check_files(
        &[("wharf.toml", b"include = [\"b.toml\"]\n[docker_hub]\n[[site]]\nname = \"a\""), ("b.toml", b"[docker_hub]")],
        &["b.toml:1:1: `[docker_hub]` is already at wharf.toml:2:1\n    help: write it once"],
    );
    check_top("[docker_hub]\nsearch = []", &[]);
}

#[test]
fn a_catalogue_is_in_one_place() {
    check(
        "[[site]]\nname = \"a\"\n[site.catalog.One]\nfile = \"a.json\"\n[site.catalog.two]\n[site.catalog.three]\nfile = \"a.json\"\nurl = \"https://a.example\"\n[site.catalog.four]\nfile = \"\"\n[site.catalog.five]\nurl = \"a.json\"\n[site.catalog.six]\nurl = \"https://a.example/#x\"\npath = 1",
        &[
            "wharf.toml:3:1: `One` cannot be the name of a catalogue\n    help: a name has at most 63 of the characters a-z, 0-9 and `-`, and does not begin with `-`",
            "wharf.toml:5:1: neither `file` nor `url`\n    help: a catalogue is in one place: write `file = \"catalog.json\"` or `url = \"https://…\"`",
            "wharf.toml:6:1: `file` and `url` exclude each other\n    help: a catalogue is in one place: write `file = \"catalog.json\"` or `url = \"https://…\"`",
            "wharf.toml:10:8: `file` is empty\n    help: write the path of a file",
            "wharf.toml:12:7: `url`: `a.json` is no address\n    help: write one such as `https://hub.example`",
            "wharf.toml:14:7: `url`: `https://a.example/#x` has a fragment\n    help: leave out what follows the `#`",
            "wharf.toml:15:1: unknown key `path` in `[site.catalog.six]`\n    help: known keys: `file`, `url`",
        ],
    );
}

//! Who may come in, as a configuration says it.

use std::time::Duration;

use super::mistakes::{check, check_top};
use super::*;
use crate::settings::{Auth, HashSource};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn users_have_a_hash_and_roles() {
    let settings = settings(FULL);
    let access = &settings.sites[0].access;
    assert_eq!(
        (access.session, access.trusted_origins.as_slice()),
        (Duration::from_secs(600), &["https://console.plant-a.local".to_owned()][..])
    );
    let names: Vec<_> = access.users.iter().map(|(name, user)| format!("{name} {:?} {}", user.roles, user.at)).collect();
    assert_eq!(names, ["ann [\"admin\", \"guest\"] wharf.toml:43:1", "bob [] wharf.toml:47:1"]);
    assert!(matches!(&access.users["ann"].password_hash, HashSource::Here(hash) if hash.expose() == HASH));
    assert_eq!(access.users["bob"].password_hash, HashSource::Secret(SecretSource::File("secrets/bob".into())));
    assert_eq!(settings.sites[0].plugins[0].auth, Some(Auth::Plugin));
    let proxies: Vec<String> = settings.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["127.0.0.1/32", "10.0.0.0/8"]);
    assert!(settings.sites[1].access.users.is_empty());
    assert_eq!(settings.sites[1].access.session, Duration::from_secs(12 * 3_600));
    assert!(!format!("{settings:?}").contains("AAAA"), "a hash is not shown");
}

#[test]
fn whether_users_are_needed_is_kept_with_its_place() {
    let must_ask = |server: &str| {
        let settings = settings(&format!("[server]\n{server}\n[[site]]\nname = \"a\""));
        settings.must_ask.map(|at| at.to_string())
    };
    assert_eq!(must_ask("listen = \"0.0.0.0:80\""), Some("wharf.toml:2:10".to_owned()));
    assert_eq!(must_ask("listen = \"[::]:80\"\nadmin_auth = \"none\""), Some("wharf.toml:2:10".to_owned()));
    assert_eq!(must_ask("listen = \"0.0.0.0:80\"\nauth = \"none\""), None);
    assert_eq!(must_ask("listen = \"127.0.0.2:80\""), None);
    assert_eq!(must_ask(""), None);
}

#[test]
fn what_is_wrong_with_a_user_is_said_without_what_may_be_a_password() {
    let help = "\n    help: write what `wharf hash-password` prints, or where it is kept as `{ secret_file = \"path\" }`";
    let user = |lines: &str| format!("[[site]]\nname = \"a\"\n[[site.user]]\n{lines}");
    check(
        &user("name = \"x\"\npassword_hash = \"hunter2\""),
        &[&format!("wharf.toml:5:17: `password_hash` is not the hash of a password{help}")],
    );
    check(&user("name = \"x\""), &[&format!("wharf.toml:3:1: missing `password_hash` in `[[site.user]]`{help}")]);
    check(
        &user("name = \"x\"\npassword = \"hunter2\""),
        &[
            &format!("wharf.toml:3:1: missing `password_hash` in `[[site.user]]`{help}"),
            "wharf.toml:5:1: unknown key `password` in `[[site.user]]`\n    help: known keys: `name`, `password_hash`, `roles`",
        ],
    );
    check(
        &user(&format!("name = \"a:b\"\npassword_hash = \"{HASH}\"\nroles = [\"a b\"]")),
        &[
            "wharf.toml:4:8: `a:b` cannot be the name of a user\n    help: a name has 1 to 64 bytes, no colon, no control character, and no space at either end",
            "wharf.toml:6:10: `a b` cannot be a role\n    help: a role has 1 to 64 of the characters a-z, A-Z, 0-9, `-`, `_` and `.`",
        ],
    );
    check(
        &user(&format!("name = \"x\"\npassword_hash = \"{HASH}\"\n[[site.user]]\nname = \"x\"\npassword_hash = {{ secret_env = \"X\" }}")),
        &["wharf.toml:7:8: there is a user `x` already, at wharf.toml:3:1\n    help: give one of the two another name"],
    );
    check(
        &user("name = \"x\"\npassword_hash = 7"),
        &[
            "wharf.toml:5:17: `password_hash`: expected where a secret is kept, found an integer\n    help: write `password_hash = { secret_file = \"path\" }` or `password_hash = { secret_env = \"NAME\" }`",
        ],
    );
}

#[test]
fn origins_and_proxies_are_checked() {
    for (origin, help) in [
        ("console.local", "write a scheme and a host such as `https://console.plant-a.local`, without a path"),
        ("https://console.local/", "write `https://console.local`"),
        ("https://console.local:443", "write `https://console.local`"),
        ("null", "write a scheme and a host such as `https://console.plant-a.local`, without a path"),
    ] {
        check(
            &format!("[[site]]\nname = \"a\"\ntrusted_origins = [\"{origin}\"]"),
            &[&format!("wharf.toml:3:20: `trusted_origins`: `{origin}` is not an origin\n    help: {help}")],
        );
    }
    check_top(
        "[server]\ntrusted_proxies = [\"::1\", \"proxy.local\"]",
        &[
            "wharf.toml:2:27: `trusted_proxies`: `proxy.local` is neither an address nor a network\n    help: write one such as `127.0.0.1` or `10.0.0.0/8`",
        ],
    );
    check(
        &plugin("mount = \"/\"\nauth = \"none\""),
        &["wharf.toml:7:8: unknown word `none` for `auth`\n    help: known words: `required`, `optional`, `plugin`"],
    );
}

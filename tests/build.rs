//! Compiles the guests and the plugins to components before the tests are compiled, so that `cargo test` is enough.
//!
//! The outer cargo holds the lock of its target folder while this runs; the inner one therefore gets a folder of its own below `OUT_DIR`. It must not
//! change `Cargo.lock` (`--locked`), so it goes to the network only for crates that the lock names and the machine has not seen.
//!
//! An example is a folder `examples/NAME` whose package is `NAME`, with a `Cargo.lock` of its own. A guest is a folder `tests/guests/NAME` whose package is `guest-NAME`; a plugin is a folder `plugins/NAME` whose package is `NAME`. A name that would be
//! a keyword of Rust (`loop`) cannot be had, since tests are named after guests.

use std::path::{Path, PathBuf};
use std::process::Command;

const WASM_TARGET: &str = "wasm32-wasip2";

/// What the inner cargo must not take from the outer one: a lint's compiler, and flags for another target.
const FOREIGN: [&str; 6] =
    ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CLIPPY_ARGS", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTFLAGS"];

fn main() {
    // Asked for when it runs: a target folder that two checkouts share may hold the script that the other one compiled.
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = package.parent().expect("this package is a folder of the repository");
    let out = PathBuf::from(variable("OUT_DIR"));
    for source in ["Cargo.lock", "Cargo.toml", "examples", "plugins", "sdk", "tests/guests", "wit"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let guests = crates(&root.join("tests/guests"));
    let plugins = crates(&root.join("plugins"));
    let packages = guests.iter().map(|name| format!("guest-{name}")).chain(plugins.iter().cloned()).collect::<Vec<_>>();
    let examples = crates(&root.join("examples"));
    let target = out.join("components");
    let of_workspace = ["--profile".to_owned(), "plugin".to_owned()]
        .into_iter()
        .chain(packages.iter().flat_map(|package| ["--package".to_owned(), package.clone()]));
    if !has_wasm_target() || !compile(root, &target, &of_workspace.collect::<Vec<_>>()) {
        return;
    }
    // Examples are third parties' plugins, each a workspace of its own.
    if !examples.iter().all(|name| compile(&root.join("examples").join(name), &target, &["--release".to_owned()])) {
        return;
    }
    let folder = target.join(WASM_TARGET).join("plugin");
    let mut text = constants("guests", &guests, |name| folder.join(format!("guest_{}.wasm", identifier(name))));
    text += &constants("plugins", &plugins, |name| folder.join(format!("{}.wasm", identifier(name))));
    let folder = target.join(WASM_TARGET).join("release");
    text += &constants("examples", &examples, |name| folder.join(format!("{}.wasm", identifier(name))));
    text += &foreach("foreach_guest", "guest under `tests/guests/`", &guests);
    text += &foreach("foreach_plugin", "plugin under `plugins/`", &plugins);
    std::fs::write(out.join("components.rs"), text).expect("OUT_DIR can be written");
}

/// Compiles the workspace at `root`, or what `arguments` choose of it, into the folder `target`. False if that failed; cargo then shows the error that was printed.
fn compile(root: &Path, target: &Path, arguments: &[String]) -> bool {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(root).args(["build", "--locked", "--target", WASM_TARGET, "--target-dir"]).arg(target).args(arguments);
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    let compiled = cargo.status().is_ok_and(|status| status.success());
    if !compiled {
        println!("cargo::error=a component does not compile: {cargo:?}");
    }
    compiled
}

/// Whether the compiler has the target's standard library, which it names whether or not it is there. If not, cargo shows what to do.
fn has_wasm_target() -> bool {
    let answer = Command::new(variable("RUSTC")).args(["--print", "target-libdir", "--target", WASM_TARGET]).output();
    let there = answer.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir());
    if !there {
        println!(
            "cargo::error=the Rust target {WASM_TARGET} is missing: run `rustup target add {WASM_TARGET}`, or `cargo xtask test`, which does"
        );
    }
    there
}

/// The names of the crates in `folder`, sorted; none if there is no such folder.
fn crates(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let crates = entries.filter(|entry| entry.path().join("Cargo.toml").is_file());
    let mut names: Vec<String> = crates.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A module `module` with the path of each component as a constant.
fn constants(module: &str, names: &[String], path: impl Fn(&str) -> PathBuf) -> String {
    let constant =
        |name: &String| format!("/// The component `{name}`.\npub const {}: &str = {:?};\n", identifier(name).to_uppercase(), path(name));
    let constants: String = names.iter().map(constant).collect();
    format!("/// The components of `{module}`.\npub mod {module} {{\n{constants}}}\n")
}

/// A macro that calls a macro of the caller's with each of `names`.
fn foreach(name: &str, what: &str, names: &[String]) -> String {
    let calls: String = names.iter().map(|name| format!("$each!({});", identifier(name))).collect();
    format!(
        "/// Calls the macro `$each` with the name of each {what}.\n#[macro_export]\nmacro_rules! {name} {{ ($each:ident) => {{ {calls} }}; }}\n"
    )
}

fn identifier(name: &str) -> String {
    name.replace('-', "_")
}

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

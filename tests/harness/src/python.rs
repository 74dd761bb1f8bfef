//! An image with a real Python and pip, and wheels for it, without the internet while a test runs.
//!
//! The image is Debian's smallest system with `python3-pip`, made by `debootstrap` from the mirror that the machine uses for its own packages. It is a tar of 180 MB below the user's cache, and the next
//! run asks nobody.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::http::Client;
use crate::images;
use crate::newer::{cache, mirror};
use crate::process::{output, search_path};
use crate::programs::DEBOOTSTRAP;

/// What the image is called.
pub const IMAGE: &str = "wharf/python:3";

/// The release that its packages are of.
const RELEASE: &str = "bookworm";

/// Imports the image as [`IMAGE`]. The first time on a machine it downloads 80 MB.
///
/// # Errors
///
/// `debootstrap` is not installed or fails, we are not root, or the engine refuses.
pub fn import(engine: &Client) -> anyhow::Result<()> {
    let file = system()?;
    let archive = std::fs::read(&file).with_context(|| format!("failed to read `{}`", file.display()))?;
    images::import_archive(engine, IMAGE, &["python3"], &archive).map(drop)
}

/// The tar of the system, made if it is not there.
fn system() -> anyhow::Result<PathBuf> {
    let place = cache()?.join("python");
    let file = place.join(format!("{RELEASE}.tar"));
    if file.is_file() {
        return Ok(file);
    }
    let debootstrap = DEBOOTSTRAP.find().context("debootstrap is not installed: `apt-get install debootstrap`")?;
    std::fs::create_dir_all(&place).with_context(|| format!("failed to make `{}`", place.display()))?;
    // Made beside its place and then renamed: a run that is killed leaves nothing that looks whole.
    let work = tempfile::Builder::new().prefix("new-").tempdir_in(&place)?;
    let (root, new) = (work.path().join("root"), work.path().join("tar"));
    let path = search_path(&[])?;
    let mut bootstrap = Command::new(debootstrap);
    bootstrap.env("PATH", &path).args(["--variant=minbase", "--include=python3-pip", RELEASE]).arg(&root).arg(mirror());
    output(&mut bootstrap).context("failed to make a system with Python")?;
    pack(&root, &new, &path)?;
    std::fs::rename(&new, &file).with_context(|| format!("failed to make `{}`", file.display()))?;
    Ok(file)
}

/// Packs the folder `root` into the tar `new`, without what only its making needed.
fn pack(root: &Path, new: &Path, path: &std::ffi::OsStr) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.env("PATH", path).arg("--create").arg("--file").arg(new).arg("--directory").arg(root);
    for left_out in ["./dev/*", "./proc/*", "./sys/*", "./usr/share/doc/*", "./var/cache/apt/*", "./var/lib/apt/lists/*"] {
        tar.arg(format!("--exclude={left_out}"));
    }
    output(tar.arg(".")).map(drop)
}

/// A wheel of the package `name`, which is one module with `source` in it. Its file is `NAME-VERSION-py3-none-any.whl`.
///
/// # Panics
///
/// If it cannot be written into memory.
#[expect(clippy::expect_used, reason = "writing into memory fails only if this is wrong")]
pub fn wheel(name: &str, version: &str, source: &str) -> Vec<u8> {
    let information = format!("{name}-{version}.dist-info");
    let files = [
        (format!("{name}.py"), source.to_owned()),
        (format!("{information}/METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")),
        (format!("{information}/WHEEL"), "Wheel-Version: 1.0\nGenerator: wharf\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned()),
    ];
    // Without digests, which pip does not ask for.
    let record = files.iter().map(|(path, _)| format!("{path},,\n")).collect::<String>() + &format!("{information}/RECORD,,\n");
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files.into_iter().chain([(format!("{information}/RECORD"), record)]) {
        archive.start_file(path, SimpleFileOptions::default()).expect("a file in a new archive");
        archive.write_all(content.as_bytes()).expect("writing into memory");
    }
    archive.finish().expect("an archive in memory").into_inner()
}

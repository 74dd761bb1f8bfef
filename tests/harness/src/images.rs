//! Images without the internet: one static binary, busybox, put into a tar in memory and imported by the engine.

use std::path::Path;

use anyhow::Context;

use crate::http::Client;
use crate::programs::BUSYBOX;

/// What an imported image runs: a web server that says when it is ready and ends when it is told to.
///
/// Busybox's `httpd` as the first process would ignore SIGTERM, as every first process does that does not handle it, and each stop would take ten
/// seconds.
pub const SERVE: &str = "#!/bin/sh
trap 'exit 0' TERM INT
httpd -p 80 -h /www
echo ready
while :; do sleep 3600 & wait; done
";

/// The applets that an image offers. Few, since each is a link to be extracted.
const APPLETS: &[&str] = &["cat", "echo", "env", "false", "httpd", "ls", "nc", "seq", "sh", "sleep", "true", "wget", "yes"];

/// Imports an image of busybox as `reference` (`wharf/busybox:latest`), whose command is `command`, and answers its id.
///
/// `/bin/serve` is [`SERVE`]. The image serves `/www`, which holds one file, `index.html`, with the reference in it: images of two references differ.
///
/// # Errors
///
/// Busybox is not installed, or the engine does not answer or refuses.
pub fn import(engine: &Client, reference: &str, command: &[&str]) -> anyhow::Result<String> {
    let program = BUSYBOX.find().context("busybox is not installed: `apt-get install busybox-static`")?;
    import_archive(engine, reference, command, &archive(&program, reference)?)
}

/// Imports the tar `archive`, a root file system, as `reference` (`wharf/busybox:latest`), whose command is `command`, and answers its id.
///
/// # Errors
///
/// The engine does not answer or refuses.
pub fn import_archive(engine: &Client, reference: &str, command: &[&str], archive: &[u8]) -> anyhow::Result<String> {
    let (repository, tag) = reference.rsplit_once(':').context("an image's reference has a tag")?;
    let change = format!("CMD {}", serde_json::to_string(command)?);
    let query = [("fromSrc", "-"), ("repo", repository), ("tag", tag), ("changes", &change)];
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let path = format!("/images/create?{}", query.join("&"));
    let response = engine.send("POST", &path, &[("content-type", "application/x-tar")], archive)?;
    // The engine has answered 200 before it knows whether it can.
    let progress = response.success("importing an image")?;
    anyhow::ensure!(!progress.text()?.contains("\"error\""), "importing `{reference}`: {}", progress.text()?.trim());
    let image = engine.get(&format!("/images/{reference}/json"))?.success(&format!("inspecting `{reference}`"))?.json()?;
    Ok(image.get("Id").and_then(serde_json::Value::as_str).context("an image without an id")?.to_owned())
}

/// Imports `reference` with the command `/bin/serve`, unless there is an image of that name.
///
/// # Errors
///
/// As [`import`].
pub fn ensure(engine: &Client, reference: &str) -> anyhow::Result<()> {
    if engine.get(&format!("/images/{reference}/json"))?.status != 200 {
        import(engine, reference, &["/bin/serve"])?;
    }
    Ok(())
}

/// Tags the image `local` as `name:tag`, a name at a registry that wants no password, pushes it, and answers that reference, which the engine has then too.
///
/// # Errors
///
/// The engine does not answer, has no such image, or the registry does not take it.
pub fn push(engine: &Client, local: &str, name: &str, tag: &str) -> anyhow::Result<String> {
    engine.post(&format!("/images/{local}/tag?repo={}&tag={tag}", escaped(name)))?.success(&format!("tagging `{local}`"))?;
    // The engine wants the field also where there is nothing to say; it is an empty object.
    let pushed = engine.send("POST", &format!("/images/{name}/push?tag={tag}"), &[("x-registry-auth", "e30=")], &[])?;
    let progress = pushed.success(&format!("pushing `{name}:{tag}`"))?;
    anyhow::ensure!(progress.text()?.contains("digest: sha256:"), "pushing `{name}:{tag}`: {}", progress.text()?.trim());
    Ok(format!("{name}:{tag}"))
}

/// Imports `local` as [`import`] does, pushes it as `name:tag` as [`push`] does, and removes it from the engine: only the registry has it then.
///
/// # Errors
///
/// As [`import`] and [`push`].
pub fn publish(engine: &Client, local: &str, command: &[&str], name: &str, tag: &str) -> anyhow::Result<()> {
    import(engine, local, command)?;
    let pushed = push(engine, local, name, tag)?;
    for gone in [pushed.as_str(), local] {
        engine.delete(&format!("/images/{gone}"))?.success(&format!("removing `{gone}`"))?;
    }
    Ok(())
}

fn archive(busybox: &Path, reference: &str) -> anyhow::Result<Vec<u8>> {
    let program = std::fs::read(busybox).with_context(|| format!("failed to read `{}`", busybox.display()))?;
    let mut archive = tar::Builder::new(Vec::new());
    for folder in ["bin/", "tmp/", "www/"] {
        archive.append_data(&mut header(tar::EntryType::Directory, 0), folder, std::io::empty())?;
    }
    for (path, content) in [("bin/busybox", program.as_slice()), ("bin/serve", SERVE.as_bytes()), ("www/index.html", reference.as_bytes())]
    {
        archive.append_data(&mut header(tar::EntryType::Regular, content.len()), path, content)?;
    }
    for applet in APPLETS {
        archive.append_link(&mut header(tar::EntryType::Symlink, 0), format!("bin/{applet}"), "busybox")?;
    }
    Ok(archive.into_inner()?)
}

fn header(kind: tar::EntryType, length: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(length.try_into().unwrap_or(u64::MAX));
    header
}

/// `value` for a query: everything but letters and digits percent-encoded.
fn escaped(value: &str) -> String {
    value.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

//! What the host is compared with: a plain client that knows nothing of grants, tokens, limits or a registry's moods.
//!
//! With as many connections as images it makes a new one for each, and asks for all of them at once. That is how a well-known fast checker of images asks, by public descriptions of it. It is bound by one
//! round trip and by how many connections a registry takes; ours, alone on a loopback, takes any number, and one that has other clients, or counts, does not. With as many connections as the host
//! it shows what is possible with these.

use std::net::SocketAddr;

use anyhow::Context;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Asks how the registry wants to be asked, and then for the digest of each of `repositories`, over `connections` new connections, one after the other on each.
///
/// # Errors
///
/// The registry did not answer one of them with a digest.
pub(super) async fn heads(registry: SocketAddr, repositories: &[String], connections: usize) -> anyhow::Result<()> {
    ask(registry, vec![(Method::GET, "/v2/".to_owned())]).await?;
    let mut asking = JoinSet::new();
    for part in repositories.chunks(repositories.len().div_ceil(connections).max(1)) {
        let questions = part.iter().map(|repository| (Method::HEAD, format!("/v2/{repository}/manifests/1")));
        asking.spawn(ask(registry, questions.collect()));
    }
    while let Some(answered) = asking.join_next().await {
        answered??;
    }
    Ok(())
}

/// Makes a connection and asks `questions` on it, each a method and a path. To a `HEAD` there must be a digest.
async fn ask(registry: SocketAddr, questions: Vec<(Method, String)>) -> anyhow::Result<()> {
    let stream = TcpStream::connect(registry).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchanges = async move {
        for (method, path) in questions {
            let has_digest = method == Method::HEAD;
            let request = Request::builder().method(method).uri(&path).header(HOST, registry.to_string());
            let request = request.header(ACCEPT, "application/vnd.oci.image.manifest.v1+json").body(Empty::<Bytes>::new())?;
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            anyhow::ensure!(response.status() == 200, "`{path}`: {}", response.status());
            let digest = response.headers().get("docker-content-digest");
            anyhow::ensure!(!has_digest || digest.is_some(), "`{path}`: an answer without a digest");
        }
        Ok(())
    };
    // The connection ends when the exchanges let go of it.
    let (answered, ended) = tokio::join!(exchanges, connection);
    answered.and(ended.context("a connection broke off"))
}

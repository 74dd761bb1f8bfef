//! What the host is compared with: a client that makes a new connection for each image, and asks for all of them at once.
//!
//! That is how a well-known fast checker of images asks, by public descriptions of it. It is bound by round trips and by nothing else, so it is hard to beat with few images and a server that takes any number
//! of connections; a real registry is asked by more than one client, and some count.

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

/// Asks how the registry wants to be asked, and then for the digest of each of `repositories` at once.
///
/// # Errors
///
/// The registry did not answer one of them with a digest.
pub(super) async fn heads(registry: SocketAddr, repositories: &[String]) -> anyhow::Result<()> {
    ask(registry, Method::GET, "/v2/".to_owned()).await?;
    let mut asking = JoinSet::new();
    for repository in repositories {
        asking.spawn(ask(registry, Method::HEAD, format!("/v2/{repository}/manifests/1")));
    }
    while let Some(answer) = asking.join_next().await {
        answer??.context("an answer without a digest")?;
    }
    Ok(())
}

/// One request on a connection of its own. Answers the digest, if there is one.
async fn ask(registry: SocketAddr, method: Method, path: String) -> anyhow::Result<Option<String>> {
    let stream = TcpStream::connect(registry).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder().method(method).uri(&path).header(HOST, registry.to_string());
    let request = request.header(ACCEPT, "application/vnd.oci.image.manifest.v1+json").body(Empty::<Bytes>::new())?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        anyhow::ensure!(response.status() == 200, "`{path}`: {}", response.status());
        let digest = response.headers().get("docker-content-digest").and_then(|digest| digest.to_str().ok());
        Ok(digest.map(str::to_owned))
    };
    // The connection ends when the exchange lets go of it.
    let (answer, _ended) = tokio::join!(exchange, connection);
    answer
}

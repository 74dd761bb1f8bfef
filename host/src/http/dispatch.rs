//! From a request to the plugin that answers it.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, Response, StatusCode, request};
use ipnet::IpNet;
use tracing::Span;
use tracing::field::Empty;

use super::auth::{self, Admitted, Asked, Gate};
use super::observe::{observed, request_id};
use super::problem;
use super::table::{Table, Unrouted};
use crate::backend::users::Authentication;
use crate::metrics::RouteMetrics;
use crate::plugin::call::{PluginRequest, call};
use crate::plugin::exchange::{self, BodyError};
use crate::plugin::generation::SharedGeneration;
use crate::plugin::outcome::{Outcome, Problem};
use crate::site::{Plugin, PluginState, Site};

/// The route table that is in force.
pub(crate) type SharedTable = Arc<ArcSwap<Table>>;

/// Where a request goes.
pub(crate) struct Target<'a> {
    pub(crate) site: &'a Site,
    pub(crate) plugin: &'a Plugin,
    pub(crate) metrics: &'a RouteMetrics,
}

/// Answers `request`, which came from `remote`; `proxies` are those that are believed.
pub(crate) async fn dispatch(table: &SharedTable, proxies: &[IpNet], request: Request<Body>, remote: Option<SocketAddr>) -> Response<Body> {
    // The whole request is answered by one table, whatever is published meanwhile.
    let table = table.load();
    let (parts, body) = request.into_parts();
    let id = request_id(&parts.headers);
    match table.find(authority(&parts), parts.uri.path()) {
        Ok(target) => {
            let span = span(&id, &target);
            let answer = async {
                let gate = Gate { users: &target.site.users, auth: target.plugin.auth, must_ask: target.site.must_ask, proxies };
                let admitted = match auth::admit(&gate, &Asked { parts: &parts, remote }).await {
                    Ok(admitted) => admitted,
                    Err(refused) => return refused.response(&target.site.name, &id),
                };
                match serve(&target, &parts, body, &id, remote, admitted).await {
                    Ok(response) => response,
                    Err(problem) => problem::response(&problem, &id),
                }
            };
            observed(&parts, &id, target.metrics, span, answer).await
        }
        Err(reason) => {
            let problem = match reason {
                Unrouted::Host => problem::of(StatusCode::MISDIRECTED_REQUEST, "No site answers to this host"),
                Unrouted::Path => problem::of(StatusCode::NOT_FOUND, "No plugin is mounted here"),
            };
            let span = tracing::info_span!("request", request_id = id);
            observed(&parts, &id, &table.unrouted, span, async { problem::response(&problem, &id) }).await
        }
    }
}

async fn serve(
    target: &Target<'_>,
    parts: &request::Parts,
    body: Body,
    id: &str,
    remote: Option<SocketAddr>,
    admitted: Admitted,
) -> Result<Response<Body>, Problem> {
    let Admitted { caller, headers } = admitted;
    if let Authentication::Known(user) = &caller.authentication {
        Span::current().record("user", tracing::field::display(user));
    }
    let generation: &SharedGeneration = match &target.plugin.state {
        PluginState::Loaded(generation) => generation,
        PluginState::Failed(reason) => return Outcome::NotLoaded { reason: reason.clone(), retry_after: None }.into_response(),
    };
    let limit_bytes = generation.settings.limits.request_mib.saturating_mul(1 << 20);
    let body = exchange::request_body(body, limit_bytes).await.map_err(|error| match error {
        BodyError::TooLarge => problem::of(StatusCode::PAYLOAD_TOO_LARGE, "The request's body is larger than the plugin takes"),
        BodyError::Timeout => problem::of(StatusCode::REQUEST_TIMEOUT, "The request's body did not arrive in time"),
        BodyError::Cut => problem::of(StatusCode::BAD_REQUEST, "The request's body broke off"),
    })?;
    let remote = remote.map(|remote| remote.to_string());
    let request = PluginRequest { parts, body, id, remote: remote.as_deref(), headers, caller };
    let response = call(generation, request).await.into_response()?;
    exchange::with_its_length(&parts.method, response).or_else(|reason| Outcome::GuestError(reason).into_response())
}

fn span(id: &str, target: &Target<'_>) -> Span {
    let generation = match &target.plugin.state {
        PluginState::Loaded(generation) => Some(generation.parts.identity.generation),
        PluginState::Failed(_) => None,
    };
    tracing::info_span!("request", request_id = id, site = target.site.name, plugin = target.plugin.name, generation, user = Empty)
}

/// The host that the client asked for, with its port if it sent one.
fn authority(parts: &request::Parts) -> &str {
    let host = || parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    parts.uri.authority().map(http::uri::Authority::as_str).or_else(host).unwrap_or_default()
}

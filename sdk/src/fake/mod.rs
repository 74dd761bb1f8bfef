//! A host in memory, so that a plugin's logic runs under plain `cargo test`.
//!
//! A test installs a [`Host`] on its thread, puts containers, images and settings into it, and asks the plugin with [`call`]; or it calls the plugin's functions
//! by themselves. The host keeps the engine's rules that plugins notice (names and id prefixes, what may be removed, which ports are published) and nothing else of it.
//! Any function can be made to fail with [`Host::fail`].
//!
//! ```
//! use wharf_sdk::{Plugin, Request, Response, Router, docker, fake};
//!
//! struct Count;
//!
//! impl Plugin for Count {
//!     fn routes() -> Router {
//!         Router::new().get("/count", |_: &Request| -> Result<Response, docker::Error> {
//!             let containers = docker::containers_read::list(&Default::default())?;
//!             Ok(Response::json(&containers.len()))
//!         })
//!     }
//! }
//!
//! let host = fake::Host::install();
//! host.container(fake::Container::new("web"));
//! assert_eq!(fake::call::<Count>(fake::get("/count")).text(), "1");
//!
//! host.fail("docker.containers-read.list", docker::Error::Timeout);
//! assert_eq!(fake::call::<Count>(fake::get("/count")).status, 504);
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use crate::export::{Exported, Plugin};
use crate::host;
use crate::jobs::{Failure, Jobs, Work};

mod builds;
mod downloads;
mod engine;
mod hub;
mod identity;
mod images;
mod jobs;
mod message;
mod objects;
mod operations;
mod recreations;
mod registry;
pub(crate) mod storage;
pub(crate) mod stream;
mod world;

pub use builds::{Build, BuildFile};
pub use jobs::Post;
pub use message::{Answer, RequestBuilder, delete, get, patch, post, put, request};
pub use objects::{Container, Image};
pub use registry::RemoteImage;
pub use world::{Call, Host, Line};

thread_local! {
    static CURRENT: RefCell<Rc<dyn host::Host>> = RefCell::new(Rc::new(Host::empty()));
}

/// The host of this thread.
pub(crate) fn current() -> Rc<dyn host::Host> {
    CURRENT.with_borrow(Rc::clone)
}

fn install(host: &Host) {
    crate::log::install();
    CURRENT.set(Rc::new(host.clone()));
}

/// Sends `request` to a new instance of `P`. As from the host, the answer to a HEAD has no body.
pub fn call<P: Plugin>(request: RequestBuilder) -> Answer {
    let _sent = identity::send(request.sender());
    let request = request.build();
    let is_head = request.method() == "HEAD";
    let mut answer = Answer::of(crate::export::answer(&P::routes(), request));
    if is_head {
        answer.body.clear();
    }
    answer
}

/// Lets `P` carry out `work`, as the host does for a job.
///
/// # Errors
///
/// Why it was not carried out.
pub fn run_job<P: Jobs>(work: &Work) -> Result<(), Failure> {
    P::run(work)
}

/// The description of `P`, as the host reads it.
#[must_use]
pub fn describe<P: Exported>() -> serde_json::Value {
    serde_json::from_str(&crate::export::document::<P>()).unwrap_or_default()
}

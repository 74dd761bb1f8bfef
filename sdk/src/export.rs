//! From a [`Plugin`] to a component: the one line that a plugin's crate needs, and what the component does when it is called.

use std::cell::Cell;

use crate::description::Description;
use crate::error::Error;
use crate::request::Request;
use crate::response::{Response, ResponseBody};
use crate::router::Router;

/// An HTTP API for a site.
///
/// ```
/// use wharf_sdk::{Plugin, Request, Response, Router, fake};
///
/// struct Greeter;
///
/// impl Plugin for Greeter {
///     fn routes() -> Router {
///         Router::new()
///             .get("/greetings/{name}", |request: &Request| format!("hello {}", request.param("name")))
///             .delete("/greetings/{name}", |_: &Request| Response::new(204))
///     }
/// }
///
/// wharf_sdk::export!(Greeter);
///
/// # fn main() {
/// assert_eq!(fake::call::<Greeter>(fake::get("/greetings/a%20b")).text(), "hello a b");
/// assert_eq!(fake::call::<Greeter>(fake::post("/greetings/x")).status, 405);
/// # }
/// ```
pub trait Plugin {
    /// What the plugin wants and how it is configured. Asked once, without any power: each host call answers [`Error::Denied`].
    fn describe() -> Description {
        Description::new()
    }

    /// The routes. Asked once in the life of an instance; what the handlers share between requests can be made here.
    fn routes() -> Router;
}

/// What `Cargo.toml` says of a plugin. [`export!`](crate::export!) fills it in.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// The crate's name.
    pub name: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The crate's description; may be empty.
    pub summary: &'static str,
}

/// A plugin that was exported. [`export!`](crate::export!) implements it.
pub trait Exported: Plugin {
    /// What its `Cargo.toml` says.
    const PACKAGE: Package;
}

/// Makes the crate a component that is the given [`Plugin`]: `wharf_sdk::export!(MyPlugin);`, once in a crate. One that has jobs or schedules is also [`Jobs`](crate::Jobs), and is exported by
/// `wharf_sdk::export!(MyPlugin, jobs);`.
///
/// On a native target it makes nothing but the plugin's entry for [`fake`](crate::fake).
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        impl $crate::Exported for $plugin {
            const PACKAGE: $crate::Package = $crate::Package {
                name: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                summary: ::core::env!("CARGO_PKG_DESCRIPTION"),
            };
        }

        // Without exports the plugin would be dead code on a native target, and every function of it a warning.
        const _: $crate::Package = <$plugin as $crate::Exported>::PACKAGE;

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "generated: the functions that the host calls are exported by their names")]
        const _: () = {
            use $crate::__private::bindings::exports::wharf::http::handler as http;
            use $crate::__private::bindings::exports::wharf::plugin::description as plugin;

            static LOADED: ::std::sync::OnceLock<$crate::__private::Loaded> = ::std::sync::OnceLock::new();

            struct Component;

            impl http::Guest for Component {
                fn handle(head: http::RequestHead, body: http::Body) -> ::core::result::Result<http::Response, http::Error> {
                    $crate::__private::handle(LOADED.get_or_init($crate::__private::Loaded::new::<$plugin>), head, body)
                }
            }

            impl plugin::Guest for Component {
                fn describe() -> ::std::string::String {
                    $crate::__private::describe::<$plugin>()
                }
            }

    $crate::__private::bindings::export_component!(Component with_types_in $crate::__private::bindings);
        };
    };
    ($plugin:ty, jobs) => {
        $crate::export!($plugin);

        // As above.
        const _: fn(&$crate::jobs::Work) -> ::core::result::Result<(), $crate::jobs::Failure> = <$plugin as $crate::Jobs>::run;

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "generated: the functions that the host calls are exported by their names")]
        const _: () = {
            use $crate::__private::bindings::worker::exports::wharf::jobs::handler as jobs;

            struct Worker;

            impl jobs::Guest for Worker {
                fn run(work: jobs::Work) -> ::core::result::Result<(), jobs::Failure> {
                    $crate::__private::run::<$plugin>(work)
                }
            }

    $crate::__private::bindings::worker::export_worker!(Worker with_types_in $crate::__private::bindings::worker);
        };
    };
}

std::thread_local! {
    /// Whether the response to the request being served has been started.
    static STARTED: Cell<bool> = const { Cell::new(false) };
}

/// Notes that the head of the response went out.
pub(crate) fn note_start() {
    STARTED.set(true);
}

/// The answer of `router` to `request`.
///
/// # Errors
///
/// [`Error::Internal`] when the handler started one response and then answered another, as one that fails half-way does.
pub(crate) fn answer(router: &Router, request: Request) -> Result<Response, Error> {
    STARTED.set(false);
    let response = router.answer(request);
    match (STARTED.get(), &response.body) {
        (true, ResponseBody::Started) | (false, ResponseBody::Empty | ResponseBody::Bytes(_) | ResponseBody::Stream(_)) => Ok(response),
        (true, _) => Err(Error::Internal(format!("the handler answered {} after it had started a response", response.status))),
        (false, ResponseBody::Started) => Err(Error::Internal("the handler answered a started response of another request".to_owned())),
    }
}

/// The text of the description of `P`.
pub(crate) fn document<P: Exported>() -> String {
    P::describe().document(&P::PACKAGE, &P::routes())
}

#[cfg(target_family = "wasm")]
pub(crate) mod wasm {
    //! The functions that the host calls.

    use super::{Exported, Plugin, Router};
    use crate::bindings::wharf::http::types as contract;
    use crate::bindings::worker::exports::wharf::jobs::handler;
    use crate::body::{Arrived, Body};
    use crate::jobs::{Failure, Jobs, Turn, Work};
    use crate::request::{Head, HeaderField, Request};
    use crate::response::ResponseBody;
    use crate::stream::ByteStream;

    /// What an instance keeps from its first request on.
    pub struct Loaded(Router);

    impl Loaded {
        /// Gets ready to serve `P`.
        pub fn new<P: Plugin>() -> Loaded {
            crate::log::install();
            Loaded(P::routes())
        }
    }

    /// The description of `P`.
    pub fn describe<P: Exported>() -> String {
        super::document::<P>()
    }

    /// Carries out one job.
    pub fn run<P: Jobs>(work: handler::Work) -> Result<(), handler::Failure> {
        crate::log::install();
        let handler::Work { id, kind, payload, attempt, turn } = work;
        let turn = turn.map(|handler::Turn { due_ms, missed }| Turn { due_ms, missed });
        P::run(&Work { id, kind, payload, attempt, turn }).map_err(|failure| match failure {
            Failure::Again(reason) => handler::Failure::Again(reason),
            Failure::Never(reason) => handler::Failure::Never(reason),
        })
    }

    /// Serves one request.
    pub fn handle(loaded: &Loaded, head: contract::RequestHead, body: contract::Body) -> Result<contract::Response, contract::Error> {
        let body = Body::new(match body {
            contract::Body::Empty => Arrived::Empty,
            contract::Body::Bytes(bytes) => Arrived::Bytes(bytes),
            contract::Body::Stream(stream) => Arrived::Stream(ByteStream(stream)),
        });
        let head = Head {
            id: head.id,
            method: head.method,
            scheme: head.scheme,
            authority: head.authority,
            mount: head.mount,
            path: head.path,
            query: head.query,
            // The two types have one layout: this moves nothing.
            headers: head.headers.into_iter().map(|field| HeaderField { name: field.name, value: field.value }).collect(),
            remote: head.remote,
        };
        let response = super::answer(&loaded.0, Request::new(head, body)).map_err(contract::Error::from)?;
        Ok(contract::Response {
            status: response.status,
            headers: response
                .headers
                .into_iter()
                .map(|(name, value)| contract::Field { name: name.into_owned(), value: value.into_owned() })
                .collect(),
            body: match response.body {
                ResponseBody::Empty => contract::ResponseBody::Empty,
                ResponseBody::Bytes(bytes) => contract::ResponseBody::Bytes(bytes.into_owned()),
                ResponseBody::Stream(stream) => contract::ResponseBody::Stream(stream.0),
                ResponseBody::Started => contract::ResponseBody::Started,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BodyError, Request, config, fake};

    struct Echo;

    impl Plugin for Echo {
        fn routes() -> Router {
            Router::new().post("/echo", echo).get("/count", count).get("/half", half).get("/query", query).get("/secret", secret)
        }
    }

    fn echo(request: &Request) -> Result<String, BodyError> {
        Ok(request.json::<Vec<&str>>()?.join(" "))
    }

    fn count(_: &Request) -> Result<Response, Error> {
        let mut writer = Response::new(201).header("x-kind", "count").start()?;
        writer.write(b"one ")?;
        writer.write(b"two")?;
        Ok(writer.finish())
    }

    fn half(_: &Request) -> Result<Response, Error> {
        Response::new(200).start()?.write(b"one")?;
        Err(Error::Timeout)
    }

    fn query(request: &Request) -> String {
        let pairs: Vec<String> = request.query().pairs().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {:?} {}", pairs.join("|"), request.query().get("b"), request.query().all("a").count())
    }

    fn secret(_: &Request) -> Result<String, Error> {
        let settings: std::collections::BTreeMap<String, u8> = config::get()?;
        Ok(format!("{} {settings:?}", config::reveal("key")?))
    }

    #[track_caller]
    fn check(request: fake::RequestBuilder, status: u16, text: &str) {
        let answer = fake::call::<Echo>(request);
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
    }

    #[test]
    fn a_body_is_read_however_it_arrives() {
        check(fake::post("/echo").json(&["a", "b"]), 200, "a b");
        check(fake::post("/echo").stream([Ok(b"[\"a".to_vec()), Ok(b"\"]".to_vec())]), 200, "a");
        check(fake::post("/echo").stream([Err(Error::QuotaExceeded)]), 413, r#"{"status":413,"title":"Content Too Large"}"#);
        assert_eq!(fake::call::<Echo>(fake::post("/echo").body("{")).status, 400);
        assert_eq!(fake::call::<Echo>(fake::post("/echo").stream([Err(Error::Timeout)])).status, 400);
    }

    #[test]
    fn a_written_response_is_what_was_started() {
        let answer = fake::call::<Echo>(fake::get("/count"));
        assert_eq!((answer.status, answer.text().as_str(), answer.header("X-Kind")), (201, "one two", Some("count")));
        assert_eq!(fake::call::<Echo>(fake::get("/half")).status, 500);
    }

    #[test]
    fn a_head_has_no_body() {
        let plain = fake::call::<Echo>(fake::request("HEAD", "/query?a=1"));
        assert_eq!((plain.status, plain.text().as_str(), plain.header("content-type")), (200, "", Some("text/plain; charset=utf-8")));
        let started = fake::call::<Echo>(fake::request("HEAD", "/count"));
        assert_eq!((started.status, started.text().as_str(), started.header("x-kind")), (201, "", Some("count")));
    }

    #[test]
    fn a_client_that_goes_away_is_an_error_of_the_write() {
        let host = fake::Host::install();
        host.fail("http.outgoing.write", Error::Unavailable("the client went away".to_owned()));
        assert_eq!(fake::call::<Echo>(fake::get("/count")).status, 500);
    }

    #[test]
    fn a_query_is_read_as_a_form() {
        check(fake::get("/query?a=1+2&b&a=%26%3D&&b=x"), 200, "a=1 2|b=|a=&=|b=x Some(\"\") 2");
        check(fake::get("/query"), 200, " None 0");
        check(fake::get("/query?a=100%&%zz=%4&b=%ff%C3%A4&=x"), 200, "a=100%|%zz=%4|b=\u{fffd}\u{e4}|=x Some(\"\u{fffd}\u{e4}\") 1");
    }

    #[test]
    fn settings_and_secrets_come_from_the_host() {
        let host = fake::Host::install();
        host.config(serde_json::json!({"n": 1}));
        assert_eq!(fake::call::<Echo>(fake::get("/secret")).status, 404);
        host.secret("key", "s3cret");
        check(fake::get("/secret"), 200, "s3cret {\"n\": 1}");
        host.config(serde_json::json!({"n": "text"}));
        assert_eq!(fake::call::<Echo>(fake::get("/secret")).status, 500, "it is no fault of the client");
    }
}

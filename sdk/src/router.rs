//! From a request to the handler of its route, and the answers that need no handler: 404, 405 and OPTIONS.
//!
//! APIs differ in what they say there, in whether `/things/` is `/things`, and in whether `%2F` is a slash. Each is a choice of the router, made once; no
//! plugin writes a matcher of its own. The matcher is `matchit`, as in the host, so that a pattern means the same on both sides.

use serde_json::{Map, Value};

use crate::request::{Param, Request};
use crate::response::{IntoResponse, Response, ResponseBody};

type Handler = Box<dyn Fn(&Request) -> Response + Send + Sync>;
type Refusal = Box<dyn Fn(&Request, &[&str]) -> Response + Send + Sync>;

/// The routes of a plugin. It is built once in the life of an instance.
///
/// ```
/// use wharf_sdk::{Plugin, Request, Response, Router, fake};
///
/// struct Files;
///
/// impl Plugin for Files {
///     fn routes() -> Router {
///         Router::new()
///             .get("/files/{*path}", |request: &Request| request.param("path").into_owned())
///             .put("/files/{*path}", |_: &Request| Response::new(201))
///             .strip_trailing_slash()
///             .not_found(|_: &Request| Response::new(404))
///     }
/// }
///
/// assert_eq!(fake::call::<Files>(fake::get("/files/a/b/")).text(), "a/b");
/// assert_eq!(fake::call::<Files>(fake::delete("/files/a")).header("allow"), Some("GET, HEAD, PUT, OPTIONS"));
/// assert_eq!(fake::call::<Files>(fake::get("/")).text(), "");
/// ```
///
/// A new router answers failures as `application/problem+json`, HEAD where there is GET, and OPTIONS with 204 and `Allow`; `/things/` and `%2F` are
/// no `/things` and no slash. HEAD is answered by the handler of GET, whose body the host leaves out.
#[must_use]
pub struct Router {
    paths: matchit::Router<usize>,
    routes: Vec<Route>,
    not_found: Handler,
    method_not_allowed: Refusal,
    options: Refusal,
    strips_trailing_slash: bool,
    encoded_slash_separates: bool,
    head_by_get: bool,
    default_content_type: Option<&'static str>,
}

/// One path pattern and what it answers.
struct Route {
    pattern: &'static str,
    methods: Vec<Method>,
}

struct Method {
    name: &'static str,
    handler: Handler,
    summary: Option<&'static str>,
}

impl Default for Router {
    fn default() -> Router {
        Router::new()
    }
}

impl Router {
    /// A router without routes.
    pub fn new() -> Router {
        Router {
            paths: matchit::Router::new(),
            routes: Vec::new(),
            not_found: Box::new(|_| crate::Problem::new(404).into_response()),
            method_not_allowed: Box::new(|_, allowed| {
                let allow = [allowed, &["OPTIONS"]].concat().join(", ");
                crate::Problem::new(405).into_response().header("allow", allow)
            }),
            options: Box::new(|_, allowed| Response::new(204).header("allow", [allowed, &["OPTIONS"]].concat().join(", "))),
            strips_trailing_slash: false,
            encoded_slash_separates: false,
            head_by_get: true,
            default_content_type: None,
        }
    }

    /// Answers GET of `pattern` with `handler`; see [`Router::route`].
    pub fn get<R: IntoResponse>(self, pattern: &'static str, handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Router {
        self.route("GET", pattern, handler)
    }

    /// Answers POST of `pattern` with `handler`; see [`Router::route`].
    pub fn post<R: IntoResponse>(self, pattern: &'static str, handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Router {
        self.route("POST", pattern, handler)
    }

    /// Answers PUT of `pattern` with `handler`; see [`Router::route`].
    pub fn put<R: IntoResponse>(self, pattern: &'static str, handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Router {
        self.route("PUT", pattern, handler)
    }

    /// Answers PATCH of `pattern` with `handler`; see [`Router::route`].
    pub fn patch<R: IntoResponse>(self, pattern: &'static str, handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Router {
        self.route("PATCH", pattern, handler)
    }

    /// Answers DELETE of `pattern` with `handler`; see [`Router::route`].
    pub fn delete<R: IntoResponse>(self, pattern: &'static str, handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Router {
        self.route("DELETE", pattern, handler)
    }

    /// Answers `method` (upper case) of `pattern` with `handler`.
    ///
    /// A pattern begins with `/` and is written without a trailing slash. `{name}` stands for one segment or a part of one, `{*name}` at the end for one
    /// segment or more. A fixed text goes before a parameter. A second handler for the same method and pattern replaces the first.
    ///
    /// # Panics
    ///
    /// If `pattern` is no pattern, or cannot be told from another one. It shows as soon as the plugin is loaded, or in any test.
    pub fn route<R: IntoResponse>(
        mut self,
        method: &'static str,
        pattern: &'static str,
        handler: impl Fn(&Request) -> R + Send + Sync + 'static,
    ) -> Router {
        let method = Method { name: method, handler: Box::new(move |request| handler(request).into_response()), summary: None };
        let place = match self.routes.iter().position(|route| route.pattern == pattern) {
            Some(place) => place,
            None => self.add_path(pattern),
        };
        if let Some(route) = self.routes.get_mut(place) {
            route.methods.retain(|other| other.name != method.name);
            route.methods.push(method);
            route.methods.sort_by_key(|method| method.name);
        }
        self
    }

    /// Says in one line what `method` of `pattern` does, for the plugin's description. Nothing happens when there is no such route.
    pub fn summary(mut self, method: &str, pattern: &str, summary: &'static str) -> Router {
        let route = self.routes.iter_mut().find(|route| route.pattern == pattern);
        if let Some(method) = route.and_then(|route| route.methods.iter_mut().find(|other| other.name == method)) {
            method.summary = Some(summary);
        }
        self
    }

    /// Answers a path without a route with `handler`.
    pub fn not_found<R: IntoResponse>(mut self, handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Router {
        self.not_found = Box::new(move |request| handler(request).into_response());
        self
    }

    /// Answers a method that its path does not have with `handler`, which also gets the methods that it has: sorted, with an implied HEAD, without OPTIONS.
    pub fn method_not_allowed<R: IntoResponse>(mut self, handler: impl Fn(&Request, &[&str]) -> R + Send + Sync + 'static) -> Router {
        self.method_not_allowed = Box::new(move |request, allowed| handler(request, allowed).into_response());
        self
    }

    /// Answers OPTIONS of a path that has no route for it with `handler`; the methods are those of [`Router::method_not_allowed`].
    pub fn options<R: IntoResponse>(mut self, handler: impl Fn(&Request, &[&str]) -> R + Send + Sync + 'static) -> Router {
        self.options = Box::new(move |request, allowed| handler(request, allowed).into_response());
        self
    }

    /// Takes one trailing slash off each path before it is matched, so that `/things/` is `/things`.
    pub fn strip_trailing_slash(mut self) -> Router {
        self.strips_trailing_slash = true;
        self
    }

    /// Decodes each path before it is matched, so that `%2F` is a slash between segments. Otherwise it is part of its segment.
    pub fn encoded_slash_separates(mut self) -> Router {
        self.encoded_slash_separates = true;
        self
    }

    /// Answers HEAD only where there is a route for it.
    pub fn head_not_implied(mut self) -> Router {
        self.head_by_get = false;
        self
    }

    /// Sends `content_type` with every response that has none of its own, but not with one that was sent by [`Response::start`].
    pub fn default_content_type(mut self, content_type: &'static str) -> Router {
        self.default_content_type = Some(content_type);
        self
    }

    /// The answer to `request`.
    pub(crate) fn answer(&self, mut request: Request) -> Response {
        let response = match self.find(&mut request) {
            Some(route) => self.call(route, &request),
            None => (self.not_found)(&request),
        };
        match self.default_content_type {
            Some(content_type) if !matches!(response.body, ResponseBody::Started) && response.field("content-type").is_none() => {
                response.header("content-type", content_type)
            }
            _ => response,
        }
    }

    fn add_path(&mut self, pattern: &'static str) -> usize {
        let place = self.routes.len();
        if let Err(error) = self.paths.insert(pattern, place) {
            #[expect(clippy::panic, reason = "a mistake in the plugin's source, found the first time it runs")]
            {
                panic!("the route `{pattern}` cannot be added: {error}");
            }
        }
        self.routes.push(Route { pattern, methods: Vec::new() });
        place
    }

    /// The route of `request`, whose parameters are put into it.
    fn find(&self, request: &mut Request) -> Option<&Route> {
        if self.encoded_slash_separates && request.path().contains('%') {
            request.decoded_path = Some(crate::percent_decode(request.path()).into_owned());
        }
        let whole = request.decoded_path.as_deref().unwrap_or(request.path());
        let path = match whole.strip_suffix('/') {
            Some(stripped) if self.strips_trailing_slash && !stripped.is_empty() => stripped,
            _ => whole,
        };
        let found = self.paths.at(path).ok()?;
        let route = self.routes.get(*found.value);
        let mut params = Vec::with_capacity(found.params.len());
        for (name, value) in found.params.iter() {
            // `value` is a part of `path`, and `path` a beginning of `whole`.
            let start = value.as_ptr() as usize - whole.as_ptr() as usize;
            params.push(Param { name: name.into(), value: start..start + value.len() });
        }
        request.params = params;
        route
    }

    fn call(&self, route: &Route, request: &Request) -> Response {
        let wanted = request.method();
        if let Some(handler) = route.handler(wanted) {
            return handler(request);
        }
        if wanted == "HEAD"
            && self.head_by_get
            && let Some(handler) = route.handler("GET")
        {
            return handler(request);
        }
        let allowed = self.allowed(route);
        match wanted {
            "OPTIONS" => (self.options)(request, &allowed),
            _ => (self.method_not_allowed)(request, &allowed),
        }
    }

    /// The methods of `route`, sorted, without OPTIONS.
    fn allowed(&self, route: &Route) -> Vec<&'static str> {
        let mut allowed: Vec<&'static str> = route.methods.iter().map(|method| method.name).filter(|name| *name != "OPTIONS").collect();
        if self.head_by_get && allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
            allowed.push("HEAD");
            allowed.sort_unstable();
        }
        allowed
    }

    /// The `paths` object of an OpenAPI document.
    ///
    /// Where a trailing slash is taken off, the paths that end in one are listed too: the plugin does answer them, and the host sends it what is listed.
    pub(crate) fn paths(&self) -> Value {
        let mut paths = Map::new();
        for route in &self.routes {
            let item = route.path_item();
            if self.strips_trailing_slash && route.pattern != "/" && !route.pattern.contains("{*") {
                paths.insert(format!("{}/", route.pattern), item.clone());
            }
            paths.insert(route.pattern.to_owned(), item);
        }
        Value::Object(paths)
    }
}

impl Route {
    fn handler(&self, method: &str) -> Option<&Handler> {
        self.methods.iter().find(|other| other.name == method).map(|method| &method.handler)
    }

    fn path_item(&self) -> Value {
        let mut item = Map::new();
        for method in &self.methods {
            let mut operation = Map::new();
            if let Some(summary) = method.summary {
                operation.insert("summary".to_owned(), summary.into());
            }
            item.insert(method.name.to_ascii_lowercase(), Value::Object(operation));
        }
        Value::Object(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Arrived, Body};
    use crate::request::Head;

    fn request(method: &str, path: &str) -> Request {
        let head = Head {
            id: String::new(),
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: String::new(),
            mount: String::new(),
            path: path.to_owned(),
            query: None,
            headers: Vec::new(),
            remote: None,
        };
        Request::new(head, Body::new(Arrived::Empty))
    }

    fn echo(request: &Request) -> String {
        format!("{} {}", request.param("thing"), request.raw_param("thing"))
    }

    fn things() -> Router {
        Router::new()
            .get("/things/{thing}", echo)
            .post("/things/{thing}", |_: &Request| "made")
            .get("/tree/{*thing}", echo)
            .get("/", |_: &Request| "root")
    }

    fn strict() -> Router {
        things().strip_trailing_slash().encoded_slash_separates().head_not_implied().default_content_type("application/json")
    }

    #[track_caller]
    fn check(router: Router, method: &str, path: &str, status: u16, body: &str) {
        let response = router.answer(request(method, path));
        let text = match response.body {
            ResponseBody::Bytes(bytes) => String::from_utf8(bytes.into_owned()).unwrap(),
            _ => String::new(),
        };
        assert_eq!((response.status, text.as_str()), (status, body));
    }

    #[track_caller]
    fn check_allow(router: Router, method: &str, path: &str, status: u16, allow: Option<&str>) {
        let response = router.answer(request(method, path));
        assert_eq!((response.status, response.field("Allow")), (status, allow));
    }

    const NOT_FOUND: &str = r#"{"status":404,"title":"Not Found"}"#;

    #[test]
    fn a_parameter_is_decoded_and_kept_as_sent() {
        check(things(), "GET", "/things/a%20b", 200, "a b a%20b");
        check(things(), "GET", "/things/a%2Fb", 200, "a/b a%2Fb");
        check(things(), "GET", "/things/%ff", 200, "\u{fffd} %ff");
        check(things(), "GET", "/tree/a/b%25", 200, "a/b% a/b%25");
    }

    #[test]
    fn an_encoded_slash_separates_where_the_plugin_says_so() {
        check_allow(strict(), "GET", "/things/a%2Fb", 404, None);
        check(strict(), "GET", "/tree/a%2Fb%2520/", 200, "a/b%20 a/b%20");
        check(strict(), "GET", "/things%2Fa", 200, "a a");
    }

    #[test]
    fn a_trailing_slash_is_another_path_unless_it_is_stripped() {
        check(things(), "GET", "/things/a/", 404, NOT_FOUND);
        check(strict(), "GET", "/things/a/", 200, "a a");
        check_allow(strict(), "GET", "/things/a//", 404, None);
        check(strict(), "GET", "/", 200, "root");
    }

    #[test]
    fn methods_that_are_not_there_are_refused_with_those_that_are() {
        check_allow(things(), "DELETE", "/things/a", 405, Some("GET, HEAD, POST, OPTIONS"));
        check_allow(things(), "OPTIONS", "/things/a", 204, Some("GET, HEAD, POST, OPTIONS"));
        check_allow(things(), "HEAD", "/things/a", 200, None);
        check_allow(strict(), "HEAD", "/things/a", 405, Some("GET, POST, OPTIONS"));
        check_allow(things().options(|_, _| Response::new(418)), "OPTIONS", "/things/a", 418, None);
        check_allow(things().route("OPTIONS", "/things/{thing}", |_: &Request| "own"), "OPTIONS", "/things/a", 200, None);
    }

    #[test]
    fn a_response_without_a_type_gets_the_default_one() {
        let router = strict().get("/bare", |_: &Request| Response::new(200));
        assert_eq!(router.answer(request("GET", "/bare")).field("content-type"), Some("application/json"));
        assert_eq!(router.answer(request("GET", "/")).field("content-type"), Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn the_paths_are_those_of_the_routes() {
        let router = things().strip_trailing_slash().summary("GET", "/things/{thing}", "Shows a thing.");
        let expected = serde_json::json!({
            "/": {"get": {}},
            "/things/{thing}": {"get": {"summary": "Shows a thing."}, "post": {}},
            "/things/{thing}/": {"get": {"summary": "Shows a thing."}, "post": {}},
            "/tree/{*thing}": {"get": {}},
        });
        assert_eq!(router.paths(), expected);
    }
}

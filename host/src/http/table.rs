//! The route table: from host and path to a plugin. One immutable snapshot; a reload publishes another.
//!
//! Hosts are looked up in a map; mounts are few and tried longest first; the patterns of all plugins of one mount are one matcher. What no pattern takes goes to the plugin if the mount has just one,
//! so that its own 404 is heard; between several the host cannot choose and answers 404 itself.

use std::collections::HashMap;

use super::dispatch::Target;
use crate::metrics::{Metrics, RouteMetrics};
use crate::site::{Plugin, PluginState, Site, patterns};

/// What `/metrics` calls the route of a request that matches no pattern.
const NO_PATTERN: &str = "*";

/// Every site's routes.
pub(crate) struct Table {
    pub(crate) sites: Vec<Site>,
    by_host: HashMap<String, usize>,
    /// The site of every other host.
    other_hosts: Option<usize>,
    routes: Vec<SiteRoutes>,
    /// What is counted for requests that reach no plugin.
    pub(crate) unrouted: RouteMetrics,
}

struct SiteRoutes {
    /// Longest prefix first.
    mounts: Vec<Mount>,
}

struct Mount {
    prefix: String,
    matcher: matchit::Router<Route>,
    /// Where requests go that match no pattern.
    rest: Option<Route>,
}

/// A route: a plugin of the site, and what is counted for it.
struct Route {
    plugin: usize,
    metrics: RouteMetrics,
}

/// Why a request reaches no plugin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unrouted {
    /// No site answers to the host. 421.
    Host,
    /// No plugin is mounted there. 404.
    Path,
}

impl Table {
    /// The table of `sites`.
    pub(crate) fn new(sites: Vec<Site>, metrics: &Metrics) -> Table {
        let mut by_host = HashMap::new();
        let mut other_hosts = None;
        for (index, site) in sites.iter().enumerate() {
            by_host.extend(site.hosts.iter().map(|host| (host.clone(), index)));
            if site.hosts.is_empty() {
                other_hosts = Some(index);
            }
        }
        let routes = sites.iter().map(|site| SiteRoutes::new(site, metrics)).collect();
        Table { sites, by_host, other_hosts, routes, unrouted: metrics.route("", "", NO_PATTERN) }
    }

    /// The plugin for `path` of `authority` (a host with or without a port; empty if the client sent none).
    pub(crate) fn find(&self, authority: &str, path: &str) -> Result<Target<'_>, Unrouted> {
        let index = self.site(authority).ok_or(Unrouted::Host)?;
        let (site, routes) = self.sites.get(index).zip(self.routes.get(index)).ok_or(Unrouted::Host)?;
        let route = routes.find(path).ok_or(Unrouted::Path)?;
        let plugin = site.plugins.get(route.plugin).ok_or(Unrouted::Path)?;
        Ok(Target { site, plugin, metrics: &route.metrics })
    }

    fn site(&self, authority: &str) -> Option<usize> {
        if self.by_host.is_empty() {
            return self.other_hosts;
        }
        let host = authority
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
            .map_or(authority, |(host, _)| host);
        self.by_host.get(&host.to_ascii_lowercase()).copied().or(self.other_hosts)
    }
}

impl SiteRoutes {
    fn new(site: &Site, metrics: &Metrics) -> SiteRoutes {
        let mut mounts: Vec<Mount> = Vec::new();
        for (index, plugin) in site.plugins.iter().enumerate() {
            let position = mounts.iter().position(|mount| mount.prefix == plugin.mount);
            let position = position.unwrap_or_else(|| {
                mounts.push(Mount { prefix: plugin.mount.clone(), matcher: matchit::Router::new(), rest: None });
                mounts.len() - 1
            });
            let alone = site.plugins.iter().filter(|other| other.mount == plugin.mount).count() == 1;
            if let Some(mount) = mounts.get_mut(position) {
                mount.add(site, index, plugin, alone, metrics);
            }
        }
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.prefix.len()));
        SiteRoutes { mounts }
    }

    fn find(&self, path: &str) -> Option<&Route> {
        self.mounts.iter().find_map(|mount| {
            let below = path.strip_prefix(mount.prefix.as_str())?;
            (below.is_empty() || below.starts_with('/')).then(|| mount.find(below))
        })?
    }
}

impl Mount {
    fn add(&mut self, site: &Site, index: usize, plugin: &Plugin, alone: bool, metrics: &Metrics) {
        let route = |pattern: &str| Route { plugin: index, metrics: metrics.route(&site.name, &plugin.name, pattern) };
        match &plugin.state {
            PluginState::Loaded(generation) => {
                for pattern in patterns(generation) {
                    // A pattern with a slash at its end is the same route to whoever reads the metrics.
                    let shown =
                        format!("{}{}", self.prefix, pattern.strip_suffix('/').filter(|short| !short.is_empty()).unwrap_or(&pattern));
                    // Patterns that collide were taken out of service when the site was loaded.
                    let _ = self.matcher.insert(pattern, route(&shown));
                }
                if alone {
                    self.rest = Some(route(NO_PATTERN));
                }
            }
            // What it would have taken is not known, so it answers for all that nobody else takes.
            PluginState::Failed(_) => self.rest = Some(route(NO_PATTERN)),
        }
    }

    fn find(&self, below: &str) -> Option<&Route> {
        let path = if below.is_empty() { "/" } else { below };
        let without_slash = path.strip_suffix('/').filter(|path| !path.is_empty());
        let found = self.matcher.at(path).ok().or_else(|| self.matcher.at(without_slash?).ok());
        found.map(|found| found.value).or(self.rest.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::users::SiteUsers;

    fn failed(name: &str, mount: &str) -> Plugin {
        Plugin {
            name: name.to_owned(),
            mount: mount.to_owned(),
            auth: None,
            state: PluginState::Failed("not in this test".to_owned()),
            kept_because: None,
        }
    }

    fn site(name: &str, hosts: &[&str], plugins: Vec<Plugin>) -> Site {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Site { name: name.to_owned(), hosts, users: SiteUsers::nobodys(name), must_ask: false, plugins }
    }

    #[track_caller]
    fn check(table: &Table, authority: &str, path: &str, expected: Result<&str, Unrouted>) {
        let found = table.find(authority, path).map(|target| format!("{}/{}", target.site.name, target.plugin.name));
        assert_eq!(
            found.as_deref().map_err(|error| format!("{error:?}")),
            expected.as_ref().map(|name| *name).map_err(|error| format!("{error:?}"))
        );
    }

    #[test]
    fn a_site_is_found_by_its_host_and_a_plugin_by_the_longest_mount() {
        let sites = vec![
            site("a", &["a.local"], vec![failed("root", ""), failed("api", "/api"), failed("deep", "/api/deep")]),
            site("b", &["b.local"], vec![failed("api", "/api")]),
        ];
        let table = Table::new(sites, &Metrics::new());
        check(&table, "a.local", "/api/deep/x", Ok("a/deep"));
        check(&table, "A.Local:8080", "/api/deeper", Ok("a/api"));
        check(&table, "a.local", "/apis", Ok("a/root"));
        check(&table, "b.local", "/api", Ok("b/api"));
        check(&table, "b.local", "/", Err(Unrouted::Path));
        check(&table, "c.local", "/api", Err(Unrouted::Host));
        check(&table, "", "/api", Err(Unrouted::Host));
    }

    #[test]
    fn a_site_without_hosts_takes_every_other_host() {
        let sites = vec![site("a", &["a.local"], vec![failed("p", "")]), site("rest", &[], vec![failed("p", "")])];
        let table = Table::new(sites, &Metrics::new());
        check(&table, "a.local", "/", Ok("a/p"));
        check(&table, "[::1]:80", "/", Ok("rest/p"));
        check(&table, "", "/", Ok("rest/p"));
    }
}

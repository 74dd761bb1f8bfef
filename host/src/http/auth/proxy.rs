//! Who the client is, where proxies stand before the host.
//!
//! What a client says of itself is worth nothing, so `X-Forwarded-For` and `X-Forwarded-Proto` are read only from peers that `trusted_proxies` names. Each proxy appends the address that it was asked from:
//! the last address of the list that is no such proxy is the client's, and what stands before it is the client's own word.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use super::Asked;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The client's address, if it is known, and whether it asked over TLS.
pub(super) fn client(asked: &Asked<'_>, proxies: &[IpNet]) -> (Option<IpAddr>, bool) {
    let peer = asked.remote.map(|remote| remote.ip().to_canonical());
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    if !peer.as_ref().is_some_and(is_proxy) {
        return (peer, false);
    }
    let headers = &asked.parts.headers;
    let is_secure = last(headers, FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let mut client = peer;
    for text in list(headers, FORWARDED_FOR).into_iter().rev() {
        // What is no address ends the list: who wrote it is not known.
        let Some(address) = address(text) else { break };
        client = Some(address);
        if !is_proxy(&address) {
            break;
        }
    }
    (client, is_secure)
}

/// An address, which some proxies send with a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let fields = headers.get_all(name).iter().map(|field| field.to_str().unwrap_or("?"));
    fields.flat_map(|field| field.split(',')).map(str::trim).collect()
}

fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    list(headers, name).pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(remote: &str, fields: &[(&str, &str)], client_is: &str, over_tls: bool) {
        let mut request = http::Request::get("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let proxies = ["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let asked = Asked { parts: &parts, remote: Some(SocketAddr::new(remote.parse().unwrap(), 50_000)) };
        assert_eq!(client(&asked, &proxies), (client_is.parse().ok(), over_tls), "{fields:?}");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let (from, proto) = (FORWARDED_FOR, FORWARDED_PROTO);
        check("192.0.2.1", &[(from, "198.51.100.1"), (proto, "https")], "192.0.2.1", false);
        check("127.0.0.1", &[], "127.0.0.1", false);
        check("::ffff:127.0.0.1", &[(from, "198.51.100.1"), (proto, "HTTPS")], "198.51.100.1", true);
        check("127.0.0.1", &[(from, "6.6.6.6, 198.51.100.1")], "198.51.100.1", false);
        check("127.0.0.1", &[(from, "6.6.6.6, 198.51.100.1, 10.1.2.3"), (from, "10.0.0.1")], "198.51.100.1", false);
        check("127.0.0.1", &[(from, "10.1.2.3")], "10.1.2.3", false);
        check("127.0.0.1", &[(from, "198.51.100.1, unknown, 10.1.2.3")], "10.1.2.3", false);
        check("127.0.0.1", &[(from, "[2001:db8::1]:4711")], "2001:db8::1", false);
        check("127.0.0.1", &[(from, "192.0.2.7:4711"), (proto, "https, http")], "192.0.2.7", false);
    }
}

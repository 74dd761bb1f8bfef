//! Where the host's own requests may go. A plugin names registries, registries name token servers and redirect to others: none of them may lead the host to what only the host can reach.
//!
//! Looked at are addresses, after names were resolved and on every new connection, so that a name that resolves otherwise the second time gains nothing. Always refused: addresses that are no
//! single host's, link-local ones (a cloud's metadata service is there), the metadata addresses that are elsewhere, and the host's own listeners. Private networks are refused unless a `[registry."host"]`
//! table names the host. Loopback passes when a reference names it, as it does for Docker; but nothing on another machine may redirect there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

/// Addresses of metadata services that are not link-local: Azure, Alibaba, Oracle, and AWS over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    Private,
    Loopback,
    Never(&'static str),
}

/// Why a connection is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Errand {
    /// A `[registry]` table names the host.
    Configured,
    /// A reference names the host, or something on loopback led here.
    Named,
    /// Another machine led here.
    Led,
}

/// The addresses on which this process listens. Shared with whoever starts the listeners.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnListeners(Arc<RwLock<Vec<SocketAddr>>>);

impl OwnListeners {
    /// Adds a listener.
    pub(crate) fn add(&self, address: SocketAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    /// Whether `peer` is one of them. `local` is our own end of a connection to it: a listener on every address is reached over any address of this machine, and only an address of
    /// this machine is both ends of one connection.
    fn include(&self, peer: SocketAddr, local: Option<SocketAddr>) -> bool {
        let ip = peer.ip().to_canonical();
        let is_ours = ip.is_loopback() || local.is_some_and(|local| local.ip().to_canonical() == ip);
        let listeners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().any(|listener| {
            let own = listener.ip().to_canonical();
            listener.port() == peer.port() && (own == ip || (own.is_unspecified() && is_ours))
        })
    }
}

/// Checks that a connection to `peer` may be made. Once it is there, ask again with our own end of it, before anything is sent.
///
/// # Errors
///
/// Why not.
pub(super) fn check(peer: SocketAddr, local: Option<SocketAddr>, errand: Errand, own: &OwnListeners) -> Result<(), String> {
    if own.include(peer, local) {
        return Err(format!("{peer} is this host itself"));
    }
    let ip = peer.ip().to_canonical();
    match (reach(ip), errand) {
        (Reach::Public, _) | (Reach::Private, Errand::Configured) | (Reach::Loopback, Errand::Configured | Errand::Named) => Ok(()),
        (Reach::Private, _) => Err(format!("{ip} is in a private network, and no table `[registry.\"…\"]` names the host")),
        (Reach::Loopback, Errand::Led) => Err(format!("{ip} is this machine, and another one led there")),
        (Reach::Never(kind), _) => Err(format!("{ip} is {kind}")),
    }
}

fn reach(ip: IpAddr) -> Reach {
    if METADATA.contains(&ip) {
        return Reach::Never("a metadata service");
    }
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [127, ..] => Reach::Loopback,
        [0, ..] => Reach::Never("no host's address"),
        [169, 254, ..] => Reach::Never("link-local"),
        [224..=255, ..] => Reach::Never("no single host's address"),
        // Private, shared by carriers, IETF's own, and networks for tests, which labs use as private ones.
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if ip.is_loopback() {
        return Reach::Loopback;
    }
    if ip.is_unspecified() {
        return Reach::Never("no host's address");
    }
    let [first, second, third, .., high, low] = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match first {
        0xfe80..=0xfebf => Reach::Never("link-local"),
        0xff00.. => Reach::Never("no single host's address"),
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Reach::Private,
        // Addresses that a gateway turns into IPv4 are judged by that: NAT64, 6to4, and the old compatible form.
        0x0064 if second == 0xff9b => embedded(v4(high, low)),
        0x2002 => embedded(v4(second, third)),
        0 => embedded(v4(high, low)),
        _ => Reach::Public,
    }
}

/// What an IPv6 address is that stands for `ip`. A gateway's loopback is not ours.
fn embedded(ip: Ipv4Addr) -> Reach {
    match reach(IpAddr::V4(ip)) {
        Reach::Loopback => Reach::Never("loopback of a gateway"),
        reach => reach,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_errands(addresses: &[&str], configured: bool, named: bool, led: bool) {
        for address in addresses {
            let peer = SocketAddr::new(address.parse().unwrap(), 443);
            let allowed =
                [Errand::Configured, Errand::Named, Errand::Led].map(|errand| check(peer, None, errand, &OwnListeners::default()).is_ok());
            assert_eq!(allowed, [configured, named, led], "{address}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        check_errands(&["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:8.8.8.8"], true, true, true);
    }

    #[test]
    fn private_addresses_want_a_table_that_names_the_host() {
        let private = [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fd12::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ];
        check_errands(&private, true, false, false);
    }

    #[test]
    fn loopback_passes_unless_another_machine_led_there() {
        check_errands(&["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"], true, true, false);
    }

    #[test]
    fn link_local_and_metadata_addresses_never_pass() {
        let never = [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
        ];
        check_errands(&never, false, false, false);
        check_errands(&["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "64:ff9b::7f00:1"], false, false, false);
    }

    #[test]
    fn the_hosts_own_listeners_never_pass() {
        let own = OwnListeners::default();
        own.add("127.0.0.1:8081".parse().unwrap());
        own.add("0.0.0.0:8080".parse().unwrap());
        let is_refused = |peer: &str, local: Option<&str>| {
            check(peer.parse().unwrap(), local.map(|local| local.parse().unwrap()), Errand::Configured, &own).is_err()
        };
        assert!(is_refused("127.0.0.1:8081", None) && is_refused("[::ffff:127.0.0.1]:8081", None));
        assert!(is_refused("127.0.0.2:8080", None) && is_refused("[::1]:8080", None));
        assert!(is_refused("192.168.1.7:8080", Some("192.168.1.7:50000")), "the machine's own address");
        assert!(!is_refused("192.168.1.8:8080", Some("192.168.1.7:50000")), "a neighbour's");
        assert!(!is_refused("127.0.0.1:5000", None) && !is_refused("127.0.0.2:8081", None));
    }
}

//! The machine's firewall, as far as it stands between containers of one private engine.
//!
//! Where `net.bridge.bridge-nf-call-iptables` is 1, frames that stay on one bridge are held against the rules for forwarded packets, and an engine of the
//! machine's own, or ufw, drops of those what no rule accepts: containers of ours would not reach each other. So each of our engines has two rules
//! while it runs, one for each range of addresses that it uses: what goes from the range to the same range is accepted. They name addresses and
//! not links, since networks are made later; the addresses are nobody else's, see [`crate::bridge`].
//!
//! The other way would be a network namespace for the engine, which no rule of the machine reaches. But the ports that containers publish would
//! be in there too, and the registries on loopback that the engine pulls from would not: `curl http://127.0.0.1:PORT` is the point of
//! `cargo xtask run`, and whoever carries each port across is a part that can break. Two rules cannot.
//!
//! What they cannot do is overrule another table: accepting is final only within one. Where nftables' own rules drop forwarded packets, as firewalld's
//! do, whoever wrote them has to let 198.18.0.0/15 through.

use std::process::Command;

use crate::process::{output, search_path};

/// The accepting rules of one engine. Dropping it removes them.
#[derive(Debug)]
pub(crate) struct Passage {
    /// As `198.18.1.0/24`.
    ranges: Vec<String>,
}

impl Passage {
    /// Accepts what goes from each of `ranges` to itself, unless there is no firewall.
    ///
    /// # Errors
    ///
    /// There is one, and it takes no rule.
    pub(crate) fn open(ranges: Vec<String>) -> anyhow::Result<Passage> {
        let mut passage = Passage { ranges: Vec::new() };
        // Without the program, or with a kernel that has no packet filter, nobody has set a policy by these means either.
        if iptables(&["-S", "FORWARD"]).is_err() {
            return Ok(passage);
        }
        for range in ranges {
            // A run that was killed leaves its rules behind. One of each is enough.
            if iptables(&rule("-C", &range)).is_err() {
                iptables(&rule("-I", &range))?;
            }
            passage.ranges.push(range);
        }
        Ok(passage)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        for range in &self.ranges {
            // Whoever reloads a firewall removes the rules that it does not know.
            let _ = iptables(&rule("-D", range));
        }
    }
}

/// The arguments that do `action` with the rule for `range`.
fn rule<'a>(action: &'a str, range: &'a str) -> [&'a str; 8] {
    [action, "FORWARD", "-s", range, "-d", range, "-j", "ACCEPT"]
}

fn iptables(arguments: &[&str]) -> anyhow::Result<String> {
    // `-w`: an engine that starts at the same time holds the lock for a moment.
    output(Command::new("iptables").arg("-w").args(arguments).env("PATH", search_path(&[])?))
}

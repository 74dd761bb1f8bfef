//! Which of the hosts that share a database are gone. Pure.
//!
//! Each host counts up a number in the database while it lives ([`BEAT`]). Whoever sees a number stand still for [`GONE`], by a clock of its own that never jumps, takes its host for gone. What clocks of different
//! machines show is never compared.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often a host shows that it lives.
pub(crate) const BEAT: Duration = Duration::from_secs(5);

/// How long its number may stand still: a host that hangs on its database for as long as a statement may take is not gone yet.
pub(super) const GONE: Duration = Duration::from_secs(30);

/// What was seen of the other hosts.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// By the host: its number, and since when that is known.
    seen: HashMap<String, (i64, Instant)>,
}

impl Watch {
    /// Looks at the numbers of all hosts, and answers those of hosts that are gone. `own` is this host's name.
    pub(crate) fn look(&mut self, beats: Vec<(String, i64)>, own: &str, now: Instant) -> Vec<(String, i64)> {
        self.seen.retain(|known, _| beats.iter().any(|(holder, _)| holder == known));
        let mut gone = Vec::new();
        for (holder, beat) in beats.into_iter().filter(|(holder, _)| holder != own) {
            let known = self.seen.entry(holder.clone()).or_insert((beat, now));
            if known.0 != beat {
                *known = (beat, now);
            }
            if now.saturating_duration_since(known.1) >= GONE {
                gone.push((holder, beat));
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_whose_number_stands_still_is_gone() {
        let (mut watch, began) = (Watch::default(), Instant::now());
        let mut look = |secs: u64, beats: &[(&str, i64)]| {
            let beats = beats.iter().map(|(holder, beat)| ((*holder).to_owned(), *beat)).collect();
            watch.look(beats, "own", began + Duration::from_secs(secs)).into_iter().map(|(holder, _)| holder).collect::<Vec<_>>()
        };
        assert!(look(0, &[("own", 1), ("a", 1), ("b", 1)]).is_empty());
        assert!(look(29, &[("own", 1), ("a", 1), ("b", 2)]).is_empty());
        assert_eq!(look(30, &[("own", 1), ("a", 1), ("b", 2)]), ["a"], "and never the own one");
        assert!(look(31, &[("a", 2), ("b", 2)]).is_empty(), "it lives after all");
        assert!(look(58, &[("b", 3)]).is_empty());
        assert!(look(60, &[("a", 2), ("b", 3)]).is_empty(), "one that was away meanwhile is looked at anew");
    }
}

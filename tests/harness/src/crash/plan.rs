//! What is recreated, and what happens meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine_proxy::Fault;

/// What is recreated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A running one with a static address, an alias, an anonymous volume and one with a name, which is always restarted.
    Running,
    /// One that was never started.
    Stopped,
    /// One whose network another one uses, which is recreated too.
    Shared,
    /// One that the engine removes when it stops.
    Removed,
    /// One whose new image does not run, so that the old one must come back.
    Bad,
}

/// All kinds.
pub const KINDS: [Kind; 5] = [Kind::Running, Kind::Stopped, Kind::Shared, Kind::Removed, Kind::Bad];

impl Kind {
    /// The container's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Running => "running",
            Kind::Stopped => "stopped",
            Kind::Shared => "shared",
            Kind::Removed => "removed",
            Kind::Bad => "bad",
        }
    }

    /// What this kind is called in a table.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Running => "running, static address, two volumes",
            Kind::Stopped => "never started",
            Kind::Shared => "with a dependent in its network",
            Kind::Removed => "removed by the engine when it stops",
            Kind::Bad => "onto an image that dies",
        }
    }

    /// All containers of this kind.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Kind::Shared => &["shared", "sidecar"],
            Kind::Running => &["running"],
            Kind::Stopped => &["stopped"],
            Kind::Removed => &["removed"],
            Kind::Bad => &["bad"],
        }
    }
}

/// What happens while it is recreated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing.
    None,
    /// The host is killed when the call of this number arrives, or when it is done.
    Kill(usize, Fault),
    /// The host is killed so much later.
    KillAfter(Duration),
    /// The call of this number meets this, and the host goes on.
    Fail(usize, Fault),
    /// The engine stands still for a while when the call of this number arrives.
    Hang(usize),
    /// The engine is started anew when the call of this number arrives.
    Restart(usize),
}

/// One recreation and what happens to it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of what.
    pub kind: Kind,
    /// While it runs.
    pub event: Event,
    /// While another run of the host takes it up, one after another.
    pub replays: Vec<Event>,
}

/// Plans for so many runs: every call of each kind, whose number is in `calls`, at which the host is killed and which fails in every way, and then random ones. With fewer runs than that, some of all of these.
///
/// The last are those in which the engine is started anew, after which most containers do not run.
pub fn plans(calls: &BTreeMap<Kind, usize>, runs: usize) -> Vec<Plan> {
    let all = calls.iter().flat_map(|(kind, calls)| kills(*kind, *calls).into_iter().chain(faults(*kind, *calls)));
    let all: Vec<Plan> = all.collect();
    let restarts = restarts(calls.get(&Kind::Running).copied().unwrap_or_default());
    let systematic = runs.saturating_sub(restarts.len()).min(all.len());
    let chosen = (0..systematic).filter_map(|index| all.get(index * all.len() / systematic.max(1)).cloned());
    let mut plans: Vec<Plan> = chosen.collect();
    let rest = runs.saturating_sub(plans.len() + restarts.len());
    plans.extend((0..rest as u64).map(random));
    plans.extend(restarts.into_iter().take(runs.saturating_sub(plans.len())));
    plans
}

/// The host is killed at each of its calls, before and after it.
fn kills(kind: Kind, calls: usize) -> Vec<Plan> {
    let places = (1..=calls).flat_map(|call| [Fault::KeepCall, Fault::KeepAnswer].map(|fault| Event::Kill(call, fault)));
    places.map(|event| Plan::new(kind, event)).collect()
}

/// Every call fails in every way.
fn faults(kind: Kind, calls: usize) -> Vec<Plan> {
    let ways = [Fault::Refuse, Fault::RefuseAfter, Fault::Cut, Fault::CutAfter];
    let events = (1..=calls).flat_map(|call| ways.map(|fault| Event::Fail(call, fault)).into_iter().chain([Event::Hang(call)]));
    events.map(|event| Plan::new(kind, event)).collect()
}

/// The engine is started anew at each call. Only for the kind that an engine starts again itself.
fn restarts(calls: usize) -> Vec<Plan> {
    (1..=calls).map(|call| Plan::new(Kind::Running, Event::Restart(call))).collect()
}

impl Plan {
    /// One event.
    pub fn new(kind: Kind, event: Event) -> Plan {
        Plan { kind, event, replays: Vec::new() }
    }

    /// With another one when the host has been started again.
    #[must_use]
    pub fn then(mut self, event: Event) -> Plan {
        self.replays.push(event);
        self
    }
}

/// A plan that depends on `seed` alone: killed at a random moment or call, and up to twice more while that is taken up.
fn random(seed: u64) -> Plan {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let kind = KINDS.get(dice.below(5)).copied().unwrap_or(Kind::Running);
    let mut event = |calls: usize, ms: usize| match dice.below(3) {
        0 => Event::Kill(1 + dice.below(calls), Fault::KeepCall),
        1 => Event::Kill(1 + dice.below(calls), Fault::KeepAnswer),
        _ => Event::KillAfter(Duration::from_millis(dice.below(ms) as u64)),
    };
    let first = event(12, 2_000);
    let replays = [event(6, 1_200), event(6, 1_200)];
    let count = dice.below(3);
    Plan { kind, event: first, replays: replays.into_iter().take(count).collect() }
}

/// Random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit.max(1)
    }
}

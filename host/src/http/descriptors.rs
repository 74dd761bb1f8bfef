//! How many files and sockets the process may have open, and how many of them are for clients.
//!
//! Most systems start a process with a low limit, for the sake of programs that use `select`, and let it raise the limit itself. What then may be open is shared: a
//! request may want a connection to the engine for the one to its client, and a host that has no descriptor left can neither read a secret nor write its log.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections of one listener at a time. More than a small site has clients, and as much memory as a small machine can give for them.
const MAX_CONNECTIONS: u64 = 8_192;

/// Descriptors that are for neither clients nor engines: the log, listeners, databases, files that are read for a moment.
const KEPT: u64 = 128;

/// The fewest connections that make sense, however few descriptors there are.
const MIN_CONNECTIONS: u64 = 16;

/// Raises the number of descriptors that may be open as far as the system allows, and answers it. A limit that cannot be raised stays.
pub(crate) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if let Err(error) = &raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    if raised.is_ok() { maximum } else { current }.unwrap_or(u64::MAX)
}

/// How many clients may be connected where `descriptors` may be open: each may need another descriptor for its request.
pub(crate) fn connections(descriptors: u64) -> usize {
    let connections = (descriptors.saturating_sub(KEPT) / 2).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_half_of_the_descriptors_at_most() {
        assert_eq!([0, 256, 1_024, 16_512, u64::MAX].map(connections), [16, 64, 448, 8_192, 8_192]);
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        assert_eq!(Some(raise()), getrlimit(Resource::Nofile).maximum.or(Some(u64::MAX)));
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}

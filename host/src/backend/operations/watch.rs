//! The states of an operation as a stream: the present one, then each change, and the last one.
//!
//! An engine reports each layer many times in a second. Whoever looks gets what is so at the moment, and not more often than anybody can read; what was so in between is left out, but never the end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::time::{Instant, sleep_until};

use super::record::{Moment, Operation};

/// The time between two states.
const PAUSE: Duration = Duration::from_millis(100);

impl Operation {
    /// The states of the operation. The stream ends with its end.
    pub(crate) fn states(self: &Arc<Self>) -> impl Stream<Item = Moment> + Send + 'static {
        let (operation, changes) = (Arc::clone(self), self.changes());
        stream::unfold((operation, changes, None::<Instant>, false), |(operation, mut changes, last, over)| async move {
            if over {
                return None;
            }
            if let Some(last) = last {
                // The sender is in the operation, so that waiting cannot fail.
                let _changed = changes.changed().await;
                sleep_until(last + PAUSE).await;
            }
            changes.borrow_and_update();
            let moment = operation.now();
            let over = moment.outcome.is_some();
            Some((moment, (operation, changes, Some(Instant::now()), over)))
        })
    }
}

//! Long work that the host carries through for plugins. It outlives the request that began it, and the plugin's being swapped.

/// `operations.read`: which operations there are, and how far they are.
///
/// A plugin sees its own operations, and those of other plugins on its engine that concern images which its grant covers. One that has ended can be seen for ten minutes.
pub mod operations_read {
    use serde::de::DeserializeOwned;

    use super::super::{Error, details, only};
    use crate::host::with;
    use crate::stream::ByteStream;

    /// How far an operation is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum OperationState {
        /// Under way.
        Running,
        /// Done.
        Succeeded,
        /// Not done; [`Operation::failure`] says why.
        Failed,
        /// Ended by its owner, or because the host was stopped.
        Cancelled,
    }

    /// An operation.
    #[derive(Debug, Clone)]
    pub struct Operation {
        /// Its id, which no other operation has or had.
        pub id: String,
        /// What is done: `pull`, `build`. Other words will follow.
        pub kind: String,
        /// What it is done to: of a pull the full reference, `docker.io/library/redis:7`; of a build the first name of the image, in full.
        pub subject: String,
        /// Whether this plugin began it.
        pub owned: bool,
        /// How far it is.
        pub state: OperationState,
        /// How much is done, 0 to 100; none as long as nobody can tell. It never goes back.
        pub percent: Option<u8>,
        /// When it began, in milliseconds since 1970 (UTC).
        pub began_ms: u64,
        /// When it ended; none while it is under way.
        pub ended_ms: Option<u64>,
        /// Why it failed.
        pub failure: Option<Error>,
        /// All of this and what the kind has beside it, as JSON text; the contract (`wit/docker`) has the fields.
        pub json: String,
    }

    impl Operation {
        /// Reads [`Operation::json`].
        ///
        /// # Errors
        ///
        /// [`Error::Internal`] when it is not of the shape of `T`.
        pub fn details<T: DeserializeOwned>(&self) -> Result<T, Error> {
            details(&self.json)
        }

        /// Whether it is under way.
        #[must_use]
        pub fn is_running(&self) -> bool {
            self.state == OperationState::Running
        }
    }

    /// How [`watch`] writes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ProgressFormat {
        /// Each state as the line of its JSON: `application/jsonl`.
        JsonLines,
        /// Each as an event with the JSON as its data, named after the state: `text/event-stream`.
        ServerSentEvents,
    }

    /// Lists the operations, the newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`].
    pub fn list() -> Result<Vec<Operation>, Error> {
        with(|host| host.operations_list())
    }

    /// Answers many operations by id, in the order of `ids`.
    ///
    /// # Errors
    ///
    /// Of each: [`Error::Denied`], [`Error::NotFound`].
    #[must_use]
    pub fn get(ids: &[String]) -> Vec<Result<Operation, Error>> {
        with(|host| host.operations_get(ids))
    }

    /// Answers one operation.
    ///
    /// # Errors
    ///
    /// As [`get`].
    pub fn get_one(id: &str) -> Result<Operation, Error> {
        only(get(&[id.to_owned()]))
    }

    /// Waits until the operation has ended, and answers it. Waiting does not count against the request's deadline.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Timeout`].
    pub fn wait(id: &str) -> Result<Operation, Error> {
        with(|host| host.operation_wait(id))
    }

    /// What the engine has said of a build so far, and what it says until its end, as lines of text to be answered unread. The last 1 MiB is kept. Empty for operations of other kinds.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`].
    pub fn log(id: &str) -> Result<ByteStream, Error> {
        with(|host| host.operation_log(id))
    }

    /// The states of the operation as a stream to be answered unread: the present one, then each change, and the last one, with which it ends.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`].
    pub fn watch(id: &str, format: ProgressFormat) -> Result<ByteStream, Error> {
        with(|host| host.operation_watch(id, format))
    }
}

/// `operations.cancel`: ending operations before they are done.
pub mod operations_cancel {
    use super::super::Error;
    use crate::host::with;

    /// Ends an operation that this plugin began. A pull that others wait for goes on for them. Succeeds if it has ended already.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] for an operation of another plugin, [`Error::NotFound`].
    pub fn cancel(id: &str) -> Result<(), Error> {
        with(|host| host.operation_cancel(id))
    }
}

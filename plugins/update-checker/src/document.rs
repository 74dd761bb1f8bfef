//! Documents: values of the host's storage that several instances, and several hosts, read and change at the same time.
//!
//! A document is one JSON text. A change is made to what was read and is kept only if nobody else was faster; else it is made again. So none is lost, and nothing is half written.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wharf_sdk::Error;
use wharf_sdk::storage::{conflict, keyvalue};

/// How often a change is tried while others change the same document.
const TRIES: usize = 50;

/// What is kept under a key of its own. What is not there is the default.
pub(crate) trait Document: Serialize + DeserializeOwned + Default {
    const KEY: &'static str;

    fn read() -> Result<Self, Error> {
        parse(keyvalue::get(Self::KEY)?.as_deref())
    }

    /// Changes it by `change`, which may be called more than once, and answers what that answered last. What stays the same is not written.
    fn change<R>(mut change: impl FnMut(&mut Self) -> R) -> Result<R, Error> {
        for _ in 0..TRIES {
            let before = keyvalue::get(Self::KEY)?;
            let mut document: Self = parse(before.as_deref())?;
            let answer = change(&mut document);
            let after = text(&document)?;
            if before.as_deref() == Some(&after) {
                return Ok(answer);
            }
            match keyvalue::compare_and_set(Self::KEY, before.as_deref(), Some(&after)) {
                Ok(()) => return Ok(answer),
                Err(error) if conflict(&error).is_some_and(|(word, _)| word == "changed") => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable(format!("`{}` was changed by others {TRIES} times in a row", Self::KEY)))
    }
}

/// Reads two documents in one call.
pub(crate) fn read_both<A: Document, B: Document>() -> Result<(A, B), Error> {
    let mut found = keyvalue::get_all(&[A::KEY, B::KEY])?.into_iter();
    let mut next = || found.next().flatten();
    Ok((parse(next().as_deref())?, parse(next().as_deref())?))
}

/// Reads three documents in one call.
pub(crate) fn read_three<A: Document, B: Document, C: Document>() -> Result<(A, B, C), Error> {
    let mut found = keyvalue::get_all(&[A::KEY, B::KEY, C::KEY])?.into_iter();
    let mut next = || found.next().flatten();
    Ok((parse(next().as_deref())?, parse(next().as_deref())?, parse(next().as_deref())?))
}

fn parse<T: Document>(text: Option<&[u8]>) -> Result<T, Error> {
    let Some(text) = text else { return Ok(T::default()) };
    serde_json::from_slice(text).map_err(|error| Error::Internal(format!("`{}` in the plugin's storage cannot be read: {error}", T::KEY)))
}

fn text(document: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(document).map_err(|error| Error::Internal(format!("a document cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use wharf_sdk::fake::Host;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Numbers(Vec<u32>);

    impl Document for Numbers {
        const KEY: &'static str = "numbers";
    }

    #[test]
    fn a_document_is_changed_and_read() {
        let host = Host::install();
        assert_eq!(Numbers::read(), Ok(Numbers::default()));
        assert_eq!(Numbers::change(|numbers| numbers.0.push(1)), Ok(()));
        assert_eq!(Numbers::change(|numbers| numbers.0.len()), Ok(1));
        assert_eq!(Numbers::read(), Ok(Numbers(vec![1])));
        assert_eq!(host.calls_of("storage.keyvalue.compare-and-set"), ["numbers"], "what stays the same is not written");
    }

    #[test]
    fn a_change_is_made_again_if_somebody_was_faster() {
        let _host = Host::install();
        let mut tries = 0;
        let changed = Numbers::change(|numbers| {
            tries += 1;
            if tries < 3 {
                keyvalue::set("numbers", format!("[{tries}]").as_bytes()).unwrap();
            }
            numbers.0.push(7);
        });
        assert_eq!((changed, tries, Numbers::read()), (Ok(()), 3, Ok(Numbers(vec![2, 7]))));
    }

    #[test]
    fn what_cannot_be_read_is_not_written_over() {
        let _host = Host::install();
        keyvalue::set("numbers", b"[").unwrap();
        assert!(matches!(Numbers::read(), Err(Error::Internal(_))));
        assert!(Numbers::change(|numbers| numbers.0.push(1)).is_err());
        assert_eq!(keyvalue::get("numbers"), Ok(Some(b"[".to_vec())));
    }
}

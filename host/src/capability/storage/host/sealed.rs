//! Sealing and opening texts.

use super::super::error::Failure;
use super::super::grant::Power;
use super::super::{MAX_SEALED_BYTES, StorageCtxView};
use crate::bindings::wharf::storage::sealed;
use crate::bindings::wharf::storage::types::Error;

/// What sealing adds at most; more cannot have been sealed here.
const SEAL_BYTES: usize = 128;

impl sealed::Host for StorageCtxView<'_> {
    async fn seal(&mut self, plain: Vec<u8>) -> Result<Vec<u8>, Error> {
        const FUNCTION: &str = "storage.sealed.seal";
        let sealed = async {
            self.enter(FUNCTION, Power::Sealed)?;
            if plain.len() > MAX_SEALED_BYTES {
                return Err(Failure::Invalid(format!("{} bytes to seal, at most {MAX_SEALED_BYTES}", plain.len())));
            }
            Ok(self.room.seals.seal(&self.room.owner, &plain).await?)
        };
        sealed.await.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn open(&mut self, sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
        const FUNCTION: &str = "storage.sealed.open";
        let opened = async {
            self.enter(FUNCTION, Power::Sealed)?;
            if sealed.len() > MAX_SEALED_BYTES + SEAL_BYTES {
                return Err(Failure::Invalid("it is longer than anything that is sealed here".to_owned()));
            }
            Ok(self.room.seals.open(&self.room.owner, &sealed).await?)
        };
        opened.await.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

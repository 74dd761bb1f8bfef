//! The functions of `wharf:storage`, one file for each interface, and the steps that they share.
//!
//! A function is: `enter` (count, power), check the arguments against their limits, ask. Its failure becomes the plugin's word in one place, [`Failure::answer`].

use std::sync::Arc;

use super::StorageCtxView;
use super::error::Failure;
use super::grant::Power;
use crate::backend::database::Space;
use crate::bindings::wharf::storage::types;

mod blobs;
mod keyvalue;
mod sealed;
mod sql;

impl types::Host for StorageCtxView<'_> {}

impl StorageCtxView<'_> {
    /// Counts the call and checks that its power was granted.
    fn enter(&mut self, function: &'static str, power: Power) -> Result<(), Failure> {
        self.call.begin(function)?;
        Ok(self.room.grant.power(power)?)
    }

    /// As [`Self::enter`], and the plugin's space.
    fn space(&mut self, function: &'static str, power: Power) -> Result<Arc<dyn Space>, Failure> {
        self.enter(function, power)?;
        let space = self.room.space.as_ref().ok_or_else(|| Failure::Internal("the plugin has no space".to_owned()))?;
        Ok(Arc::clone(space))
    }
}

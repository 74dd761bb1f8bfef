//! How many bytes a space holds, and how many are on their way into it.
//!
//! What is being written counts from its first byte on, so that many writers together cannot exceed what one of them may not. One that takes the place of another counts beside it until it has: both are there.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::BlobError;

/// The bytes of one space.
#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    stored: u64,
    being_written: u64,
}

impl Usage {
    /// Says how many bytes are stored, from a count of all blobs.
    pub(super) fn counted(&self, stored: u64) {
        self.bytes().stored = stored;
    }

    /// So many bytes were deleted.
    pub(super) fn deleted(&self, bytes: u64) {
        let mut all = self.bytes();
        all.stored = all.stored.saturating_sub(bytes);
    }

    /// A blob of which nothing was written yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { usage: Arc::clone(self), bytes: 0 }
    }

    fn bytes(&self) -> std::sync::MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a blob that is being written takes of its space. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    usage: Arc<Usage>,
    bytes: u64,
}

impl Share {
    /// Takes `bytes` more, of a space that may hold `limit_bytes`.
    ///
    /// # Errors
    ///
    /// [`BlobError::QuotaExceeded`]; nothing is taken then.
    pub(super) fn grow(&mut self, bytes: u64, limit_bytes: u64) -> Result<(), BlobError> {
        let mut all = self.usage.bytes();
        if all.stored.saturating_add(all.being_written).saturating_add(bytes) > limit_bytes {
            return Err(BlobError::QuotaExceeded);
        }
        all.being_written += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// The blob is stored, and has taken the place of one of `replaced` bytes.
    pub(super) fn stored(mut self, replaced: u64) {
        let written = std::mem::take(&mut self.bytes);
        let mut all = self.usage.bytes();
        all.being_written -= written;
        all.stored = (all.stored + written).saturating_sub(replaced);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.usage.bytes().being_written -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_share_one_limit() {
        let usage = Arc::new(Usage::default());
        usage.counted(50);
        let (mut one, mut other) = (usage.share(), usage.share());
        assert_eq!(one.grow(30, 100), Ok(()));
        assert_eq!(other.grow(21, 100), Err(BlobError::QuotaExceeded));
        assert_eq!(other.grow(20, 100), Ok(()));
        drop(one);
        assert_eq!(other.grow(30, 100), Ok(()));
        other.stored(50);
        let mut third = usage.share();
        assert_eq!(third.grow(51, 100), Err(BlobError::QuotaExceeded), "50 were replaced by 50");
        assert_eq!(third.grow(50, 100), Ok(()));
        usage.deleted(50);
        assert_eq!(third.grow(50, 100), Ok(()));
        assert_eq!(third.grow(u64::MAX, u64::MAX - 1), Err(BlobError::QuotaExceeded));
    }
}

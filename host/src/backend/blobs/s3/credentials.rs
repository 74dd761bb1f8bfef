//! In whose name S3 is asked: the secret is read where the configuration says that it is, so that it can be changed under a running host.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use crate::backend::secret;
use crate::settings::S3Keys;

/// How long a secret is used that was read. A blob in parts is many requests.
const KEPT: Duration = Duration::from_secs(60);

/// Reads the keys.
pub(super) struct Keys {
    keys: S3Keys,
    read: Mutex<Option<(Arc<AwsCredential>, Instant)>>,
}

impl Keys {
    pub(super) fn new(keys: S3Keys) -> Keys {
        Keys { keys, read: Mutex::default() }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Keys").field(&self.keys.access_key_id).finish()
    }
}

#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut read = self.read.lock().await;
        if let Some((credential, since)) = read.as_ref()
            && since.elapsed() < KEPT
        {
            return Ok(Arc::clone(credential));
        }
        let secret = secret::read(&self.keys.secret_access_key).await;
        let secret_key = secret.map_err(|reason| object_store::Error::Generic { store: "S3", source: reason.into() })?;
        let credential = Arc::new(AwsCredential { key_id: self.keys.access_key_id.clone(), secret_key, token: None });
        *read = Some((Arc::clone(&credential), Instant::now()));
        Ok(credential)
    }
}

//! Messages to webhooks: signed by the rules of Standard Webhooks 1.0, and sent to the address that the operator wrote.
//!
//! `webhook-id` is the job's id and the same for each attempt, so that a receiver can tell a repetition; `webhook-timestamp` is the attempt's, which a receiver holds against its clock; `webhook-signature` is
//! `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. The secret is base64, with or without the prefix `whsec_`, and is read for each attempt, so that it may be replaced under a running host.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use sha2_of_hkdf::Sha256;
use url::Url;

use super::{Content, Ended, Job};
use crate::backend::clock::now_ms;
use crate::backend::registry::{DocumentError, Outgoing, Registries};
use crate::backend::secret;
use crate::settings::SecretSource;

/// How long a receiver may take. It should take the message and work later.
const LIMIT: Duration = Duration::from_secs(20);

/// The longest time that a receiver may ask to be left alone for.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// The shortest secret, in bytes, by the rules of Standard Webhooks.
const MIN_SECRET_BYTES: usize = 24;

/// One webhook of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Webhook {
    /// Where its messages go. The operator wrote it, so that its server may be in a private network and without encryption.
    pub(crate) url: Url,
    /// What they are signed with; none: they are not.
    pub(crate) secret: Option<SecretSource>,
}

/// Sends the message that `job` is to `webhook`, once.
pub(crate) async fn send(registries: &Registries, webhook: &Webhook, job: &Job, content: Content) -> Ended {
    let headers = match headers(webhook, &job.id, now_ms() / 1_000, &content).await {
        Ok(headers) => headers,
        Err(reason) => return Ended::Again(reason, None),
    };
    let outgoing = Outgoing { url: webhook.url.clone(), headers, body: content.payload.into(), limit: LIMIT };
    match registries.post(outgoing).await {
        Ok(_) => Ended::Succeeded,
        Err(DocumentError::Status(complaint)) if complaint.status == StatusCode::GONE.as_u16() => {
            Ended::Never("the receiver says that it is gone: status 410".to_owned())
        }
        Err(error) => Ended::Again(error.to_string(), error.retry_after().map(|after| after.min(LONGEST_WAIT))),
    }
}

async fn headers(webhook: &Webhook, id: &str, timestamp: u64, content: &Content) -> Result<HeaderMap, String> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "a field has characters that HTTP forbids".to_owned());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, value(content.content_type.as_deref().unwrap_or("application/octet-stream"))?);
    headers.insert(HeaderName::from_static("webhook-id"), value(id)?);
    headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(timestamp));
    if let Some(source) = &webhook.secret {
        let key = key(&secret::read(source).await?)?;
        headers.insert(HeaderName::from_static("webhook-signature"), value(&signature(&key, id, timestamp, &content.payload)?)?);
    }
    Ok(headers)
}

/// The bytes of a secret.
fn key(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let key = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).map_err(|_| "the webhook's secret is no base64".to_owned())?;
    if key.len() < MIN_SECRET_BYTES {
        return Err(format!("the webhook's secret has {} bytes, at least {MIN_SECRET_BYTES}", key.len()));
    }
    Ok(key)
}

fn signature(key: &[u8], id: &str, timestamp: u64, body: &[u8]) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_the_standard_shows() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_base64_and_long_enough() {
        assert!(key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").is_ok());
        assert_eq!(key("whsec_no base64!").unwrap_err(), "the webhook's secret is no base64");
        assert_eq!(key("c2hvcnQ=").unwrap_err(), "the webhook's secret has 5 bytes, at least 24");
    }
}

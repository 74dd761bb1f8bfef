//! `/remote-digests/{image}`: the digest that a registry has for a reference, which clients look for among the `digests` of the local image.
//!
//! The host asks the registry itself, by a request that registries do not count as a pull. The engine, which this API's clients were used to, fetches a manifest for the same answer, and is asked
//! only where its way may lead further: it may trust a registry, or have a mirror or a proxy, of which the host knows nothing.

use wharf_sdk::docker::distribution_read;
use wharf_sdk::registry::{Error, digests_read, problem};
use wharf_sdk::tracing::info;
use wharf_sdk::{Request, Response};

use crate::failure::Failure;
use crate::images::reference;

/// `GET /remote-digests/{image}`. Every failure is a 500, that of an unknown image too.
pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let image = reference(request);
    let digest = digest(&image).map_err(Failure::Engine)?;
    Ok(Response::json(&serde_json::json!({"digest": digest})))
}

fn digest(image: &str) -> Result<String, Error> {
    let asked = digests_read::heads(&[image.to_owned()]).into_iter().next().unwrap_or(Err(Error::NotFound));
    match asked {
        Ok(head) => Ok(head.digest),
        Err(error) if !engine_may_know(&error) => Err(error),
        Err(error) => {
            info!(image, %error, "no digest from the registry, asking the engine");
            Ok(distribution_read::inspect_one(image)?.digest)
        }
    }
}

/// Whether the engine may have an answer after `error`. It would hear the same of a name that does not exist, and asking it would use up more of a limit that is used up.
fn engine_may_know(error: &Error) -> bool {
    !matches!(error, Error::NotFound | Error::Invalid(_)) && problem(error) != Some("rate-limited")
}

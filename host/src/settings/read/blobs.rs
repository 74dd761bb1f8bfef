//! `blobs` of `[storage]` and `[storage.s3]`: a folder, or a bucket and how it is reached.

use url::Url;

use super::secret;
use crate::backend::blobs::BlobName;
use crate::settings::location::Located;
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::{BlobPlace, S3Keys, S3Settings};

/// The region that S3 itself has when none is said, and that what speaks its protocol takes for its own.
const REGION: &str = "us-east-1";
/// The longest prefix, in bytes: S3's keys have 1024, of which the longest names of a site, a plugin and a blob leave this and more.
const MAX_PREFIX_BYTES: usize = 256;

/// Reads `blobs` and `s3`. None if neither says anything.
pub(super) fn read(section: &mut Section<'_>) -> Option<BlobPlace> {
    let place = section.string("blobs");
    let bucket = place.as_ref().and_then(|place| place.value.strip_prefix("s3://"));
    let s3 = section.section("s3").map(|mut s3| {
        let at = s3.at();
        (read_s3(&mut s3), at)
    });
    match (&place, bucket) {
        (Some(place), Some(bucket)) => {
            let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
            let place = Located { value: place.value.clone(), at: place.at.clone() };
            let (bucket, prefix) = (check_bucket(section, &place, bucket)?, check_prefix(section, &place, prefix)?);
            let s3 = s3.map_or_else(ReadS3::default, |(s3, _)| s3);
            Some(BlobPlace::S3(S3Settings {
                bucket,
                prefix,
                endpoint: s3.endpoint,
                region: s3.region.unwrap_or_else(|| REGION.to_owned()),
                keys: s3.keys,
                ca_file: s3.ca_file,
            }))
        }
        (place, _) => {
            if let Some((_, at)) = s3 {
                let remedy = "add `blobs = \"s3://BUCKET\"` to `[storage]`, or take the table out".to_owned();
                section.mistake(&at, "`[storage.s3]`, and blobs are not kept there", Some(remedy));
            }
            let place = place.as_ref()?;
            if place.value.is_empty() || place.value.contains("://") {
                let remedy = "write the path of a folder, or `s3://BUCKET/PREFIX`".to_owned();
                section.mistake(&place.at, format!("`blobs`: {} is no place for blobs", quoted(&place.value)), Some(remedy));
                return None;
            }
            Some(BlobPlace::Directory(section.resolve(&place.value)))
        }
    }
}

/// `[storage.s3]`.
#[derive(Default)]
struct ReadS3 {
    endpoint: Option<String>,
    region: Option<String>,
    keys: Option<S3Keys>,
    ca_file: Option<std::path::PathBuf>,
}

fn read_s3(section: &mut Section<'_>) -> ReadS3 {
    let endpoint = section.string("endpoint").and_then(|endpoint| check_endpoint(section, &endpoint));
    let region = section.string("region").and_then(|region| check_region(section, region));
    let access_key_id = section.string("access_key_id");
    let secret_access_key = section.has("secret_access_key").then(|| secret::at(section, "secret_access_key")).flatten();
    if section.has("access_key_id") != section.has("secret_access_key") {
        let (there, missing, remedy) = if section.has("access_key_id") {
            ("access_key_id", "secret_access_key", "add `secret_access_key = { secret_file = \"path\" }`")
        } else {
            ("secret_access_key", "access_key_id", "add `access_key_id = \"…\"`")
        };
        section.mistake(&section.at(), format!("`{there}` without `{missing}`"), Some(remedy.to_owned()));
    }
    let keys = access_key_id.zip(secret_access_key);
    let keys = keys.map(|(id, secret_access_key)| S3Keys { access_key_id: id.value, secret_access_key });
    let ca_file = section.string("ca_file").and_then(|path| {
        if path.value.is_empty() {
            section.mistake(&path.at, "`ca_file` is empty", Some("write the path of a file".to_owned()));
            return None;
        }
        Some(section.resolve(&path.value))
    });
    ReadS3 { endpoint, region, keys, ca_file }
}

fn check_bucket(section: &Section<'_>, place: &Located<String>, bucket: &str) -> Option<String> {
    let letters = bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if letters && (3..=63).contains(&bucket.len()) && !bucket.contains("..") {
        return Some(bucket.to_owned());
    }
    let remedy = "a bucket has 3 to 63 letters, digits, `-` and `.`: `s3://wharf-blobs/plant-a`".to_owned();
    section.mistake(&place.at, format!("`blobs`: {} names no bucket", quoted(&place.value)), Some(remedy));
    None
}

fn check_prefix(section: &Section<'_>, place: &Located<String>, prefix: &str) -> Option<String> {
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() || (prefix.len() <= MAX_PREFIX_BYTES && BlobName::parse(prefix).is_ok()) {
        return Some(prefix.to_owned());
    }
    let remedy = format!("a prefix has at most {MAX_PREFIX_BYTES} bytes, and no part that is empty, `.` or `..`");
    section.mistake(&place.at, format!("`blobs`: {} has a prefix that cannot be", quoted(&place.value)), Some(remedy));
    None
}

fn check_endpoint(section: &Section<'_>, endpoint: &Located<String>) -> Option<String> {
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    if Url::parse(&endpoint.value).is_ok_and(|url| is_plain(&url)) {
        return Some(endpoint.value.trim_end_matches('/').to_owned());
    }
    // Somebody may have put a password into it, so that it is not shown.
    let remedy = "write `https://s3.plant.example`, without the bucket and without a name and a password".to_owned();
    section.mistake(&endpoint.at, "`endpoint` is not the URL of a server", Some(remedy));
    None
}

fn check_region(section: &Section<'_>, region: Located<String>) -> Option<String> {
    if !region.value.is_empty() && region.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Some(region.value);
    }
    let remedy = format!("write its name, such as `{REGION}`");
    section.mistake(&region.at, format!("`region`: {} is none", quoted(&region.value)), Some(remedy));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SecretSource;
    use crate::settings::section::read_for_test;

    #[test]
    fn a_bucket_comes_with_its_endpoint_and_keys() {
        let text = "blobs = \"s3://wharf-blobs/plants/a/\"\n[s3]\nendpoint = \"https://s3.plant.example/\"\nregion = \"eu-1\"\n\
                    access_key_id = \"wharf\"\nsecret_access_key = { secret_env = \"S3_SECRET\" }";
        let (place, mistakes) = read_for_test(text, read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let keys = S3Keys { access_key_id: "wharf".to_owned(), secret_access_key: SecretSource::Env("S3_SECRET".to_owned()) };
        let expected = S3Settings {
            bucket: "wharf-blobs".to_owned(),
            prefix: "plants/a".to_owned(),
            endpoint: Some("https://s3.plant.example".to_owned()),
            region: "eu-1".to_owned(),
            keys: Some(keys),
            ca_file: None,
        };
        assert_eq!(place, Some(BlobPlace::S3(expected)));
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        assert_eq!(read_for_test("", read).0, None);
        let (place, mistakes) = read_for_test("blobs = \"s3://wharf-blobs\"", read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let Some(BlobPlace::S3(s3)) = place else { panic!("{place:?}") };
        assert_eq!((s3.prefix.as_str(), s3.region.as_str(), s3.endpoint, s3.keys), ("", REGION, None, None));
        let (place, _) = read_for_test("blobs = \"/srv/blobs\"", read);
        assert_eq!(place, Some(BlobPlace::Directory("/srv/blobs".into())));
    }

    #[track_caller]
    fn check_mistake(text: &str, expected: &str) {
        let (_, mistakes) = read_for_test(text, read);
        assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{text}: {mistakes:?}");
    }

    #[test]
    fn what_cannot_be_is_reported() {
        check_mistake("blobs = \"\"", "is no place for blobs");
        check_mistake("blobs = \"gs://bucket\"", "is no place for blobs");
        check_mistake("blobs = \"s3://\"", "names no bucket");
        check_mistake("blobs = \"s3:///prefix\"", "names no bucket");
        check_mistake("blobs = \"s3://bucket?x=y\"", "names no bucket");
        check_mistake("blobs = \"s3://bucket/../other\"", "has a prefix that cannot be");
        check_mistake("blobs = \"s3://bucket//a\"", "has a prefix that cannot be");
        check_mistake("[s3]\nregion = \"eu-1\"", "blobs are not kept there");
        check_mistake("blobs = \"s3://bucket\"\n[s3]\nregion = \"\"", "`region`");
        check_mistake("blobs = \"s3://bucket\"\n[s3]\nendpoint = \"s3.example\"", "`endpoint` is not the URL of a server");
        check_mistake(
            "blobs = \"s3://bucket\"\n[s3]\nendpoint = \"https://me:secret@s3.example\"",
            "`endpoint` is not the URL of a server",
        );
        check_mistake("blobs = \"s3://bucket\"\n[s3]\naccess_key_id = \"me\"", "`access_key_id` without `secret_access_key`");
        check_mistake(
            "blobs = \"s3://bucket\"\n[s3]\naccess_key_id = \"me\"\nsecret_access_key = \"me\"",
            "expected where a secret is kept",
        );
        check_mistake("blobs = \"s3://bucket\"\n[s3]\nkey = \"me\"", "key");
    }
}

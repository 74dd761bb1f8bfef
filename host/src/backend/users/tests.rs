//! What every database of users does, and what a site makes of it.

use std::sync::Arc;
use std::time::Duration;

use super::sqlite::SqliteUsers;
use super::testing::{BEGINNING_MS, TestSite, password_of};
use super::*;

/// A session of `user` whose key is `key`.
fn credential(key: u8, user: u64, expires_ms: u64) -> Credential {
    Credential { key: Sha256Key([key; 32]), purpose: Purpose::Session, user, stamp: [7; 16], began_ms: 1, expires_ms }
}

fn sqlite() -> (tempfile::TempDir, SqliteUsers) {
    let folder = tempfile::tempdir().unwrap();
    let users = SqliteUsers::open(&folder.path().join("storage/plant/identity.db")).unwrap();
    (folder, users)
}

/// Users come, change and go; numbers do not come again.
async fn check_users(users: &dyn Users) {
    let (first, second) = (Hashed::cheap("first"), Hashed::cheap("second"));
    assert_eq!((users.any().await, users.all().await), (Ok(false), Ok(Vec::new())));
    let configured = users.adopt("conf").await.unwrap();
    assert_eq!((&configured.password_hash, users.any().await), (&None, Ok(false)), "a name alone is no user");
    assert_eq!(users.adopt("conf").await, Ok(configured.clone()));
    let roles = ["admin".to_owned(), "é\"'".to_owned()];
    let ann = users.add("ann", &first, &roles).await.unwrap().unwrap();
    assert!(ann > configured.id && users.any().await.unwrap());
    assert_eq!(users.add("ann", &second, &[]).await, Ok(None), "the name is taken");
    let row = UserRow { id: ann, name: "ann".to_owned(), password_hash: Some(first.clone()), roles: roles.to_vec() };
    assert_eq!(users.by_name("ann").await, Ok(Some(row.clone())));
    assert_eq!(users.by_ids(&[ann, 99, u64::MAX, ann]).await, Ok(vec![row.clone()]));
    assert_eq!(users.by_name("' OR 1=1 --").await, Ok(None));
    assert_eq!(users.set_password("ann", &second).await, Ok(true));
    assert_eq!((users.set_password("bob", &second).await, users.set_password("conf", &second).await), (Ok(false), Ok(false)));
    assert_eq!(users.by_name("ann").await.unwrap().unwrap().password_hash, Some(second.clone()));
    assert_eq!(users.remove("ann", true).await, Ok(Removed::Last));
    assert_eq!((users.remove("bob", false).await, users.remove("conf", false).await), (Ok(Removed::Unknown), Ok(Removed::Unknown)));
    let bob = users.add("bob", &first, &[]).await.unwrap().unwrap();
    assert_eq!(users.remove("bob", true).await, Ok(Removed::Done));
    let other_bob = users.add("bob", &first, &[]).await.unwrap().unwrap();
    assert!(other_bob > bob, "another person");
    let was_configured = users.add("conf", &first, &[]).await.unwrap().unwrap();
    assert!(was_configured > other_bob, "another person too");
    let ids: Vec<u64> = users.all().await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(ids, [ann, other_bob, was_configured]);
}

/// Sessions and tokens begin, last and end.
async fn check_credentials(users: &dyn Users) {
    let ann = users.add("ann", &Hashed::cheap("x"), &[]).await.unwrap().unwrap();
    let of_kind = |key, kind: &str| Credential { purpose: Purpose::Token(kind.to_owned()), ..credential(key, ann, 200) };
    assert_eq!(users.issue(&[credential(1, ann, 100), of_kind(2, "access")], 1).await, Ok(true));
    let (found, row) = users.find(&Sha256Key([1; 32]), 99).await.unwrap().unwrap();
    assert_eq!((found, row.id), (credential(1, ann, 100), ann));
    assert_eq!(users.find(&Sha256Key([2; 32]), 99).await.unwrap().unwrap().0, of_kind(2, "access"));
    assert_eq!((users.find(&Sha256Key([1; 32]), 100).await, users.find(&Sha256Key([3; 32]), 1).await), (Ok(None), Ok(None)));
    assert_eq!(users.put_off(&Sha256Key([1; 32]), 300, 99).await, Ok(true));
    assert!(users.find(&Sha256Key([1; 32]), 299).await.unwrap().is_some());
    assert_eq!(users.put_off(&Sha256Key([1; 32]), 900, 300).await, Ok(false), "what has expired is over");
    assert_eq!((users.end(&Sha256Key([1; 32])).await, users.end(&Sha256Key([1; 32])).await), (Ok(true), Ok(false)));
    assert_eq!(users.find(&Sha256Key([1; 32]), 1).await, Ok(None));
    assert_eq!(users.issue(&[credential(4, ann, 900)], 200).await, Ok(true));
    assert_eq!(users.end(&Sha256Key([2; 32])).await, Ok(false), "it had expired and was swept");
    assert_eq!(users.remove("ann", false).await, Ok(Removed::Done));
    assert_eq!(users.find(&Sha256Key([4; 32]), 1).await, Ok(None));
    assert_eq!(users.issue(&[credential(5, ann, 900)], 1).await, Ok(false), "nothing for who is gone");
    assert_eq!(users.issue(&[], 1).await, Ok(true));
}

/// Nobody fills the disk with tokens.
async fn check_bound(users: &dyn Users) {
    let ann = users.add("ann", &Hashed::cheap("x"), &[]).await.unwrap().unwrap();
    let many = |from: usize, to: usize| -> Vec<Credential> {
        let key = |number: usize| Sha256Key(std::array::from_fn(|index| number.to_be_bytes().get(index).copied().unwrap_or(1)));
        (from..to).map(|number| Credential { key: key(number), ..credential(0, ann, 1_000 + number as u64) }).collect()
    };
    assert_eq!(users.issue(&many(0, MAX_CREDENTIALS), 1).await, Ok(true));
    let further = many(MAX_CREDENTIALS, MAX_CREDENTIALS + 3);
    assert_eq!(users.issue(&further, 1).await, Ok(true));
    let is_there = |credential: &Credential| {
        let key = credential.key;
        async move { users.find(&key, 1).await.unwrap().is_some() }
    };
    assert!(is_there(&further[2]).await && is_there(&many(3, 4)[0]).await);
    assert!(!is_there(&many(2, 3)[0]).await, "the ones that would have ended first have made way");
}

#[tokio::test]
async fn users_in_sqlite_come_and_go() {
    check_users(&sqlite().1).await;
}

#[tokio::test]
async fn credentials_in_sqlite_begin_and_end() {
    check_credentials(&sqlite().1).await;
}

#[tokio::test]
async fn credentials_in_sqlite_have_a_bound() {
    check_bound(&sqlite().1).await;
}

#[tokio::test]
async fn what_sqlite_has_is_its_owners_alone_and_still_there_when_it_is_opened_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, users) = sqlite();
    let ann = users.add("ann", &Hashed::cheap("x"), &[]).await.unwrap();
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("storage"), mode("storage/plant"), mode("storage/plant/identity.db")), (0o700, 0o700, 0o600));
    let again = SqliteUsers::open(&folder.path().join("storage/plant/identity.db")).unwrap();
    assert_eq!(again.by_name("ann").await.unwrap().map(|row| row.id), ann);
}

#[tokio::test]
async fn many_use_one_database_at_once() {
    let (folder, users) = sqlite();
    let other = SqliteUsers::open(&folder.path().join("storage/plant/identity.db")).unwrap();
    let ann = users.add("ann", &Hashed::cheap("x"), &[]).await.unwrap().unwrap();
    let rounds = (0..20_u8).map(|key| {
        let (one, two) = (users.clone(), other.clone());
        async move {
            one.issue(&[credential(key, ann, 100)], 1).await.unwrap();
            assert!(two.end(&Sha256Key([key; 32])).await.unwrap());
            assert_eq!(one.find(&Sha256Key([key; 32]), 1).await, Ok(None));
        }
    });
    futures_util::future::join_all(rounds).await;
}

#[test]
fn a_file_that_cannot_be_used_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.db");
    std::fs::write(&path, "this is a letter and no database, though it is long enough to be taken for one".repeat(20)).unwrap();
    assert!(matches!(SqliteUsers::open(&path).map(drop), Err(UsersError::Unavailable(_))));
    let later = folder.path().join("later.db");
    drop(SqliteUsers::open(&later).unwrap());
    let connection = rusqlite::Connection::open(&later).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(SqliteUsers::open(&later).map(drop), Err(UsersError::Unavailable(reason)) if reason.contains("99")));
    assert!(matches!(SqliteUsers::open(&path.join("below")).map(drop), Err(UsersError::Unavailable(_))));
}

async fn login(site: &TestSite, name: &str) -> Option<Session> {
    site.users.begin_session(name, &password_of(name), None).await.unwrap()
}

#[tokio::test]
async fn a_configured_user_has_a_number_that_stays_and_what_the_configuration_says() {
    let site = TestSite::with(&[("ann", &["admin"]), ("bob", &[])]).await;
    let ann = login(&site, "ann").await.unwrap();
    assert_eq!(ann.principal, Principal { id: 1, name: "ann".to_owned(), roles: vec!["admin".to_owned()] });
    assert_eq!(login(&site, "bob").await.unwrap().principal.id, 2);
    site.configure(&[("bob", &["guest"])]).await;
    assert_eq!(site.users.session(&ann.text).await, Ok(None), "gone with the entry");
    assert_eq!((login(&site, "ann").await, site.users.users(&[1]).await), (None, Ok(vec![None])));
    assert_eq!(login(&site, "bob").await.unwrap().principal.roles, ["guest"]);
    site.configure(&[("ann", &[]), ("bob", &[])]).await;
    let known = site.users.session(&ann.text).await.unwrap().unwrap().principal;
    assert_eq!((known.id, known.roles), (1, Vec::new()), "the same entry is the same user");
}

#[tokio::test]
async fn a_user_of_the_database_is_as_good() {
    let site = TestSite::with(&[]).await;
    assert_eq!(site.users.has_users().await, Ok(false));
    assert_eq!(login(&site, "ann").await, None);
    assert!(!site.folder.path().join("data/storage").exists(), "who has no users has no database");
    let database = super::open(&Place::Directory(site.folder.path().join("data")), "plant").await.unwrap();
    database.add("ann", &Hashed::cheap("ann's password"), &["admin".to_owned()]).await.unwrap();
    assert_eq!(site.users.has_users().await, Ok(false), "what was looked at a moment ago is believed for a second");
    site.pass(Duration::from_secs(1));
    assert_eq!(site.users.has_users().await, Ok(true));
    let session = login(&site, "ann").await.unwrap();
    assert_eq!(session.principal.roles, ["admin"]);
    assert_eq!(database.set_password("ann", &Hashed::cheap("another")).await, Ok(true));
    assert_eq!(site.users.session(&session.text).await, Ok(None), "ended with the password");
    assert_eq!(login(&site, "ann").await, None);
}

#[tokio::test]
async fn a_session_ends_when_it_expires_unless_it_is_refreshed() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let session = login(&site, "ann").await.unwrap();
    assert_eq!((session.began_ms, session.expires_ms), (BEGINNING_MS, BEGINNING_MS + 3_600_000));
    site.pass(Duration::from_secs(3_599));
    let refreshed = site.users.refresh_session(&session.text).await.unwrap().unwrap();
    assert_eq!((refreshed.began_ms, refreshed.expires_ms), (BEGINNING_MS, BEGINNING_MS + 3_599_000 + 3_600_000));
    site.pass(Duration::from_secs(3_599));
    assert!(site.users.session(&session.text).await.unwrap().is_some());
    site.pass(Duration::from_secs(1));
    assert_eq!((site.users.session(&session.text).await, site.users.refresh_session(&session.text).await), (Ok(None), Ok(None)));
}

#[tokio::test]
async fn what_is_ended_on_one_host_is_at_an_end_on_all() {
    let one = TestSite::with(&[("ann", &[])]).await;
    let other = TestSite::beside(&one, &[("ann", &[])]).await;
    let session = login(&one, "ann").await.unwrap();
    let request = TokenRequest { kind: "access".to_owned(), lifetime: Duration::from_secs(60) };
    let token = one.users.login_tokens("ann", "ann's password", None, &[request]).await.unwrap().unwrap().remove(0);
    assert!(other.users.session(&session.text).await.unwrap().is_some() && other.users.token(&token.text).await.unwrap().is_some());
    assert_eq!(other.users.end_session(&session.text).await.unwrap().map(|session| session.principal.id), Some(1));
    other.users.revoke(&token.text).await.unwrap();
    assert_eq!((one.users.session(&session.text).await, one.users.token(&token.text).await), (Ok(None), Ok(None)));
    assert_eq!((one.users.end_session(&session.text).await, one.users.revoke(&token.text).await), (Ok(None), Ok(())));
}

#[tokio::test]
async fn a_site_whose_database_is_another_forgets_what_it_knew_and_finds_it_again() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let session = login(&site, "ann").await.unwrap();
    let place = |name: &str| Place::Directory(site.folder.path().join(name));
    std::fs::create_dir(site.folder.path().join("other")).unwrap();
    site.users.stand_on(&place("other"));
    assert_eq!(site.users.session(&session.text).await, Ok(None));
    assert!(login(&site, "ann").await.is_some());
    site.users.stand_on(&place("data"));
    assert!(site.users.session(&session.text).await.unwrap().is_some());
    site.configure(&[]).await;
    assert_eq!(site.users.has_users().await, Ok(false));
    super::open(&place("other"), "plant").await.unwrap().add("bob", &Hashed::cheap("x"), &[]).await.unwrap();
    site.users.stand_on(&place("other"));
    assert_eq!(site.users.has_users().await, Ok(true), "what was known of the one is not believed of the other");
}

#[tokio::test]
async fn a_token_is_what_it_was_issued_for_and_no_session() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let request = |kind: &str, secs| TokenRequest { kind: kind.to_owned(), lifetime: Duration::from_secs(secs) };
    let requests = [request("access", 60), request("refresh", 600)];
    let tokens = site.users.login_tokens("ann", "ann's password", None, &requests).await.unwrap().unwrap();
    assert_eq!(site.users.login_tokens("ann", "wrong", None, &requests).await, Ok(None));
    let info = site.users.token(&tokens[1].text).await.unwrap().unwrap();
    assert_eq!((info.kind.as_str(), info.expires_ms, info.principal.id), ("refresh", BEGINNING_MS + 600_000, 1));
    assert_eq!(site.users.session(&tokens[0].text).await, Ok(None));
    assert_eq!(site.users.token(&login(&site, "ann").await.unwrap().text).await, Ok(None));
    let exchange = |text, kind| site.users.exchange(text, kind, request("access", 60));
    site.pass(Duration::from_secs(60));
    assert_eq!((site.users.token(&tokens[0].text).await, exchange(&tokens[1].text, "access").await), (Ok(None), Ok(None)));
    let next = exchange(&tokens[1].text, "refresh").await.unwrap().unwrap();
    assert_eq!(site.users.token(&next.text).await.unwrap().unwrap().expires_ms, BEGINNING_MS + 120_000);
    assert!(exchange(&tokens[1].text, "refresh").await.unwrap().is_some(), "it stays valid");
}

#[tokio::test]
async fn failures_are_slowed_down_and_counted() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let from = |address: &str| address.parse().ok();
    for _ in 0..5 {
        assert_eq!(site.users.basic("ann", "wrong", from("192.0.2.1")).await, Ok(None));
    }
    let right = |peer| site.users.basic("ann", "ann's password", peer);
    assert_eq!(right(from("192.0.2.1")).await, Err(LoginError::Throttled(Duration::from_secs(1))));
    assert!(right(from("192.0.2.2")).await.unwrap().is_some(), "nobody else waits");
    let outcomes = site.logins.0.lock().unwrap().clone();
    assert_eq!(outcomes, [[LoginOutcome::Failed; 5].as_slice(), &[LoginOutcome::Throttled, LoginOutcome::Succeeded]].concat());
    assert!(right(from("192.0.2.2")).await.unwrap().is_some());
    assert_eq!(site.logins.0.lock().unwrap().len(), 7, "what was right a moment ago is not looked at again");
    site.pass(Duration::from_secs(60));
    assert!(right(from("192.0.2.1")).await.unwrap().is_some(), "the pause is over");
    assert_eq!(site.logins.0.lock().unwrap().len(), 8);
}

#[tokio::test]
async fn a_flood_of_right_passwords_costs_one_hash() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let asked = (0..40).map(|_| site.users.basic("ann", "ann's password", None));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Some(_)))), "{answers:?}");
    assert!(site.logins.0.lock().unwrap().len() <= 4, "those that were looked at together at the most");
}

#[tokio::test]
async fn a_failure_counts_when_its_client_has_left() {
    let site = TestSite::with(&[("ann", &[])]).await;
    for failures in 1..=5 {
        {
            let asked = site.users.basic("ann", "wrong", None);
            tokio::pin!(asked);
            while futures_util::poll!(&mut asked).is_pending() && Arc::strong_count(&site.users) == 1 {
                tokio::task::yield_now().await;
            }
        }
        // Whoever looks at the password holds the users until it is counted.
        let counted = async {
            while site.logins.0.lock().unwrap().len() < failures || Arc::strong_count(&site.users) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), counted).await.unwrap();
    }
    assert!(matches!(site.users.basic("ann", "wrong", None).await, Err(LoginError::Throttled(_))));
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_an_error_and_never_nobody() {
    let site = TestSite::failing(UsersError::Timeout).await;
    assert_eq!(site.users.has_users().await, Ok(true), "the configuration says so");
    assert_eq!(site.users.basic("ann", "ann's password", None).await, Err(LoginError::Users(UsersError::Timeout)));
    assert_eq!(site.users.session(&SecretText::session().unwrap()).await, Err(UsersError::Timeout));
    assert_eq!(site.users.token(&SecretText::token().unwrap()).await, Err(UsersError::Timeout));
    let site = TestSite::failing(UsersError::Timeout).await;
    site.configure(&[]).await;
    assert_eq!(site.users.has_users().await, Err(UsersError::Timeout));
}

#[tokio::test]
async fn no_secret_is_in_the_database_or_in_the_log() {
    let (log, lines) = crate::testing::log();
    let logged = tracing::dispatcher::set_default(&log);
    let site = TestSite::with(&[("ann", &[])]).await;
    let session = login(&site, "ann").await.unwrap();
    let request = TokenRequest { kind: "access".to_owned(), lifetime: Duration::from_secs(60) };
    let token = site.users.login_tokens("ann", "ann's password", None, &[request]).await.unwrap().unwrap().remove(0);
    assert_eq!(site.users.basic("typed-into-the-wrong-field", "ann's password", None).await, Ok(None));
    site.users.end_session(&login(&site, "ann").await.unwrap().text).await.unwrap();
    drop(logged);
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(site.folder.path().join("data/storage/plant")).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let log = lines.text();
    let messages = lines.messages();
    for message in ["logged in", "failed to log in", "issued a token", "logged out"] {
        assert!(messages.iter().any(|found| found == message), "no `{message}` in {log}");
    }
    for secret in [session.text.expose(), token.text.expose(), "ann's password", "typed-into-the-wrong-field"] {
        assert!(!log.contains(secret), "{secret} in {log}");
        assert!(!kept.windows(secret.len()).any(|found| found == secret.as_bytes()), "{secret} is in the database");
    }
}

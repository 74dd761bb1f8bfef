//! How an engine is spoken to, and what becomes of each way in which it may fail.

use std::time::Duration;

use super::scripted::{Reply, ScriptedEngine, engine_at, socket_path};
use super::wire::Letter;
use super::{ApiVersion, ContainerId, CreateError, Engine, EngineError, LogRange, Patience, Removal, Requirement};
use crate::backend::stream::{ByteStream, StreamError};

const OLD: (&str, &str) = ("1.41", "1.12");

fn id() -> ContainerId {
    ContainerId::parse(&"a".repeat(64)).unwrap()
}

fn whole_log() -> LogRange {
    LogRange { stdout: true, stderr: true, timestamps: false, follow: false, tail: None, since_ms: None, until_ms: None }
}

async fn read(stream: &mut ByteStream) -> Result<String, StreamError> {
    let mut text = Vec::new();
    while let Some(chunk) = stream.read(usize::MAX).await? {
        text.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(text).unwrap())
}

fn lines(scripted: &ScriptedEngine) -> Vec<String> {
    scripted.seen().into_iter().map(|seen| seen.line).collect()
}

#[tokio::test]
async fn every_request_carries_the_agreed_version_once() {
    let scripted = ScriptedEngine::start(OLD, |line, _| match line {
        line if line.starts_with("POST /containers/create") => {
            Reply::json(201, &format!(r#"{{"Id":"{}","Warnings":null}}"#, "a".repeat(64)))
        }
        line if line.starts_with("GET") => Reply::json(200, "[]"),
        line if line.starts_with("POST /images/create") => Reply::json(200, "{\"status\":\"done\"}\n"),
        _ => Reply::empty(204),
    });
    let engine = scripted.engine();
    engine.list_containers(true, &["a=b c".to_owned()]).await.unwrap();
    engine.inspect_container("web").await.unwrap();
    let created = engine.create_container("web", r#"{"Image":"x"}"#.to_owned(), None).await.unwrap();
    assert_eq!((created.id, created.warnings), (id(), Vec::new()));
    engine.start(&id()).await.unwrap();
    engine.stop(&id(), Some(3), Duration::from_secs(9)).await.unwrap();
    engine.stop(&id(), None, Duration::from_secs(9)).await.unwrap();
    engine.remove(&id(), Removal { force: true, volumes: false }).await.unwrap();
    engine.inspect_image("localhost:5000/a/b:1").await.unwrap();
    engine.inspect_image("../containers/json?x").await.unwrap();
    engine.pull("docker.io/library/redis", "7", None, &mut |_| {}).await.unwrap();
    engine.list_networks().await.unwrap();
    engine.list_volumes().await.unwrap();
    let range = LogRange { tail: Some(5), since_ms: Some(1_500), until_ms: Some(0), ..whole_log() };
    engine.log(&id(), true, &range).await.unwrap();
    let long = "a".repeat(64);
    let expected = [
        "GET /v1.41/containers/json?all=true&filters=%7B%22label%22%3A%5B%22a%3Db+c%22%5D%7D".to_owned(),
        "GET /v1.41/containers/web/json".to_owned(),
        "POST /v1.41/containers/create?name=web".to_owned(),
        format!("POST /v1.41/containers/{long}/start"),
        format!("POST /v1.41/containers/{long}/stop?t=3"),
        format!("POST /v1.41/containers/{long}/stop"),
        format!("DELETE /v1.41/containers/{long}?v=false&force=true&link=false"),
        "GET /v1.41/images/localhost:5000/a/b:1/json".to_owned(),
        "GET /v1.41/images/../containers/json%3Fx/json".to_owned(),
        "POST /v1.41/images/create?fromImage=docker.io%2Flibrary%2Fredis&tag=7".to_owned(),
        "GET /v1.41/networks".to_owned(),
        "GET /v1.41/volumes".to_owned(),
        format!(
            "GET /v1.41/containers/{long}/logs?stdout=true&stderr=true&timestamps=false&follow=false&tail=5&since=1.500000000&until=0.000000000"
        ),
    ];
    // An empty query may or may not leave its question mark behind.
    let seen: Vec<String> = lines(&scripted).iter().map(|line| line.trim_end_matches('?').to_owned()).collect();
    assert_eq!(seen, expected);
    assert_eq!(scripted.seen()[2].body, r#"{"Image":"x"}"#);
    assert_eq!(scripted.asked_for_version(), 1);
}

#[tokio::test]
async fn a_status_is_an_error_of_its_own_and_304_is_none() {
    let failed = |status, reason: &str| EngineError::Failed { status, reason: reason.to_owned() };
    let cases = [
        (400, r#"{"message":"no"}"#, EngineError::Invalid("no".to_owned())),
        (404, r#"{"message":"no"}"#, EngineError::NotFound("no".to_owned())),
        (409, r#"{"message":"no"}"#, EngineError::Conflict("no".to_owned())),
        (500, r#"{"message":"no"}"#, failed(500, "no")),
        (403, "plain words of a proxy\n", failed(403, "plain words of a proxy")),
        (503, "<html>", EngineError::Unavailable("<html>".to_owned())),
    ];
    for (status, body, expected) in cases {
        let scripted = ScriptedEngine::start(OLD, move |_, _| Reply::json(status, body));
        let engine = scripted.engine();
        // One request of ours and one of bollard's.
        assert_eq!(engine.inspect_container("web").await, Err(expected.clone()), "{status}");
        let through_bollard = engine.start(&id()).await.unwrap_err();
        assert_eq!(std::mem::discriminant(&through_bollard), std::mem::discriminant(&expected), "{status}");
    }
    let scripted = ScriptedEngine::start(OLD, |_, _| Reply::empty(304));
    assert_eq!(scripted.engine().start(&id()).await, Ok(()));
    assert_eq!(scripted.engine().stop(&id(), None, Duration::from_secs(9)).await, Ok(()));
}

#[tokio::test]
async fn an_engine_that_hangs_is_not_waited_for() {
    let timeout = Err(EngineError::Timeout(Duration::from_millis(200)));
    let scripted = ScriptedEngine::start(OLD, |_, _| Reply::silence());
    assert_eq!(scripted.engine().list_networks().await, timeout);
    assert_eq!(scripted.engine().start(&id()).await, Err(EngineError::Timeout(Duration::from_millis(200))));
    let scripted = ScriptedEngine::start(OLD, |_, _| Reply::unfinished(&[b"[{\"Id\":"]).then_hang());
    assert_eq!(scripted.engine().list_networks().await, timeout);
    assert_eq!(
        scripted.engine().pull("docker.io/library/redis", "7", None, &mut |_| {}).await,
        Err(EngineError::Timeout(Duration::from_millis(200)))
    );
    let mut log = scripted.engine().log(&id(), true, &whole_log()).await.unwrap();
    assert!(matches!(read(&mut log).await, Err(StreamError::Timeout)));
}

#[tokio::test]
async fn a_body_that_is_cut_is_no_answer() {
    let scripted = ScriptedEngine::start(OLD, |_, _| Reply::unfinished(&[b"[]"]));
    assert!(matches!(scripted.engine().list_networks().await, Err(EngineError::Lost(_))));
    assert!(matches!(scripted.engine().pull("docker.io/library/redis", "7", None, &mut |_| {}).await, Err(EngineError::Lost(_))));
    let mut log = scripted.engine().log(&id(), true, &whole_log()).await.unwrap();
    assert!(matches!(read(&mut log).await, Err(StreamError::Cut(_))));
}

/// What becomes of a create, by what the engine does.
async fn create(reply: Reply) -> Result<(), CreateError> {
    let scripted = ScriptedEngine::start(OLD, move |_, _| reply.clone());
    scripted.engine().create_container("web", "{}".to_owned(), None).await.map(drop)
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_may_have_made_a_container() {
    let answer = format!(r#"{{"Id":"{}","Warnings":[]}}"#, "a".repeat(64));
    assert_eq!(create(Reply::json(201, &answer)).await, Ok(()));
    for (what, reply) in [
        ("nothing is answered", Reply::silence()),
        ("the connection is closed", Reply::nothing()),
        ("the answer stops", Reply::unfinished(&[&answer.as_bytes()[..20]])),
        ("the answer hangs", Reply::unfinished(&[&answer.as_bytes()[..20]]).then_hang()),
        ("the answer has no id", Reply::json(201, "{}")),
        ("the answer has half an id", Reply::json(201, r#"{"Id":"aaaa"}"#)),
        ("a proxy lost the engine", Reply::json(502, "")),
        ("a proxy waited in vain", Reply::json(504, "")),
    ] {
        assert!(matches!(create(reply).await, Err(CreateError::Unknown(_))), "{what}");
    }
    for status in [400, 403, 404, 409, 500, 503] {
        assert!(matches!(create(Reply::json(status, "{}")).await, Err(CreateError::Refused(_))), "{status}");
    }
    let away = engine_at(&socket_path()).create_container("web", "{}".to_owned(), None).await;
    assert!(matches!(away, Err(CreateError::Refused(EngineError::Unavailable(_)))));
}

#[tokio::test]
async fn what_the_engine_is_too_old_for_is_not_sent() {
    let requirement = Requirement { key: "HostConfig.Annotations".to_owned(), since: ApiVersion::v1(43) };
    let answer = format!(r#"{{"Id":"{}"}}"#, "a".repeat(64));
    let of_answer = move |fields: &'static str| {
        let answer = answer.clone();
        move |line: &str, before: usize| match before {
            // The engine was exchanged for an older one since the version was agreed on, and refuses the newer.
            0 if !fields.is_empty() => Reply::with_fields(400, fields, r#"{"message":"client version 1.43 is too new"}"#),
            _ if line.starts_with("POST") => Reply::json(201, &answer),
            _ => Reply::empty(404),
        }
    };
    let scripted = ScriptedEngine::start(OLD, of_answer(""));
    let spoken = ApiVersion::v1(41);
    let refused = CreateError::Refused(EngineError::TooOld { requirement: requirement.clone(), spoken });
    assert_eq!(scripted.engine().create_container("web", "{}".to_owned(), Some(&requirement)).await, Err(refused.clone()));
    assert_eq!(lines(&scripted), Vec::<String>::new());
    let scripted = ScriptedEngine::start(("1.43", "1.12"), of_answer(""));
    assert!(scripted.engine().create_container("web", "{}".to_owned(), Some(&requirement)).await.is_ok());

    let scripted = ScriptedEngine::start(OLD, of_answer("Api-Version: 1.41\r\n"));
    let engine = scripted.engine();
    engine.wire.pretend("1.43", "1.43");
    assert_eq!(engine.create_container("web", "{}".to_owned(), Some(&requirement)).await, Err(refused));
    assert_eq!(lines(&scripted), ["POST /v1.43/containers/create?name=web"]);
}

#[tokio::test]
async fn a_log_may_be_searched_for_longer_than_it_may_pause() {
    // What is waited for is 2 s for a search and 200 ms between two pieces.
    let both = whole_log();
    let one = LogRange { stderr: false, ..both };
    let late = |before: &[&[u8]]| Reply::unfinished(before).then_send_after(Duration::from_millis(500), b"5\r\nline\n\r\n0\r\n\r\n");
    for (range, reply, expected) in [
        (both, late(&[]), Some("line\n")),
        (one, late(&[]), Some("line\n")),
        (one, late(&[b"first "]), Some("first line\n")),
        (both, Reply::unfinished(&[b"first "]).then_hang(), None),
        (both, Reply::unfinished(&[]).then_hang(), None),
    ] {
        let scripted = ScriptedEngine::start(OLD, move |_, _| reply.clone());
        let mut log = scripted.engine().log(&id(), true, &range).await.unwrap();
        let seen = read(&mut log).await;
        match expected {
            Some(text) => assert_eq!(seen.unwrap(), text),
            None => assert!(matches!(seen, Err(StreamError::Timeout))),
        }
    }
    assert!(Patience::default().log_search >= Duration::from_secs(300));
}

#[tokio::test]
async fn a_stop_is_waited_for_as_long_as_the_caller_says() {
    let scripted = ScriptedEngine::start(OLD, |_, _| Reply::silence());
    let limit = Duration::from_millis(20);
    assert_eq!(scripted.engine().stop(&id(), Some(600), limit).await, Err(EngineError::Timeout(limit)));
}

#[tokio::test]
async fn a_pull_fails_inside_its_stream() {
    let scripted = ScriptedEngine::start(OLD, |_, _| {
        Reply::chunked(&[b"{\"status\":\"Pulling\"}\r\n{\"errorDetail\":{\"mess", b"age\":\"no space\"},\"error\":\"no space\"}\r", b"\n"])
    });
    let failed = EngineError::Failed { status: 200, reason: "no space".to_owned() };
    assert_eq!(scripted.engine().pull("docker.io/library/redis", "7", None, &mut |_| {}).await, Err(failed));
}

#[tokio::test]
async fn a_log_has_frames_unless_the_container_has_a_terminal() {
    let wire: &[u8] = b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n";
    let scripted = ScriptedEngine::start(OLD, move |_, _| Reply::chunked(&[&wire[..5], &wire[5..14], &wire[14..]]));
    let mut framed = scripted.engine().log(&id(), false, &whole_log()).await.unwrap();
    assert_eq!(read(&mut framed).await.unwrap(), "out\nerr\n");
    let mut raw = scripted.engine().log(&id(), true, &whole_log()).await.unwrap();
    assert_eq!(read(&mut raw).await.unwrap().len(), wire.len());
}

#[tokio::test]
async fn a_log_that_is_followed_may_be_silent() {
    let scripted = ScriptedEngine::start(OLD, |_, _| Reply::unfinished(&[b"line\n"]).then_hang());
    let range = LogRange { follow: true, ..whole_log() };
    let mut log = scripted.engine().log(&id(), true, &range).await.unwrap();
    assert_eq!(log.read(99).await.unwrap().unwrap(), "line\n");
    let longer_than_idle = Duration::from_millis(300);
    assert!(tokio::time::timeout(longer_than_idle, log.read(99)).await.is_err());
}

#[tokio::test]
async fn an_engine_that_comes_back_is_asked_for_its_version_again() {
    let socket = socket_path();
    let engine = engine_at(&socket);
    assert!(matches!(engine.list_networks().await, Err(EngineError::Unavailable(_))));
    assert!(matches!(engine.start(&id()).await, Err(EngineError::Unavailable(_))));
    let first = ScriptedEngine::start_at(&socket, OLD, |_, _| Reply::json(200, "[]"));
    engine.list_networks().await.unwrap();
    assert_eq!(lines(&first), ["GET /v1.41/networks"]);
    drop(first);
    assert!(matches!(engine.list_networks().await, Err(EngineError::Unavailable(_))));
    let upgraded = ScriptedEngine::start_at(&socket, ("1.48", "1.24"), |_, _| Reply::json(200, "[]"));
    engine.list_networks().await.unwrap();
    assert_eq!(lines(&upgraded), ["GET /v1.48/networks"]);
}

#[tokio::test]
async fn an_answer_longer_than_its_limit_is_not_held() {
    let scripted = ScriptedEngine::start(OLD, |_, _| Reply::json(200, &"x".repeat(2000)));
    let response = scripted.engine().wire.send(Letter::new(http::Method::GET, "/networks", Duration::from_secs(1))).await.unwrap();
    let held = super::body::whole(response.into_body(), Duration::from_secs(1), 1000).await;
    assert_eq!(held, Err(EngineError::TooLong { limit_bytes: 1000 }));
}

#[tokio::test]
async fn an_engine_names_itself() {
    let scripted = ScriptedEngine::start(("1.54", "1.40"), |_, _| Reply::json(500, "{}"));
    let version = scripted.engine().version().await.unwrap();
    let words = (version.version.as_str(), version.api_version.to_string(), version.os.as_str(), version.architecture.as_str());
    assert_eq!(words, ("99", "1.51".to_owned(), "linux", "amd64"));
    assert!(Engine::new("https://engine").is_err());
}

/// What changes at API 1.52 and later, as transcripts written after the published list of changes. No such engine was at hand.
mod transcripts_of_newer_engines {
    use super::*;

    #[tokio::test]
    async fn an_engine_with_1_54_is_spoken_to_in_1_51() {
        let scripted = ScriptedEngine::start(("1.54", "1.40"), |_, _| Reply::with_fields(200, "Api-Version: 1.54\r\n", "[]"));
        let engine = scripted.engine();
        engine.list_containers(false, &[]).await.unwrap();
        engine.list_containers(false, &[]).await.unwrap();
        assert_eq!(lines(&scripted), ["GET /v1.51/containers/json?all=false", "GET /v1.51/containers/json?all=false"]);
        assert_eq!(scripted.asked_for_version(), 1);
    }

    #[tokio::test]
    async fn an_engine_that_has_dropped_1_51_is_spoken_to_in_its_oldest() {
        // From 1.52 on: no `Config.MacAddress`, no `GraphDriver`, no addresses at the top of `NetworkSettings`, `Health` in lists.
        let body = r#"{"Id":"x","Config":{"Labels":null},"NetworkSettings":{"Networks":{}},"State":{"Status":"running"}}"#;
        let scripted = ScriptedEngine::start(("1.60", "1.53"), move |_, _| Reply::json(200, body));
        assert_eq!(scripted.engine().inspect_container("web").await.unwrap(), body);
        assert_eq!(lines(&scripted), ["GET /v1.53/containers/web/json"]);
    }

    #[tokio::test]
    async fn an_engine_that_was_upgraded_between_two_requests_is_noticed() {
        // It refuses the old version, and says in the header which it has.
        let scripted = ScriptedEngine::start(("1.60", "1.53"), |_, _| Reply::with_fields(200, "Api-Version: 1.60\r\n", "[]"));
        let engine = scripted.engine();
        engine.wire.pretend("1.41", "1.41");
        engine.list_networks().await.unwrap();
        engine.list_networks().await.unwrap();
        assert_eq!(lines(&scripted), ["GET /v1.41/networks", "GET /v1.53/networks"]);
        let too_old = Reply::with_fields(400, "Api-Version: 1.60\r\n", r#"{"message":"client version 1.41 is too old"}"#);
        let scripted =
            ScriptedEngine::start(("1.60", "1.53"), move |_, before| if before == 0 { too_old.clone() } else { Reply::json(200, "[]") });
        let engine = scripted.engine();
        engine.wire.pretend("1.41", "1.41");
        engine.list_networks().await.unwrap();
        assert_eq!(lines(&scripted), ["GET /v1.41/networks", "GET /v1.53/networks"]);
    }

    #[tokio::test]
    async fn a_pull_reports_errors_only_as_error_detail() {
        let scripted = ScriptedEngine::start(("1.54", "1.40"), |_, _| Reply::json(200, "{\"errorDetail\":{\"message\":\"denied\"}}\r\n"));
        let failed = EngineError::Failed { status: 200, reason: "denied".to_owned() };
        assert_eq!(scripted.engine().pull("docker.io/library/redis", "7", None, &mut |_| {}).await, Err(failed));
    }
}

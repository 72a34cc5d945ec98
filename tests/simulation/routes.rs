//! The server's routes: who may say what, and what is answered to everybody else.

use super::experiments::experiment;
use super::script::{End, Script, plain};
use super::world::{Life, Start, World};
use automl_operator::controller::{LeaseName, Timing};
use automl_operator::local::apiserver::{Fault, RequestInfo};
use automl_operator::report::PATH;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Two trials run and go on; the tokens of their pods.
async fn running() -> (World, Life, [String; 2]) {
    let world = World::new(Arc::new(|program: &_| Script { end: End::Never, ..plain()(program) }));
    let life = world.start("operator");
    world.create(&experiment("e", json!({"limits": {"maxTrials": 2, "parallelTrials": 2}}))).await;
    world.until("both run", |world| world.running() == 2).await;
    let token = |pod: &str| {
        let pod = world.server.peek("pods", "default", pod).unwrap();
        pod["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    let tokens = [token("e-00000-pod"), token("e-00001-pod")];
    (world, life, tokens)
}

/// What the agent of the first trial would say.
fn batch(world: &World) -> Value {
    let uid = world.server.peek("trials", "default", "e-00000").unwrap()["metadata"]["uid"].clone();
    json!({
        "namespace": "default", "trial": "e-00000", "trialUid": uid, "attempt": 0, "session": "zzz", "end": false,
        "records": [{"sequence": 1, "body": {"observation": {
            "metric": "score", "step": 9, "value": 9.0, "time": "2026-01-01T00:00:00Z",
        }}}],
    })
}

async fn ask(world: &World, method: Method, path: &str, token: &str, body: String) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", token);
    }
    let response = world.door.send(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.1.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    assert_eq!(
        parts.headers.contains_key("retry-after"),
        parts.status == StatusCode::TOO_MANY_REQUESTS
            || parts.status == StatusCode::SERVICE_UNAVAILABLE && path == PATH,
        "{} {path}",
        parts.status
    );
    (parts.status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn each_request_has_its_answer() {
    let (world, _life, [first, second]) = running().await;
    let good = batch(&world);
    let with = |pointer: &str, value: Value| {
        let mut batch = batch(&world);
        *batch.pointer_mut(pointer).unwrap() = value;
        batch.to_string()
    };
    let (first, second) = (format!("Bearer {first}"), format!("Bearer {second}"));
    let record = |sequence: u64| json!({"sequence": sequence, "body": {"seen": []}});
    let table: Vec<(&str, Method, &str, &str, String, u16, &str)> = vec![
        ("good", Method::POST, PATH, &first, good.to_string(), 200, "{\"stored\":0"),
        ("no token", Method::POST, PATH, "", good.to_string(), 401, "there is none, or it is too long"),
        ("no token at all", Method::POST, PATH, "Bearer ", good.to_string(), 401, "there is none, or it is too long"),
        ("another scheme", Method::POST, PATH, "Basic YTpi", good.to_string(), 401, "there is none"),
        ("an unknown token", Method::POST, PATH, "Bearer x", good.to_string(), 401, "not valid here: no such pod"),
        ("a stranger's garbage", Method::POST, PATH, "Bearer x", "{".into(), 401, "not valid here: no such pod"),
        (
            "the token of another trial",
            Method::POST,
            PATH,
            &second,
            good.to_string(),
            403,
            "the token is that of Trial default/e-00001, the batch is another's",
        ),
        ("another namespace", Method::POST, PATH, &first, with("/namespace", json!("other")), 403, "is another's"),
        ("a namesake", Method::POST, PATH, &first, with("/trialUid", json!("other")), 403, "is another's"),
        ("garbage", Method::POST, PATH, &first, "{".into(), 400, "the batch cannot be read: EOF"),
        ("binary", Method::POST, PATH, &first, "\u{0}\u{1}".into(), 400, "the batch cannot be read: expected value"),
        ("another shape", Method::POST, PATH, &first, "[]".into(), 400, "the batch cannot be read: "),
        ("no session", Method::POST, PATH, &first, with("/session", json!("")), 400, "session must have 1 to 128"),
        ("a long session", Method::POST, PATH, &first, with("/session", json!("s".repeat(129))), 400, "session must"),
        (
            "numbers that fall",
            Method::POST,
            PATH,
            &first,
            with("/records", json!([record(2), record(1)])),
            400,
            "the records' numbers must rise from 1",
        ),
        ("number nought", Method::POST, PATH, &first, with("/records", json!([record(0)])), 400, "must rise from 1"),
        (
            "a huge number",
            Method::POST,
            PATH,
            &first,
            with("/records", json!([record(u64::MAX)])),
            400,
            "must rise from 1",
        ),
        ("too large", Method::POST, PATH, &first, "x".repeat(300 * 1024), 413, "length limit exceeded"),
        ("another method", Method::GET, PATH, &first, String::new(), 405, ""),
        ("another path", Method::POST, "/v1/reports", &first, good.to_string(), 404, ""),
        ("alive", Method::GET, "/livez", "", String::new(), 200, "ok\n"),
        ("ready", Method::GET, "/readyz", "", String::new(), 200, "ok\n"),
        ("metrics", Method::GET, "/metrics", "", String::new(), 200, "automl_report_batches_total{answer=\"refused\"}"),
        ("metrics are read only", Method::POST, "/metrics", "", String::new(), 405, ""),
    ];
    for (what, method, path, token, body, status, sentence) in table {
        let (got, answer) = ask(&world, method, path, token, body).await;
        assert_eq!(got.as_u16(), status, "{what}: {answer}");
        assert!(answer.contains(sentence), "{what}: {answer}");
    }
    // A token that is meant for somebody else.
    world.server.set_token_reviewer(Arc::new(|_| json!({"authenticated": true, "audiences": ["vault"], "user": {}})));
    let (status, answer) = ask(&world, Method::POST, PATH, "Bearer y", good.to_string()).await;
    assert_eq!(status, 401);
    assert!(answer.contains("its audience is not automl.dev/report"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_reports_too_often_waits_and_the_others_do_not() {
    let (world, _life, [first, second]) = running().await;
    let (first, second) = (format!("Bearer {first}"), format!("Bearer {second}"));
    let mut answers = BTreeMap::<u16, u32>::new();
    for at in 0..300 {
        // What is no good counts like what is.
        let body = if at % 2 == 0 { "{".to_owned() } else { batch(&world).to_string() };
        let (status, answer) = ask(&world, Method::POST, PATH, &first, body).await;
        *answers.entry(status.as_u16()).or_default() += 1;
        assert!(status != 429 || answer.contains("this trial reports too often; say it again later"), "{answer}");
    }
    assert!(answers[&400] + answers[&200] <= 100 && answers[&429] >= 200, "{answers:?}");
    let (status, answer) = ask(&world, Method::POST, PATH, &second, "{".into()).await;
    assert_eq!(status, 400, "{answer}");
    let (_, page) = ask(&world, Method::GET, "/metrics", "", String::new()).await;
    let limited = format!("automl_report_batches_total{{answer=\"limited\"}} {}", answers[&429]);
    assert!(page.contains(&limited), "{page}");
    sleep(Duration::from_secs(1)).await;
    let (status, _) = ask(&world, Method::POST, PATH, &first, batch(&world).to_string()).await;
    assert_eq!(status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_in_trouble_and_an_operator_that_does_not_lead_say_later() {
    let (world, life, [first, second]) = running().await;
    world.server.set_faults(Some(Arc::new(|request: &RequestInfo| match request.resource.as_str() {
        "tokenreviews" => Fault::Answer { code: 500, reason: "InternalError".into(), retry_after: None },
        _ => Fault::None,
    })));
    // Nothing is known of a token after a minute.
    let (first, second) = (format!("Bearer {first}"), format!("Bearer {second}"));
    sleep(Duration::from_secs(61)).await;
    let (status, answer) = ask(&world, Method::POST, PATH, &second, batch(&world).to_string()).await;
    assert_eq!(status, 503);
    assert!(answer.contains("the token cannot be checked now: create TokenReview: "), "{answer}");
    world.server.set_faults(None);
    drop(life);
    let lease = LeaseName {
        namespace: "default".into(),
        name: "automl-operator".into(),
        own_url: None,
        timing: Timing::default(),
    };
    let _leader = world.start_with("operator-a", Start { lease: Some(lease.clone()), ..Start::default() });
    sleep(Duration::from_secs(3)).await;
    let standby = world.start_with("operator-b", Start { lease: Some(lease), ..Start::default() });
    sleep(Duration::from_secs(3)).await;
    standby.answer(&world.door);
    let (status, answer) = ask(&world, Method::POST, PATH, &first, batch(&world).to_string()).await;
    assert_eq!(status, 503);
    assert!(answer.contains("this operator is not (yet) the one that writes; say it again later"), "{answer}");
    for path in ["/readyz", "/livez"] {
        let (status, answer) = ask(&world, Method::GET, path, "", String::new()).await;
        assert_eq!(status, 200, "a standby is {path}: {answer}");
    }
    world.server.set_faults(Some(Arc::new(|request: &RequestInfo| match request.user_agent.as_str() {
        "operator-c" => Fault::Answer { code: 500, reason: "InternalError".into(), retry_after: None },
        _ => Fault::None,
    })));
    let blind = world.start_with("operator-c", Start::default());
    sleep(Duration::from_secs(3)).await;
    blind.answer(&world.door);
    let (status, answer) = ask(&world, Method::GET, "/readyz", "", String::new()).await;
    assert_eq!((status.as_u16(), answer.as_str()), (503, "not ready: the objects are not listed yet\n"));
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_has_ended_tells_its_program_to_stop() {
    let (world, _life, [first, _]) = running().await;
    let batch = batch(&world).to_string();
    world.edit("e", json!({"spec": {"limits": {"maxDuration": "1s"}}})).await;
    let first = format!("Bearer {first}");
    // Known before its pod is gone.
    let (status, _) = ask(&world, Method::POST, PATH, &first, batch.clone()).await;
    assert_eq!(status, 200);
    world.until("ended", |world| world.ended("e")).await;
    let (status, answer) = ask(&world, Method::POST, PATH, &first, batch).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["stop"], json!({"reason": "EarlyStopped", "message": "the trial has ended"}));
    assert_eq!(answer["stored"], json!(u64::MAX), "nothing needs to be said again");
}

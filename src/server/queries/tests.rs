use super::*;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use tokio::net::TcpListener;

/// A Prometheus that answers by what is asked.
async fn faulty() -> (Arc<Queries>, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let routes = Router::new().route("/prom/api/v1/query", post(misbehave)).with_state(heard.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prom", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, routes).into_future());
    (queries(&url), heard)
}

fn queries(url: &str) -> Arc<Queries> {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.default_retry = false;
    Queries::new(kube::Client::try_from(config).unwrap())
}

async fn misbehave(State(heard): State<Arc<Mutex<Vec<String>>>>, body: String) -> axum::response::Response {
    heard.lock().unwrap().push(body.clone());
    let json = || [(header::CONTENT_TYPE, "application/json")];
    let vector = |series: &str, more: &str| {
        let text = format!(r#"{{"status":"success",{more}"data":{{"resultType":"vector","result":[{series}]}}}}"#);
        (json(), text).into_response()
    };
    let one = r#"{"metric":{"a":"b"},"value":[1.5,"0.25"]}"#;
    let word = body.split(['=', '&']).nth(1).unwrap_or_default();
    match word {
        "good" => vector(one, ""),
        "epoch" => vector(r#"{"metric":{},"value":[1,"3"]}"#, ""),
        "none" => vector("", ""),
        "many" => vector(&format!("{one},{one}"), ""),
        "warning" => vector(one, r#""warnings":["a store is down"],"#),
        "huge" => (json(), vec![b'x'; 4 << 20]).into_response(),
        "cut" => (json(), r#"{"status":"succ"#).into_response(),
        "refused" => (StatusCode::BAD_REQUEST, json(), r#"{"status":"error","error":"parse error"}"#).into_response(),
        "proxy" => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        "elsewhere" => (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:1/")]).into_response(),
        "slow" => std::future::pending().await,
        reach if reach.starts_with("vector") => vector(one, ""),
        other => panic!("{other}"),
    }
}

fn asked(words: &[&str]) -> Vec<Asked> {
    let asked = |word: &&str| Asked { metric: (*word).to_owned(), query: Ok((*word).to_owned()) };
    words.iter().map(asked).collect()
}

#[tokio::test]
async fn whether_it_answers_is_known() {
    let (found, _) = faulty().await;
    assert_eq!(found.reach().await, Ok(()));
    let why = queries("http://127.0.0.1:1").reach().await.unwrap_err();
    assert!(why.contains("cannot be reached"), "{why}");
}

#[tokio::test]
async fn whatever_prometheus_does_costs_a_sentence() {
    let (queries, _) = faulty().await;
    let table = [
        ("good", Some(0.25), ""),
        ("none", None, "none: Prometheus knows no such series"),
        ("many", None, "many: Prometheus: 2 series match; ask for one number"),
        ("warning", Some(0.25), "warning: Prometheus warns: a store is down"),
        ("huge", None, "huge: Prometheus: its answer breaks off, or has more than 262144 bytes"),
        ("cut", None, "cut: Prometheus: its answer cannot be read"),
        ("refused", None, "refused: Prometheus: it refuses the query: parse error"),
        ("proxy", None, "proxy: Prometheus: it answers 502"),
        ("elsewhere", None, "elsewhere: Prometheus: it answers 302"),
        ("slow", None, "slow: Prometheus: no answer in 5 seconds"),
    ];
    for (word, value, sentence) in table {
        let queried = queries.ask(word, asked(&[word])).await.unwrap();
        let values: Vec<f64> = queried.observations.iter().map(|observation| observation.value).collect();
        assert_eq!(values, value.into_iter().collect::<Vec<_>>(), "{word}");
        let trouble = queried.trouble.unwrap_or_default();
        assert!(trouble.starts_with(sentence) && trouble.is_empty() == sentence.is_empty(), "{word}: {trouble}");
    }
    let down = self::queries("http://127.0.0.1:1").ask("t", asked(&["good"])).await.unwrap();
    assert_eq!(down.trouble.as_deref(), Some("good: Prometheus: it cannot be reached"), "and not where it is");
}

#[tokio::test]
async fn what_goes_well_is_kept_beside_what_does_not() {
    let (queries, heard) = faulty().await;
    let mut all = asked(&["good", "epoch", "none", "many", "refused", "cut"]);
    all.push(Asked { metric: "long".into(), query: Err("it is too long".into()) });
    let queried = queries.ask("t", all).await.unwrap();
    let found: Vec<_> =
        queried.observations.iter().map(|found| (found.metric.as_str(), found.step, found.value)).collect();
    assert_eq!(found, [("good", Some(3), 0.25)], "an epoch is the step of the others");
    let trouble = queried.trouble.unwrap();
    assert!(trouble.starts_with("none: ") && trouble.ends_with("; and 2 more"), "{trouble}");
    assert_eq!(heard.lock().unwrap().len(), 6, "what is too long is not asked");
    let evil = "a{b=\"c&timeout=1h\"}#é";
    assert_eq!(encoded(evil), "a%7Bb%3D%22c%26timeout%3D1h%22%7D%23%C3%A9", "nothing of a query is another field");
}

#[tokio::test]
async fn a_trial_asks_one_time_after_the_other() {
    let (queries, _) = faulty().await;
    let slow = tokio::spawn({
        let queries = queries.clone();
        async move { queries.ask("t", asked(&["slow"])).await }
    });
    while !queries.resting.lock().unwrap().contains_key("t") {
        tokio::task::yield_now().await;
    }
    assert_eq!(queries.ask("t", asked(&["good"])).await, None);
    assert!(queries.ask("u", asked(&["good"])).await.is_some(), "another trial's time is its own");
    slow.abort();
    tokio::time::pause();
    tokio::time::advance(PATIENCE + TIMEOUT).await;
    tokio::time::resume();
    assert!(queries.ask("t", asked(&["good"])).await.is_some(), "a caller that has gone away does not count for ever");
}

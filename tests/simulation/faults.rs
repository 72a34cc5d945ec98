//! What can go wrong between an operator and the API server, each alone: the end is that of the undisturbed run.

use super::chaos::{Asked, Trouble};
use super::compare::{Like, compare};
use super::crashes::each;
use super::run::{Disturbance, run};
use super::scenarios;
use super::weather;
use automl_operator::local::apiserver::{ApiServer, Fault, RequestInfo, Verb};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Scenarios that faults are tried on: a plain life, failures, ends, people, reports.
const LIVES: &[&str] = &["random, two at a time", "some programs fail", "evicted once", "the metric is never printed"];
const PEOPLE: &[&str] = &[
    "suspended and resumed",
    "fewer trials are asked for in the middle",
    "deleted in the middle",
    "deleted in the foreground",
    "deleted and made anew under its name",
    "a running Job is deleted by hand",
    "a running Trial is deleted by hand",
    "a Trial that has ended is deleted by hand",
    "a running Job loses its labels",
];

struct Ill {
    name: &'static str,
    scenarios: &'static [&'static str],
    like: Like,
    disturbance: Disturbance,
}

fn ill(name: &'static str, scenarios: &'static [&'static str], like: Like, disturbance: Disturbance) -> Ill {
    Ill { name, scenarios, like, disturbance }
}

/// Every n-th request of the first minute goes wrong.
fn now_and_then(n: u64, fault: Fault) -> Disturbance {
    let trouble: Trouble =
        Arc::new(
            move |asked| {
                if asked.at < Duration::from_secs(60) && asked.number % n == 0 { fault.clone() } else { Fault::None }
            },
        );
    Disturbance { trouble: Some(trouble), slack: Duration::from_secs(60), ..Disturbance::default() }
}

/// For half a minute all goes wrong.
fn for_a_while(fault: Fault) -> Disturbance {
    let trouble: Trouble = Arc::new(move |asked| {
        let hit = (Duration::from_secs(2)..Duration::from_secs(32)).contains(&asked.at);
        if hit { fault.clone() } else { Fault::None }
    });
    Disturbance { trouble: Some(trouble), slack: Duration::from_secs(60), ..Disturbance::default() }
}

fn answer(code: u16, reason: &str, retry_after: Option<u32>) -> Fault {
    Fault::Answer { code, reason: reason.into(), retry_after }
}

/// Another writer touches an object's labels between our read and our write, the first `times` times that we write it.
fn conflicts(times: u32) -> Disturbance {
    let touched: Mutex<BTreeMap<String, u32>> = Mutex::default();
    let trouble: Trouble = Arc::new(move |asked| {
        if asked.info.verb == Verb::Patch && asked.info.subresource == "status" {
            let mut touched = touched.lock().unwrap();
            let count = touched.entry(asked.info.name.clone()).or_default();
            *count += 1;
            if *count <= times {
                touch(asked.server, asked.info, *count);
            }
        }
        Fault::None
    });
    Disturbance { trouble: Some(trouble), slack: Duration::from_secs(60), ..Disturbance::default() }
}

/// Sets an annotation on the object of a request. In process this takes no time.
pub fn touch(server: &ApiServer, request: &RequestInfo, count: u32) {
    let path = request.path.split("/status").next().unwrap_or_default();
    let body = serde_json::json!({"metadata": {"annotations": {"example.com/touched": count.to_string()}}});
    let patch = http::Request::patch(path)
        .header("user-agent", "meddler")
        .header("content-type", "application/merge-patch+json")
        .body(())
        .unwrap();
    let (parts, ()) = patch.into_parts();
    let served = server.serve_request(&parts, body.to_string().into());
    assert!(served.now_or_never().is_some(), "it is served at once");
}

fn under(weather: super::run::Weather, slack: u64) -> Disturbance {
    Disturbance { weather: Some(weather), slack: Duration::from_secs(slack), ..Disturbance::default() }
}

fn answer_after(code: u16, reason: &str) -> Fault {
    Fault::AnswerAfter { code, reason: reason.into() }
}

fn requests() -> Vec<Ill> {
    let same = Like::Same;
    vec![
        ill("429, come back in 5 s", LIVES, same, now_and_then(3, answer(429, "TooManyRequests", Some(5)))),
        ill("500", LIVES, same, now_and_then(3, answer(500, "InternalError", None))),
        ill("503", LIVES, same, now_and_then(3, answer(503, "ServiceUnavailable", None))),
        ill("504, not carried out", LIVES, same, now_and_then(3, answer(504, "Timeout", None))),
        // A 429 comes before anything is done: nobody answers so afterwards.
        ill("500, carried out", LIVES, same, now_and_then(3, answer_after(500, "InternalError"))),
        ill("503, carried out", LIVES, same, now_and_then(3, answer_after(503, "ServiceUnavailable"))),
        ill("504, carried out", LIVES, same, now_and_then(3, answer_after(504, "Timeout"))),
        ill("reset before", LIVES, same, now_and_then(3, Fault::DropBefore)),
        ill("reset after", LIVES, same, now_and_then(3, Fault::DropAfter)),
        ill("never answered", LIVES, same, now_and_then(7, Fault::Hang)),
        ill("carried out, never answered", LIVES, same, now_and_then(7, Fault::HangAfter)),
        ill("slow", LIVES, same, now_and_then(1, Fault::Delay(Duration::from_secs(2)))),
        ill("not JSON", LIVES, same, now_and_then(5, Fault::Garbage("<html>502</html>".into()))),
        ill("truncated", LIVES, same, now_and_then(5, Fault::Garbage("{\"kind\": \"Tri".into()))),
        ill("another object", LIVES, same, now_and_then(5, Fault::Garbage("{}".into()))),
        ill("401 for a while", LIVES, same, for_a_while(answer(401, "Unauthorized", None))),
        ill("403 for a while", LIVES, same, for_a_while(answer(403, "Forbidden", None))),
        ill("500 for a while", LIVES, same, for_a_while(answer(500, "InternalError", None))),
        ill("nobody answers for a while", LIVES, same, for_a_while(Fault::Hang)),
        ill("422 for a while", LIVES, Like::Neither, for_a_while(answer(422, "Invalid", None))),
        ill("one conflict", LIVES, same, conflicts(1)),
        ill("three conflicts", LIVES, same, conflicts(3)),
        ill("fifty conflicts", LIVES, same, conflicts(50)),
        ill("401 on reviews of tokens", LIVES, same, {
            let trouble: Trouble = Arc::new(|asked: &Asked<'_>| {
                let hit = asked.info.resource == "tokenreviews" && asked.at < Duration::from_secs(20);
                if hit { answer(401, "Unauthorized", None) } else { Fault::None }
            });
            Disturbance { trouble: Some(trouble), ..Disturbance::default() }
        }),
    ]
}

fn watches() -> Vec<Ill> {
    let mut ills = Vec::new();
    for kind in ["experiments", "trials", "jobs"] {
        ills.push(ill("a watch lags", LIVES, Like::Same, under(weather::lagging(&[kind], 7), 60)));
        ills.push(ill("a watch lags, and people act", PEOPLE, Like::Neither, under(weather::lagging(&[kind], 7), 60)));
        ills.push(ill("a watch breaks", LIVES, Like::Same, under(weather::cut(&[kind]), 60)));
    }
    let kinds = weather::KINDS;
    ills.push(ill("all watches break", PEOPLE, Like::End, under(weather::cut(kinds), 60)));
    ills.push(ill("all watches expire", LIVES, Like::Same, under(weather::expired(kinds, false), 60)));
    ills.push(ill("all watches expire, people act", PEOPLE, Like::Neither, under(weather::expired(kinds, false), 60)));
    ills.push(ill("all watches expire by HTTP 410", LIVES, Like::Same, under(weather::expired(kinds, true), 60)));
    ills.push(ill("old lists after a crash", LIVES, Like::Neither, under(weather::old_lists(), 600)));
    ills
}

fn check(ills: Vec<Ill>) {
    let mut wrong = Vec::new();
    let undisturbed: Mutex<BTreeMap<&str, Arc<super::run::Outcome>>> = Mutex::default();
    for ill in ills {
        let played: Vec<_> = ill.scenarios.iter().map(|name| scenarios::named(name)).collect();
        let found = each(&played, |scenario| {
            let known = undisturbed.lock().unwrap().get(scenario.name).cloned();
            let known = known.unwrap_or_else(|| Arc::new(run(scenario, Disturbance::default())));
            undisturbed.lock().unwrap().insert(scenario.name, known.clone());
            compare(&known, &run(scenario, ill.disturbance.clone()), ill.like)
        });
        wrong.extend(found.iter().map(|what| format!("{}: {what}", ill.name)));
    }
    assert!(wrong.is_empty(), "{} differences, such as\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn requests_that_fail_change_nothing() {
    check(requests());
}

#[test]
fn watches_that_fail_change_nothing() {
    check(watches());
}

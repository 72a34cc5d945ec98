//! L4 and L5: a disturbed run against the undisturbed one.

use super::run::Outcome;
use super::world::{Entry, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How much of an undisturbed run a disturbed one must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Like {
    /// End and effort.
    Same,
    /// The end; the effort may be greater.
    End,
    /// Neither: the disturbance is part of the story. No invariant may be violated.
    Neither,
}

/// What is wrong with the disturbed run.
pub fn compare(undisturbed: &Outcome, disturbed: &Outcome, like: Like) -> Vec<String> {
    let mut wrong = disturbed.violations.clone();
    if !disturbed.end.is_null() {
        if like != Like::Neither {
            wrong.extend(l4_the_end_is_the_same(undisturbed, disturbed));
            wrong.extend(l4_no_event_is_told_that_was_not(undisturbed, disturbed));
        }
        if like == Like::Same {
            wrong.extend(l5_made_and_deleted_as_often(undisturbed, disturbed));
        }
    }
    wrong
}

fn l4_the_end_is_the_same(undisturbed: &Outcome, disturbed: &Outcome) -> Option<String> {
    let (a, b) = (&undisturbed.end, &disturbed.end);
    (a != b).then(|| format!("L4: the end differs:\n{}", difference(a, b)))
}

/// Events are a courtesy: a crash may swallow one, and nothing may add any but those that tell of the trouble itself.
fn l4_no_event_is_told_that_was_not(undisturbed: &Outcome, disturbed: &Outcome) -> Option<String> {
    let mut told = undisturbed.events.clone();
    let of_trouble =
        |event: &String| ["Pending", "JobRefused", "ApiRefused"].iter().any(|reason| event.contains(reason));
    let new = |event: &&String| match told.iter().position(|known| known == *event) {
        Some(at) => {
            told.swap_remove(at);
            false
        }
        None => true,
    };
    let new: Vec<&String> = disturbed.events.iter().filter(new).filter(|event| !of_trouble(event)).collect();
    (!new.is_empty()).then(|| format!("L4: Events that the undisturbed run did not tell: {new:?}"))
}

fn l5_made_and_deleted_as_often(undisturbed: &Outcome, disturbed: &Outcome) -> Option<String> {
    let none = (0, 0);
    let names = undisturbed.counts.keys().chain(disturbed.counts.keys());
    let count = |outcome: &Outcome, name: &String| *outcome.counts.get(name).unwrap_or(&none);
    let odd: BTreeMap<&String, String> = names
        .filter(|name| count(undisturbed, name) != count(disturbed, name))
        .map(|name| (name, format!("{:?}, now {:?}", count(undisturbed, name), count(disturbed, name))))
        .collect();
    (!odd.is_empty()).then(|| format!("L5: made and deleted other than in the undisturbed run: {odd:?}"))
}

/// What a person sees, without what differs from run to run: UIDs, versions, times.
pub fn end_state(world: &World) -> Value {
    let dump = |kind: &str| world.server.dump(kind);
    let experiments: Vec<Value> = dump("experiments")
        .iter()
        .map(|e| {
            let s = &e["status"];
            json!([identity(world, e), conditions(s), s["trials"], s["best"], s["observedGeneration"], times(s)])
        })
        .collect();
    let trials: Vec<Value> = dump("trials")
        .iter()
        .map(|t| {
            let (s, mut spec) = (&t["status"], t["spec"].clone());
            if let Some(uid) = spec.pointer_mut("/parent/uid") {
                *uid = whose(world, uid);
            }
            json!([
                identity(world, t),
                spec,
                s["attempt"],
                s["objective"],
                metrics(s),
                s["otherMetrics"],
                // The session says when the agent started.
                s["reports"]["sequence"],
                s["exit"],
                conditions(s),
                times(s),
            ])
        })
        .collect();
    let others = |kind: &str| -> Vec<Value> { dump(kind).iter().map(|object| identity(world, object)).collect() };
    let claims = others("persistentvolumeclaims");
    json!({
        "experiments": experiments, "trials": trials, "jobs": others("jobs"), "pods": others("pods"), "claims": claims,
    })
}

fn conditions(status: &Value) -> Vec<Value> {
    let mut all = status["conditions"].as_array().cloned().unwrap_or_default();
    all.sort_by_key(|condition| condition["type"].to_string());
    all.iter().map(|c| json!([c["type"], c["status"], c["reason"], c["message"], c["observedGeneration"]])).collect()
}

/// What was measured, without when.
fn metrics(status: &Value) -> Value {
    let mut metrics = status["metrics"].clone();
    for summary in metrics.as_array_mut().into_iter().flatten() {
        summary.as_object_mut().and_then(|summary| summary.remove("latestTime"));
    }
    metrics
}

/// Which times are set.
fn times(status: &Value) -> Value {
    json!([status["startTime"].is_string(), status["completionTime"].is_string()])
}

/// Kind and name of the object with this UID.
fn whose(world: &World, uid: &Value) -> Value {
    let all = ["experiments", "trials", "jobs"].into_iter().flat_map(|kind| world.server.dump(kind));
    let name = all.into_iter().find(|object| &object["metadata"]["uid"] == uid);
    name.map_or(json!("of nobody"), |object| json!([object["kind"], object["metadata"]["name"]]))
}

/// Name, labels and owners. In place of a UID stands whose it is.
fn identity(world: &World, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let whose = |uid: &Value| whose(world, uid);
    let labels: BTreeMap<String, Value> = metadata["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), if key.ends_with("-uid") { whose(value) } else { value.clone() }))
        .collect();
    let owners = metadata["ownerReferences"].as_array().cloned().unwrap_or_default();
    let owners: Vec<Value> =
        owners.iter().map(|o| json!([o["kind"], o["name"], whose(&o["uid"]), o["controller"]])).collect();
    json!([metadata["namespace"], metadata["name"], labels, owners, metadata["finalizers"]])
}

/// What was told to people by Events.
pub fn events(world: &World) -> Vec<String> {
    let told = world.server.dump("events");
    let mut told: Vec<String> = told
        .iter()
        .map(|event| {
            let about = if event["involvedObject"].is_null() { &event["regarding"] } else { &event["involvedObject"] };
            let note = if event["message"].is_null() { &event["note"] } else { &event["message"] };
            format!("{} {} {}: {} {note}", event["type"], about["kind"], about["name"], event["reason"])
        })
        .collect();
    told.sort();
    told
}

/// Object -> how often it was made and deleted by operators.
pub fn counts(world: &World) -> BTreeMap<String, (usize, usize)> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let ours = ["trials", "jobs", "persistentvolumeclaims"];
    let made = |entry: &&Entry| entry.by.starts_with("operator") && ours.contains(&entry.resource.as_str());
    for entry in world.journal().iter().filter(made) {
        let count = counts.entry(format!("{}/{}", entry.resource, entry.name)).or_default();
        count.0 += usize::from(entry.verb == "create");
        count.1 += usize::from(entry.verb == "delete");
    }
    counts.retain(|_, count| *count != (0, 0));
    counts
}

/// The parts of two end states that are not the same.
fn difference(a: &Value, b: &Value) -> String {
    let mut text = String::new();
    for kind in ["experiments", "trials", "jobs", "pods", "claims"] {
        let (a, b) = (a[kind].as_array().unwrap(), b[kind].as_array().unwrap());
        for item in a.iter().filter(|item| !b.contains(item)) {
            text.push_str(&format!("- {item}\n"));
        }
        for item in b.iter().filter(|item| !a.contains(item)) {
            text.push_str(&format!("+ {item}\n"));
        }
    }
    text
}

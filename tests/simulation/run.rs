//! Runs a scenario from its beginning to rest, and says what came out.

use super::chaos::{Chaos, Crash, Trouble};
use super::invariants::Witness;
use super::scenarios::Scenario;
use super::world::{Entry, World};
use automl_operator::controller::Mutation;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a killed operator stays away.
const DOWN: Duration = Duration::from_secs(1);
/// How long everything must be quiet at the end. More than any wait of the operator but its safety resync.
const REST: Duration = Duration::from_secs(900);
/// Simulated time that a scenario may take.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// What goes wrong in a run.
#[derive(Clone, Default)]
pub struct Disturbance {
    /// When the operator dies; it comes back a second later.
    pub crashes: Vec<Crash>,
    /// Which of its requests go wrong.
    pub trouble: Option<Trouble>,
    /// A fault in the operator itself.
    pub mutation: Mutation,
    /// Two operators at a time that know nothing of each other.
    pub twins: bool,
}

/// What came out.
pub struct Outcome {
    /// What a person sees at the end, without UIDs and times.
    pub end: Value,
    /// Object -> how often it was made and deleted by operators.
    pub counts: BTreeMap<String, (usize, usize)>,
    /// Invariants that did not hold.
    pub violations: Vec<String>,
    /// Writes of operators, refused ones included.
    pub writes: u64,
}

/// Runs it in a simulated time of its own.
pub fn run(scenario: &Scenario, disturbance: Disturbance) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(scenario, disturbance))));
    played.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        let violations = vec![format!("L1: the story did not come to its end: {said}")];
        Outcome { end: Value::Null, counts: BTreeMap::new(), violations, writes: 0 }
    })
}

async fn play(scenario: &Scenario, disturbance: Disturbance) -> Outcome {
    let chaos = Chaos::new(disturbance.crashes.clone(), disturbance.trouble.clone());
    let world = World::new(scenario.play.clone());
    let hook = chaos.clone();
    world.server.set_faults(Some(Arc::new(move |request: &_| hook.before(request))));
    let witness = Arc::new(Mutex::new(Witness::default()));
    let seen = witness.clone();
    world.server.add_observer(Arc::new(move |write: &_| seen.lock().unwrap().see(write)));

    let lives = async {
        let first = supervise(&world, &chaos, "operator-a", disturbance.mutation);
        match disturbance.twins {
            true => drop(tokio::join!(first, supervise(&world, &chaos, "operator-b", disturbance.mutation))),
            false => first.await,
        }
    };
    let mut violations = Vec::new();
    let story = async {
        if timeout(LIMIT, (scenario.story)(&world)).await.is_err() {
            violations.push(format!("L1: the story did not come to its end\n{}", world.report()));
        }
        // What the operator has to tidy up, and the last of its coalesced writes.
        sleep(Duration::from_secs(120)).await;
        chaos.calm();
        let writes = chaos.writes();
        sleep(REST).await;
        if chaos.writes() != writes {
            let log = world.server.audit_log();
            let last: Vec<String> = log
                .iter()
                .rev()
                .filter(|line| line.request.is_write())
                .take(3)
                .map(|line| line.request.path.clone())
                .collect();
            violations.push(format!("S10: {} writes at rest, such as {last:?}", chaos.writes() - writes));
        }
    };
    tokio::select! {
        () = lives => unreachable!("operators are started again for ever"),
        () = story => {}
    }
    let mut witness = witness.lock().unwrap();
    witness.at_the_end();
    violations.append(&mut witness.violations);
    Outcome { end: end_state(&world), counts: counts(&world), violations, writes: chaos.writes() }
}

/// Starts an operator, and another whenever it has died or lost its lease.
async fn supervise(world: &World, chaos: &Chaos, name: &str, mutation: Mutation) {
    for life in 1.. {
        let agent = format!("{name}-{life}");
        let operator = world.start_with(&agent, None, mutation);
        chaos.death(&agent).await;
        drop(operator);
        sleep(DOWN).await;
    }
}

/// What a person sees, without what differs from run to run.
fn end_state(world: &World) -> Value {
    let conditions = |status: &Value| -> Vec<Value> {
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        all.iter().map(|c| json!([c["type"], c["status"], c["reason"], c["message"]])).collect()
    };
    let experiments: Vec<Value> = world
        .server
        .dump("experiments")
        .iter()
        .map(|e| {
            let status = &e["status"];
            json!([
                e["metadata"]["name"],
                conditions(status),
                status["trials"],
                status["best"],
                status["observedGeneration"]
            ])
        })
        .collect();
    let trials: Vec<Value> = world
        .server
        .dump("trials")
        .iter()
        .map(|t| {
            let s = &t["status"];
            json!([
                t["metadata"]["name"],
                t["spec"],
                s["attempt"],
                s["objective"],
                s["metrics"],
                s["otherMetrics"],
                s["exit"],
                conditions(s),
            ])
        })
        .collect();
    let jobs: Vec<Value> = world.server.dump("jobs").iter().map(|j| j["metadata"]["name"].clone()).collect();
    json!({"experiments": experiments, "trials": trials, "jobs": jobs})
}

fn counts(world: &World) -> BTreeMap<String, (usize, usize)> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let made =
        |entry: &&Entry| entry.by.starts_with("operator") && matches!(entry.resource.as_str(), "trials" | "jobs");
    for entry in world.journal().iter().filter(made) {
        let count = counts.entry(format!("{}/{}", entry.resource, entry.name)).or_default();
        count.0 += usize::from(entry.verb == "create");
        count.1 += usize::from(entry.verb == "delete");
    }
    counts
}

/// L4 and L5: the end and the effort are those of the undisturbed run.
pub fn compare(undisturbed: &Outcome, disturbed: &Outcome) -> Vec<String> {
    let mut differences = disturbed.violations.clone();
    if disturbed.end.is_null() {
        return differences;
    }
    if undisturbed.end != disturbed.end {
        differences.push(format!("L4: the end differs:\n{}", difference(&undisturbed.end, &disturbed.end)));
    }
    if undisturbed.counts != disturbed.counts {
        let odd: Vec<String> = undisturbed
            .counts
            .iter()
            .filter(|(name, count)| disturbed.counts.get(*name) != Some(count))
            .map(|(name, count)| format!("{name}: {count:?}, now {:?}", disturbed.counts.get(name)))
            .chain(
                disturbed
                    .counts
                    .keys()
                    .filter(|name| !undisturbed.counts.contains_key(*name))
                    .map(|name| format!("{name}: new")),
            )
            .collect();
        differences.push(format!("L5: made and deleted other than in the undisturbed run: {odd:?}"));
    }
    differences
}

/// The parts of two end states that are not the same.
fn difference(a: &Value, b: &Value) -> String {
    let mut text = String::new();
    for kind in ["experiments", "trials", "jobs"] {
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

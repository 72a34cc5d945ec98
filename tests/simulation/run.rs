//! Runs a scenario from its beginning to rest, and says what came out.

use super::chaos::{Crash, Trouble};
use super::compare::{counts, end_state, events};
use super::scenarios::Scenario;
use super::world::{Entry, Start, World};
use automl_operator::controller::{LeaseName, Mutation, Timing};
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a killed operator stays away.
const DOWN: Duration = Duration::from_secs(1);
/// What an operator has to tidy up after the story, and the last of its coalesced writes.
const TIDY: Duration = Duration::from_secs(120);
/// After failures: more than the longest wait before the next try.
const RECOVER: Duration = Duration::from_secs(700);
/// How long everything must be quiet at the end: more than any wait of the operator.
const REST: Duration = Duration::from_secs(900);
/// Simulated time that a scenario may take.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// What happens beside the story, until it ends: caches lag, watches break, operators die.
pub type Weather = Arc<dyn for<'a> Fn(&'a World) -> BoxFuture<'a, ()> + Send + Sync>;

/// What goes wrong in a run.
#[derive(Clone, Default)]
pub struct Disturbance {
    /// When an operator dies; it comes back a second later.
    pub crashes: Vec<Crash>,
    /// Which requests of operators go wrong.
    pub trouble: Option<Trouble>,
    /// What else goes wrong.
    pub weather: Option<Weather>,
    /// A fault in the operators themselves.
    pub mutation: Mutation,
    /// How many operators there are.
    pub fleet: Fleet,
    /// How far the clocks of the operators are ahead, in seconds.
    pub clocks: [i64; 2],
    /// By how much the operators' views may lag.
    pub slack: Duration,
    /// It may happen that no operator is left for a while.
    pub all_may_die: bool,
    /// The run is broken off once this invariant is violated.
    pub until: Option<&'static str>,
}

/// The operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fleet {
    /// One.
    #[default]
    One,
    /// Two that know nothing of each other.
    Twins,
    /// Two that elect a leader.
    Replicas,
}

/// What came out.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// What a person sees at the end, without UIDs and times.
    pub end: Value,
    /// What a person was told by Events.
    pub events: Vec<String>,
    /// Object -> how often it was made and deleted by operators.
    pub counts: BTreeMap<String, (usize, usize)>,
    /// Invariants that did not hold.
    pub violations: Vec<String>,
    /// Reasons that operators have given in conditions.
    pub reasons: BTreeSet<String>,
    /// Writes of operators, refused ones included.
    pub writes: u64,
    /// Requests of operators.
    pub requests: u64,
    /// How many of the crashes happened.
    pub fired: usize,
    /// Every stored change.
    pub journal: Vec<Entry>,
}

/// Runs it in a simulated time of its own.
pub fn run(scenario: &Scenario, disturbance: Disturbance) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(scenario, disturbance))));
    played.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned())).unwrap_or_default();
        let violations = vec![format!("L1: the story did not come to its end: {said}")];
        Outcome {
            end: Value::Null,
            events: Vec::new(),
            counts: BTreeMap::new(),
            violations,
            reasons: BTreeSet::new(),
            writes: 0,
            requests: 0,
            fired: 0,
            journal: Vec::new(),
        }
    })
}

async fn play(scenario: &Scenario, disturbance: Disturbance) -> Outcome {
    let world = World::new(scenario.play.clone());
    let disturbed = disturbance.trouble.is_some() || disturbance.weather.is_some();
    world.chaos.set_crashes(disturbance.crashes.clone());
    world.chaos.set_trouble(disturbance.trouble.clone());
    {
        let mut witness = world.eyes.lock();
        witness.slack = disturbance.slack;
        witness.twins = disturbance.fleet == Fleet::Twins;
        witness.elects = disturbance.fleet == Fleet::Replicas;
        witness.standby = witness.elects && !disturbance.all_may_die;
    }
    let weather = async {
        if let Some(weather) = &disturbance.weather {
            weather(&world).await;
        }
        std::future::pending::<()>().await;
    };
    let mut violations = Vec::new();
    let story = async {
        let story = timeout(LIMIT, (scenario.story)(&world));
        tokio::select! {
            biased;
            told = story => {
                if told.is_err() {
                    violations.push(format!("L1: the story did not come to its end\n{}", world.report()));
                }
            }
            () = weather => {}
            () = violation(&world, disturbance.until) => {}
        }
        world.calm();
        if disturbance.until.is_some() && !world.eyes.lock().violations.is_empty() {
            return;
        }
        sleep(if disturbed { RECOVER } else { TIDY }).await;
        let writes = world.chaos.writes();
        sleep(REST).await;
        let mut witness = world.eyes.lock();
        witness.s10_nothing_is_written_at_rest("at the end", world.chaos.writes() - writes, &world.server);
        witness.at_the_end();
    };
    tokio::select! {
        biased;
        () = operators(&world, &disturbance) => unreachable!("operators are started again for ever"),
        () = story => {}
    }
    violations.append(&mut world.eyes.lock().violations);
    let reasons = std::mem::take(&mut world.eyes.lock().reasons);
    Outcome {
        end: end_state(&world),
        events: events(&world),
        counts: counts(&world),
        violations,
        reasons,
        writes: world.chaos.writes(),
        requests: world.chaos.requests(),
        fired: world.chaos.fired(),
        journal: world.journal(),
    }
}

async fn violation(world: &World, invariant: Option<&str>) {
    let is_it = |what: &String| invariant.is_some_and(|name| what.split(':').next() == Some(name));
    while !world.eyes.lock().violations.iter().any(is_it) {
        sleep(Duration::from_secs(1)).await;
    }
}

async fn operators(world: &World, disturbance: &Disturbance) {
    let start = |clock_ahead| Start {
        lease: (disturbance.fleet == Fleet::Replicas).then(|| LeaseName {
            namespace: "default".into(),
            name: "automl-operator".into(),
            own_url: None,
            timing: Timing::default(),
        }),
        mutation: disturbance.mutation,
        clock_ahead,
    };
    let first = supervise(world, "operator-a", start(disturbance.clocks[0]));
    match disturbance.fleet {
        Fleet::One => first.await,
        _ => drop(tokio::join!(first, supervise(world, "operator-b", start(disturbance.clocks[1])))),
    }
}

/// Starts an operator, and another whenever it has died or lost its lease.
async fn supervise(world: &World, name: &str, start: Start) {
    for life in 1.. {
        let agent = format!("{name}-{life}");
        let mut alive = world.start_with(&agent, start.clone());
        tokio::select! {
            biased;
            () = world.chaos.death(&agent) => {}
            _ = alive.operator.lost() => world.chaos.kill(&agent),
        }
        drop(alive);
        sleep(DOWN).await;
    }
}

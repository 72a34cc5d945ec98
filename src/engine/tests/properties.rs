//! What holds whatever happens: interruptions anywhere change nothing, and no object makes a plan panic.

mod arbitrary;

use super::model::{Model, Play};
use super::{by_hand, end_state, good, x};
use crate::api::Trial;
use arbitrary::world;
use proptest::prelude::*;
use serde_json::{Value, json};

fn plays() -> impl Strategy<Value = fn(&Trial) -> Play> {
    prop::sample::select(vec![
        good as fn(&Trial) -> Play,
        |t| if x(t) < 0.5 { Play::Fail } else { good(t) },
        |t| if x(t) < 0.5 { Play::Lost(1, x(t)) } else { good(t) },
        |t| if x(t) < 0.3 { Play::Silent } else { good(t) },
    ])
}

/// What a person does.
#[derive(Clone, Debug)]
enum Deed {
    Nothing,
    Edit(Value),
    /// Makes a Trial with this value.
    Make(f64),
    /// Deletes the first, second, ... Trial there is.
    DeleteTrial(usize),
    DeleteJob(usize),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let limits =
        |max: u32, parallel: u32| json!({"limits": {"maxTrials": max.max(parallel), "parallelTrials": parallel}});
    let deed = prop_oneof![
        4 => Just(Deed::Nothing),
        2 => (1_u32..9, 1_u32..4).prop_map(move |(max, parallel)| Deed::Edit(limits(max, parallel))),
        2 => any::<bool>().prop_map(|suspend| Deed::Edit(json!({"suspend": suspend}))),
        1 => Just(Deed::Edit(json!({"trialTemplate": {"retain": "Always"}}))),
        1 => prop::sample::select(vec!["train", "tarin"])
            .prop_map(|name| Deed::Edit(json!({"trialTemplate": {"primaryContainer": name}}))),
        1 => (0.0..2.0).prop_map(Deed::Make),
        1 => (0_usize..5).prop_map(Deed::DeleteTrial),
        1 => (0_usize..5).prop_map(Deed::DeleteJob),
    ];
    prop::collection::vec(deed, 0..15)
}

fn does(model: &mut Model, number: usize, deed: &Deed) {
    match deed {
        Deed::Nothing => {}
        Deed::Edit(patch) => model.edit(patch),
        Deed::Make(x) => model.add(by_hand(&format!("hand-{number}"), &json!({"x": x}))),
        Deed::DeleteTrial(at) => {
            if let Some(name) = model.trials.keys().nth(*at).cloned() {
                model.remove(&name);
            }
        }
        Deed::DeleteJob(at) => {
            if let Some(name) = model.jobs.keys().nth(*at).cloned() {
                model.jobs.remove(&name);
            }
        }
    }
}

fn spec(algorithm: &str) -> Value {
    let parameters = match algorithm {
        "Grid" => json!([{"name": "x", "double": {"min": 0.0, "max": 1.0, "step": 0.25}}]),
        _ => json!([{"name": "x", "double": {"min": 0.0, "max": 1.0}}]),
    };
    // So few that models leave their random start behind.
    let settings = if matches!(algorithm, "TPE" | "Auto") { json!({"startupTrials": 2}) } else { json!({}) };
    let mut spec = json!({
        "parameters": parameters, "algorithm": {"name": algorithm, "settings": settings}, "limits": {"maxFailedTrials": 6},
    });
    if matches!(algorithm, "Hyperband" | "ASHA") {
        spec["fidelity"] = json!({"parameter": "epochs", "min": 1, "max": 4, "eta": 2});
    }
    spec
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any prefix of a plan's actions, memory lost, time passing, planned again: the same end, for tuners that do not
    /// look at what has ended.
    #[test]
    fn interruptions_anywhere_change_nothing(
        play in plays(),
        algorithm in prop::sample::select(vec!["Random", "Sobol", "Grid"]),
        cuts in prop::collection::vec(0_usize..4, 0..60),
    ) {
        let mut calm = Model::new(spec(algorithm), play);
        calm.run();
        let mut disturbed = Model::new(spec(algorithm), play);
        for cut in cuts {
            disturbed.settle(&mut cut.clone());
            disturbed.restart();
            disturbed.settle(&mut (cut / 2).clone());
            disturbed.restart();
            if cut % 2 == 0 {
                disturbed.tick();
            }
        }
        disturbed.run();
        prop_assert_eq!(end_state(&calm), end_state(&disturbed));
    }

    /// The same for all tuners while a person edits, suspends, makes and deletes: what is reached before time goes on
    /// does not depend on where it was interrupted.
    #[test]
    fn interruptions_change_nothing_of_what_people_do(
        play in plays(),
        algorithm in prop::sample::select(vec!["Random", "Sobol", "Grid", "TPE", "Auto", "Evolution", "Hyperband", "ASHA"]),
        deeds in deeds(),
        cuts in prop::collection::vec(0_usize..5, 1..40),
    ) {
        let mut calm = Model::new(spec(algorithm), play);
        let mut disturbed = Model::new(spec(algorithm), play);
        // What is deleted before it is counted was never there, so nothing is held back here.
        (calm.settings.status_interval_ms, disturbed.settings.status_interval_ms) = (0, 0);
        let mut cuts = cuts.iter().cycle();
        for (number, deed) in deeds.iter().enumerate() {
            calm.pass(1);
            does(&mut calm, number, deed);
            for _ in 0..3 {
                disturbed.settle(&mut cuts.next().unwrap().clone());
                disturbed.restart();
            }
            disturbed.pass(1);
            does(&mut disturbed, number, deed);
        }
        calm.pass(80);
        disturbed.pass(80);
        prop_assert_eq!(end_state(&calm), end_state(&disturbed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever stands in the objects, and whenever it is, a plan comes back.
    #[test]
    fn plan_never_panics(world in world()) {
        let plan = world.plan();
        let status = |action: &crate::engine::Action| matches!(action, crate::engine::Action::WriteExperimentStatus { .. });
        let at = plan.actions.iter().position(status);
        prop_assert!(at.is_none_or(|at| at + 1 == plan.actions.len()), "the status comes last");
    }
}

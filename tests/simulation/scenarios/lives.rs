//! Experiments that nobody touches.

use super::super::script::{End, Script, improving, printing};
use super::{Scenario, alone, ending, evicted, merged, one_at_a_time, standard, two_at_a_time};
use serde_json::{Value as Json, json};
use std::time::Duration;

pub fn all() -> Vec<Scenario> {
    [undisturbed_experiments(), rungs(), failures(), endings(), early_stopping()].into_iter().flatten().collect()
}

fn undisturbed_experiments() -> Vec<Scenario> {
    let algorithm = |name: &str, settings: Json| json!({"algorithm": {"name": name, "settings": settings}});
    vec![
        alone("random, two at a time", two_at_a_time(4), standard),
        alone("tpe, one at a time", merged(one_at_a_time(3), algorithm("TPE", json!({}))), standard),
        alone(
            "auto, one at a time",
            merged(one_at_a_time(5), algorithm("Auto", json!({"startupTrials": 2}))),
            standard,
        ),
        alone(
            "cma-es, one at a time",
            merged(one_at_a_time(5), algorithm("CMA-ES", json!({"population": 4, "allowRepeats": true}))),
            standard,
        ),
        alone(
            "sobol, three at a time",
            merged(json!({"limits": {"maxTrials": 4, "parallelTrials": 3}}), algorithm("Sobol", json!({}))),
            standard,
        ),
        alone(
            "grid, to the end of the space",
            merged(
                json!({
                    "parameters": [
                        {"name": "x", "double": {"min": 0.0, "max": 1.0, "step": 0.5}},
                    ],
                    "limits": {"maxTrials": 50, "parallelTrials": 2},
                }),
                algorithm("Grid", json!({})),
            ),
            standard,
        ),
        alone(
            "given points first",
            merged(
                one_at_a_time(3),
                json!({"initialTrials": [{"assignments": {"x": 0.25}}, {"assignments": {"x": 0.75}}]}),
            ),
            standard,
        ),
        alone("every Job is kept", merged(two_at_a_time(3), json!({"trialTemplate": {"retain": "Always"}})), standard),
    ]
}

/// Trials that go on from others.
fn rungs() -> Vec<Scenario> {
    let rungs = |name: &str, limits: Json| {
        let fidelity = json!({"parameter": "epochs", "min": 1, "max": 4, "eta": 2});
        let volume = json!({"persistentVolumeClaim": {"claimName": "c"}});
        let algorithm = json!({"name": name, "seed": 2});
        merged(limits, json!({"algorithm": algorithm, "fidelity": fidelity, "checkpoint": {"volume": volume}}))
    };
    let template = json!({"checkpoint": {
        "volume": null, "volumeClaimTemplate": {"spec": {
            "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}},
        }},
    }});
    vec![
        alone(
            "asynchronous halving on a claim of the operator's",
            merged(rungs("ASHA", one_at_a_time(4)), template),
            standard,
        ),
        alone("successive halving, two at a time", rungs("SuccessiveHalving", two_at_a_time(7)), standard),
        alone("asynchronous halving, one at a time", rungs("ASHA", one_at_a_time(6)), standard),
        alone("a rung with failures", rungs("Hyperband", one_at_a_time(10)), |program| {
            match (program.index, program.attempt) {
                (Some(1), _) => ending(program, End::Exit(1)),
                (Some(4), 0) => evicted(program),
                _ => standard(program),
            }
        }),
    ]
}

fn failures() -> Vec<Scenario> {
    vec![
        alone("some programs fail", two_at_a_time(4), |program| match program.index {
            Some(1 | 3) => ending(program, End::Exit(1)),
            _ => standard(program),
        }),
        alone("every program fails", merged(one_at_a_time(9), json!({"limits": {"maxFailedTrials": 2}})), |program| {
            ending(program, End::Exit(2))
        }),
        alone("evicted once", two_at_a_time(3), |program| match (program.index, program.attempt) {
            (Some(1), 0) => evicted(program),
            _ => standard(program),
        }),
        alone(
            "evicted again and again",
            merged(two_at_a_time(3), json!({"failurePolicy": {"retries": 1}})),
            |program| match program.index {
                Some(1) => evicted(program),
                _ => standard(program),
            },
        ),
        alone("the metric is never printed", two_at_a_time(3), |program| match program.index {
            Some(1) => Script { lines: Vec::new(), ..standard(program) },
            _ => standard(program),
        }),
        alone("the metric is not finite", two_at_a_time(3), |program| match program.index {
            Some(1) => improving("score", f64::NAN, 3),
            _ => standard(program),
        }),
    ]
}

fn endings() -> Vec<Scenario> {
    vec![
        alone(
            "the goal is reached",
            json!({"limits": {"maxTrials": 9, "parallelTrials": 2}, "objectives": [{"metric": "score", "direction": "Maximize", "goal": 5.0}]}),
            |program| match program.index {
                Some(0) => Script { end: End::Never, ..standard(program) },
                _ => improving("score", 7.0, 20),
            },
        ),
        alone(
            "a trial runs too long",
            json!({"limits": {"maxTrials": 3, "parallelTrials": 1, "maxTrialDuration": "60s"}}),
            |program| match program.index {
                Some(1) => ending(program, End::Never),
                _ => standard(program),
            },
        ),
        alone(
            "the experiment runs too long",
            json!({"limits": {"maxTrials": 9, "parallelTrials": 2, "maxDuration": "5m"}}),
            |program| ending(program, End::Never),
        ),
        alone(
            "the GPU hours are used up",
            merged(
                json!({"limits": {"maxTrials": 9, "parallelTrials": 2, "maxGpuHours": 0.2}}),
                json!({"trialTemplate": {"manifest": {"spec": {"template": {"spec": {"containers": [{
                    "name": "train", "image": "x", "command": ["train"], "resources": {"limits": {"nvidia.com/gpu": 2}},
                }]}}}}}}),
            ),
            |program| ending(program, End::Never),
        ),
    ]
}

/// Each program that a rule is to stop goes on for ever after the line that it is stopped for, so that it is not stopped at
/// another one.
fn early_stopping() -> Vec<Scenario> {
    let rule = |name: &str, settings: Json| json!({"earlyStopping": [{"name": name, "settings": settings}]});
    let second = Duration::from_secs(1);
    vec![
        alone(
            "a rule stops what falls below a bound",
            merged(two_at_a_time(4), rule("Threshold", json!({"bound": 0.5}))),
            move |program| match program.index {
                Some(1 | 3) => Script { end: End::Never, ..printing("score", second, [0.9, 0.8, 0.1]) },
                _ => printing("score", second, [0.6, 0.7]),
            },
        ),
        alone(
            "a rule stops what others do better than",
            merged(one_at_a_time(4), rule("Median", json!({"minTrials": 1}))),
            move |program| match program.index {
                Some(1 | 2) => Script { end: End::Never, ..printing("score", second, [0.1]) },
                _ => printing("score", second, [0.5, 0.6]),
            },
        ),
    ]
}

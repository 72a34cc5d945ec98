//! Objects as nobody would write them.

use crate::api::conditions::reasons;
use crate::api::{Condition, Experiment, ExperimentStatus, Trial, TrialStatus};
use crate::engine::tests::good;
use crate::engine::tests::model::{Model, experiment};
use crate::engine::{Blocked, Facts, Fate, Finding, JobCondition, JobView, Known, Pods, Probe, Refusal};
use crate::metrics::{MetricSummary, Observation};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const NAMES: [&str; 8] = ["e-00000", "e-00001", "e-00001-1", "e-00002", "mine", "mine-1", "e-4294967295", ""];

/// An experiment, trials, jobs and facts at some time.
pub fn world() -> impl Strategy<Value = Model> {
    let trials = prop::collection::vec(trial(), 0..6);
    let jobs = prop::collection::vec(job(), 0..6);
    (arbitrary_experiment(), trials, jobs, facts(), time(), prop::option::of((time(), time()))).prop_map(
        |(experiment, trials, jobs, facts, now, away)| {
            let mut model = Model::new(json!({}), good);
            model.experiment = experiment;
            model.trials = trials.into_iter().map(|trial| (kube::ResourceExt::name_any(&trial), trial)).collect();
            model.jobs = jobs.into_iter().map(|job| (job.name.clone(), job)).collect();
            model.facts = facts;
            model.now = now;
            model.settings.away = away;
            model
        },
    )
}

fn time() -> impl Strategy<Value = Timestamp> {
    let usual = (0_i64..5_000).prop_map(|second| Timestamp::from_second(1_000_000 + second).unwrap());
    prop_oneof![
        4 => usual,
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
        1 => Just(Timestamp::MAX - SignedDuration::from_secs(1)),
        1 => Just(Timestamp::UNIX_EPOCH),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(NAMES.to_vec()).prop_map(String::from)
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0_u32..5, 1 => Just(u32::MAX), 1 => Just(u32::MAX - 1), 1 => Just(1000)]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        "[a-z${}.x]{0,8}".prop_map(Value::from),
    ];
    let keys = vec![
        "name",
        "x",
        "spec",
        "template",
        "containers",
        "command",
        "metadata",
        "labels",
        "podFailurePolicy",
        "rules",
        "env",
        "value",
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        let field = (prop::sample::select(keys.clone()).prop_map(String::from), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(field, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn manifest() -> impl Strategy<Value = Value> {
    let usual = serde_json::to_value(experiment(json!({}))).unwrap()["spec"]["trialTemplate"]["manifest"].clone();
    let changed = usual.clone();
    prop_oneof![
        3 => Just(usual),
        1 => json_value().prop_map(move |change| {
            let mut manifest = changed.clone();
            json_patch::merge(&mut manifest, &change);
            manifest
        }),
        1 => json_value(),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => Just(0.0), 2 => Just(1.0), 1 => Just(f64::MAX), 1 => Just(f64::MIN), 1 => Just(1e-300), 2 => -1e6..1e6_f64,
    ]
}

fn domain() -> impl Strategy<Value = Value> {
    let scale = prop::sample::select(vec!["Linear", "Log"]);
    let whole = prop_oneof![2 => -9_i64..9, 1 => Just(1 << 61), 1 => Just(-(1_i64 << 61))];
    let double = (number(), number(), prop::option::of(number()), scale.clone()).prop_map(|(min, max, step, scale)| {
        let mut double = json!({"min": min, "max": max, "scale": scale});
        step.into_iter().for_each(|step| double["step"] = json!(step));
        json!({"double": double})
    });
    let int = (whole.clone(), whole, prop::option::of(1_i64..5), scale).prop_map(|(min, max, step, scale)| {
        let mut int = json!({"min": min, "max": max, "scale": scale});
        step.into_iter().for_each(|step| int["step"] = json!(step));
        json!({"int": int})
    });
    let choices =
        prop::collection::vec("[a-c]{0,2}", 0..4).prop_map(|choices| json!({"categorical": {"choices": choices}}));
    let values = prop::collection::vec(number(), 0..4).prop_map(|values| json!({"discrete": {"values": values}}));
    prop_oneof![3 => double, 3 => int, 2 => choices, 2 => values, 1 => Just(json!({}))]
}

fn parameters() -> impl Strategy<Value = Value> {
    let when = prop::option::of(prop::sample::select(vec!["x", "y", "z", "?"]));
    prop::collection::vec((prop::sample::select(vec!["x", "y", "z"]), domain(), when), 0..4).prop_map(|all| {
        let each = all.into_iter().map(|(name, mut parameter, when)| {
            parameter["name"] = json!(name);
            if let Some(other) = when {
                parameter["when"] = json!([{"parameter": other, "in": ["a", "0", "1"]}]);
            }
            parameter
        });
        Value::from(each.collect::<Vec<_>>())
    })
}

fn arbitrary_experiment() -> impl Strategy<Value = Experiment> {
    let algorithm = prop::sample::select(vec!["Random", "Grid", "Sobol", "TPE", "?"]);
    let constraints = prop::sample::select(vec![json!([]), json!(["x < 0.5"]), json!(["x <"]), json!(["x == y"])]);
    let limits = (count(), count(), prop::option::of(count()), duration(), duration());
    let initial = prop::collection::vec(assignments(), 0..2);
    let objectives = prop::sample::select(vec![
        json!([]),
        json!([{"metric": "accuracy", "direction": "Maximize"}]),
        json!([{"metric": "accuracy", "direction": "Minimize", "goal": 0.5}]),
    ]);
    let spec = (
        algorithm,
        constraints,
        limits,
        initial,
        objectives,
        parameters(),
        manifest(),
        any::<bool>(),
        prop::option::of(json_value()),
    );
    let metadata = (prop::option::of(any::<i64>()), any::<bool>(), any::<bool>());
    (spec, metadata, prop::option::of(experiment_status())).prop_map(|(spec, (generation, usual, deleting), status)| {
        let (
            algorithm,
            constraints,
            (max, parallel, failed, most, most_trial),
            initial,
            objectives,
            parameters,
            manifest,
            suspend,
            settings,
        ) = spec;
        let mut value = serde_json::to_value(experiment(json!({}))).unwrap();
        let spec = &mut value["spec"];
        let mut limits = json!({"maxTrials": max, "parallelTrials": parallel});
        failed.into_iter().for_each(|failed| limits["maxFailedTrials"] = json!(failed));
        most.into_iter().for_each(|most| limits["maxDuration"] = json!(most));
        most_trial.into_iter().for_each(|most| limits["maxTrialDuration"] = json!(most));
        (spec["limits"], spec["suspend"], spec["parameterConstraints"]) = (limits, json!(suspend), constraints);
        spec["algorithm"]["name"] = json!(algorithm);
        if let Some(Value::Object(settings)) = settings {
            spec["algorithm"]["settings"] = settings.into();
        }
        (spec["objectives"], spec["trialTemplate"]["manifest"]) = (objectives, manifest);
        if parameters.as_array().is_some_and(|parameters| !parameters.is_empty()) {
            spec["parameters"] = parameters;
        }
        // Some are known, some of those by a value that is none.
        let result = |at: usize| [json!({}), json!({"accuracy": 0.5}), json!({"loss": 1})][at % 3].clone();
        let given = initial.into_iter().enumerate();
        spec["initialTrials"] = given
            .map(|(at, assignments)| json!({"assignments": assignments, "result": result(at + max as usize)}))
            .collect();
        if suspend == usual {
            spec["warmStartFrom"] = json!([{"experiment": "old", "maxTrials": 2}]);
        }
        let mut experiment: Experiment = serde_json::from_value(value).unwrap();
        // Most of the time there is one that somebody has worked on.
        experiment.metadata.generation = if usual { Some(1) } else { generation };
        experiment.status = status;
        if deleting && !usual {
            experiment.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::MAX));
        }
        experiment
    })
}

fn duration() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![None, Some("1s"), Some("999999h999999m999999s"), Some("0s"), Some("x"), Some("20s")])
}

fn assignments() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        number().prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number)),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec!["x", "y", "z", "?"]).prop_map(String::from);
    prop::collection::vec((name, value), 0..4).prop_map(|all| Value::Object(all.into_iter().collect()))
}

fn condition() -> impl Strategy<Value = Condition> {
    let reasons: Vec<&str> = reasons::ALL.iter().map(|(reason, _)| *reason).chain([""]).collect();
    (
        prop::sample::select(vec!["Complete", "Failed", "Accepted", "Suspended", "?"]),
        prop::sample::select(vec!["True", "False", "Unknown", ""]),
        prop::sample::select(reasons),
        time(),
        prop::option::of(prop_oneof![Just(1), any::<i64>()]),
    )
        .prop_map(|(kind, status, reason, time, generation)| Condition {
            r#type: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: "m".into(),
            last_transition_time: time,
            observed_generation: generation,
        })
}

fn experiment_status() -> impl Strategy<Value = ExperimentStatus> {
    let counts = (count(), count(), count(), count(), count());
    let best = prop::option::of((name(), number(), assignments()));
    let seconds = prop_oneof![0_i64..100, Just(i64::MAX), Just(i64::MIN)];
    let times = (prop::option::of(time()), prop::option::of(time()), prop::option::of(time()), seconds);
    (counts, best, times, prop::option::of(count()), prop::collection::vec(condition(), 0..5)).prop_map(
        |(counts, best, (start, end, active, seconds), failed, conditions)| {
            let mut status = ExperimentStatus {
                start_time: start,
                completion_time: end,
                active_since: active,
                active_seconds: seconds,
                max_failed_trials: failed,
                conditions,
                ..ExperimentStatus::default()
            };
            let trials = &mut status.trials;
            (trials.created, trials.succeeded, trials.failed, trials.excused, trials.early_stopped) = counts;
            status.best = best.and_then(|(trial, value, assignments)| {
                serde_json::from_value(json!({"trial": trial, "value": value, "assignments": assignments})).ok()
            });
            status
        },
    )
}

fn trial() -> impl Strategy<Value = Trial> {
    let owner = prop::sample::select(vec![
        json!([]),
        json!([{"apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "name": "e", "uid": "e-uid", "controller": true}]),
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c", "controller": true}]),
    ]);
    let spec = (prop::option::of(count()), assignments(), prop::option::of(manifest()));
    (name(), owner, spec, prop::option::of(trial_status()), any::<u8>()).prop_map(
        |(name, owner, (index, assignments, manifest), status, deleting)| {
            let mut trial: Trial = serde_json::from_value(json!({
                "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
                "metadata": {
                    "name": name, "namespace": "default", "uid": format!("uid-of-{name}"), "resourceVersion": "7",
                    "ownerReferences": owner,
                },
                "spec": {"experiment": "e", "assignments": assignments},
            }))
            .unwrap();
            (trial.spec.index, trial.spec.manifest, trial.status) = (index, manifest, status);
            if deleting < 20 {
                trial.metadata.deletion_timestamp =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::MIN));
            }
            trial
        },
    )
}

fn trial_status() -> impl Strategy<Value = TrialStatus> {
    let times = (prop::option::of(time()), prop::option::of(time()));
    let values = prop::collection::vec((number(), prop::option::of(any::<u64>()), time()), 0..3);
    (count(), count(), times, prop::option::of(number()), values, prop::collection::vec(condition(), 0..3)).prop_map(
        |(attempt, interruptions, (start, end), objective, values, conditions)| {
            let mut summary = MetricSummary::new("accuracy");
            for (value, step, time) in values {
                // Above a million it is none at all.
                let value = if value > 1e6 { f64::NAN } else { value };
                summary.observe(&Observation {
                    metric: "accuracy".into(),
                    step: step.map(|step| step >> 11),
                    value,
                    time,
                });
            }
            TrialStatus {
                attempt,
                interruptions,
                start_time: start,
                completion_time: end,
                objective,
                metrics: vec![summary],
                conditions,
                ..TrialStatus::default()
            }
        },
    )
}

fn job() -> impl Strategy<Value = JobView> {
    let condition = (
        prop::sample::select(vec!["Complete", "Failed", "Suspended"]),
        prop::sample::select(vec!["", "PodFailurePolicy", "BackoffLimitExceeded", "DeadlineExceeded"]),
        prop::sample::select(vec!["", "Pod has condition DisruptionTarget"]),
    );
    let conditions = prop::collection::vec(condition, 0..2);
    let numbers = (-1_i64..3, -1_i64..3);
    let times = (prop::option::of(time()), prop::option::of(time()));
    (name(), name(), any::<bool>(), (any::<bool>(), any::<bool>()), numbers, times, conditions).prop_map(
        |(job, trial, own, (deleting, suspended), (active, ready), (start_time, created), conditions)| JobView {
            name: job.clone(),
            uid: format!("uid-of-job-{job}"),
            resource_version: "7".into(),
            owner_uid: if own { format!("uid-of-{trial}") } else { "other".into() },
            trial,
            suspended,
            deleting,
            start_time,
            active,
            ready,
            conditions: conditions
                .into_iter()
                .map(|(kind, reason, message)| JobCondition {
                    r#type: kind.into(),
                    reason: reason.into(),
                    message: message.into(),
                })
                .collect(),
            ended: created.max(start_time),
            created,
        },
    )
}

fn findings() -> impl Strategy<Value = BTreeMap<String, (Timestamp, Finding)>> {
    let known =
        (name(), assignments(), prop_oneof![any::<f64>(), -1.0..1.0]).prop_map(|(name, assignments, objective)| {
            let values = [("accuracy".to_owned(), objective)].into();
            Known { name, assignment: serde_json::from_value(assignments).unwrap_or_default(), values }
        });
    let results = (prop::sample::select(vec!["accuracy", "loss"]), prop::collection::vec(known, 0..4));
    let finding = prop_oneof![
        Just(Finding::None),
        results.prop_map(|(metric, results)| Finding::Results { metrics: vec![metric.into()], results })
    ];
    prop::collection::btree_map(prop::sample::select(vec!["old".to_owned()]), (time(), finding), 0..2)
}

fn facts() -> impl Strategy<Value = Facts> {
    let probe = prop::option::of((Just(1), prop::option::of(Just("no".to_owned())), any::<bool>()));
    let jobs = || prop::collection::btree_map(name(), time(), 0..3);
    let fate = prop_oneof![
        Just(Fate::Kept),
        Just(Fate::Deleted),
        any::<bool>().prop_map(|machine_stopped| Fate::Disrupted { machine_stopped })
    ];
    let (flag, written) = (any::<bool>(), prop::option::of(time()));
    (probe, jobs(), jobs(), jobs(), jobs(), jobs(), flag, fate, (written, findings())).prop_map(
        |(probe, gone, pods, unready, refused, blocked, flag, fate, (status_written, findings))| Facts {
            findings,
            claim: status_written,
            probe: probe.map(|(generation, refusal, may_pass)| Probe { generation, refusal, may_pass }),
            jobs_gone: gone.into_keys().collect(),
            pods: pods
                .into_iter()
                .map(|(job, at)| {
                    (
                        job,
                        Pods {
                            why: String::new(),
                            fate,
                            running: if flag { vec!["train".into()] } else { Vec::new() },
                            failed: (!flag).then(|| ("train".to_owned(), 1)).into_iter().collect(),
                            at,
                        },
                    )
                })
                .collect(),
            unready,
            refused: refused
                .into_iter()
                .map(|(job, at)| (job, Refusal { at, message: "no".into(), permanent: flag }))
                .collect(),
            blocked: blocked
                .into_iter()
                .map(|(trial, at)| {
                    (
                        format!("create Trial {trial}"),
                        Blocked { since: at, at, reason: "NameTaken", message: "no".into() },
                    )
                })
                .collect(),
            status_written,
        },
    )
}

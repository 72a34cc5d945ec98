//! A tuner that panics: it is told, nothing is made of it, and what runs goes on.

use super::good;
use super::model::Model;
use crate::api::conditions::{find, types};
use crate::engine::{Action, Compiled, Ledger, Plan, Probe, Snapshot, compile, plan};
use crate::tuner::{NoSuggestion, Request, Suggestion, Tuner};
use serde_json::json;
use std::sync::Arc;

struct Broken;

impl Tuner for Broken {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        panic!("no trial {} today", request.index)
    }
}

/// A plan for what the model holds, with the tuner broken.
fn broken_plan(model: &Model) -> Plan {
    let compiled = compile(&model.experiment).map(|compiled| Compiled { tuner: Box::new(Broken), ..compiled });
    let mut ledger = Ledger::default();
    ledger.prepare(&model.experiment.spec, compiled.as_ref().ok());
    model.trials.values().for_each(|trial| ledger.upsert_trial(Arc::new(trial.clone())));
    model.jobs.values().for_each(|job| ledger.upsert_job(job.clone()));
    let (experiment, facts, settings) = (&model.experiment, &model.facts, &model.settings);
    plan(&Snapshot { experiment, compiled: &compiled, ledger: &ledger, facts, settings }, model.now)
}

#[test]
fn a_tuner_that_panics_is_told_and_ends_nothing() {
    let mut model = Model::new(json!({}), good);
    model.facts.probe = Some(Probe { generation: 1, refusal: None, may_pass: false });
    for (running, trial) in [(0, "e-00000"), (1, "e-00001")] {
        if running > 0 {
            // One trial is made and has its Job; the tuner breaks at the next.
            model.experiment.spec.limits.parallel_trials = 1;
            model.settle(&mut usize::MAX.clone());
            model.experiment.spec.limits.parallel_trials = 2;
        }
        assert_eq!(model.trials.len(), running);
        let plan = broken_plan(&model);
        let [Action::WriteExperimentStatus { status, events, .. }] = plan.actions.as_slice() else {
            panic!("{:?}", plan.actions)
        };
        let complete = find(&status.conditions, types::COMPLETE).unwrap();
        assert_eq!((complete.status.as_str(), complete.reason.as_str()), ("False", "TunerFailed"));
        let index = trial.trim_start_matches("e-0000");
        assert_eq!(complete.message, format!("the tuner failed, which is a bug: no trial {index} today"));
        assert!(find(&status.conditions, types::FAILED).is_none(), "{status:?}");
        assert!(events.iter().any(|event| event.warning && event.reason == "TunerFailed"), "{events:?}");
    }
}

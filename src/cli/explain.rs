//! `automl explain`: what an experiment's trials say about its search space.

use super::ExplainArguments;
use super::exit::{ExitCode, Failure, Outcome};
use super::files;
use super::print;
use super::progress::{short, shown};
use crate::api::{Experiment, Trial};
use crate::engine::{Ledger, compile};
use crate::metrics::Direction;
use crate::tuner::Surrogate;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// Places of a parameter at which the objective is told, and the least share of parameters that this is told of.
const PLACES: usize = 7;
const LEAST_SHARE: f64 = 0.02;

/// Explains each Experiment in a list of it and its Trials.
pub fn explain(arguments: &ExplainArguments) -> Outcome {
    let (mut experiments, mut trials) = (Vec::new(), Vec::new());
    for object in files::results(&arguments.file)? {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let wrong = |error: serde_json::Error| Failure::usage(format!("{kind} {name} is not as it should be: {error}"));
        match kind.as_str() {
            "Experiment" => experiments.push(serde_json::from_value::<Experiment>(object).map_err(wrong)?),
            "Trial" => trials.push(Arc::new(serde_json::from_value::<Trial>(object).map_err(wrong)?)),
            _ => {}
        }
    }
    if experiments.is_empty() {
        return Err(Failure::usage(
            "there is no Experiment in it; pass on what `kubectl get experiment/NAME trials -o json` or `automl run -o json` \
             prints",
        ));
    }
    let mut all = Vec::new();
    for experiment in &experiments {
        all.push(Explained::of(experiment, &trials)?);
    }
    if arguments.json {
        let all: Vec<Value> = all.iter().map(Explained::json).collect();
        let text = serde_json::to_string_pretty(&all).map_err(Failure::other)?;
        return print::text(&(text + "\n")).map(|()| ExitCode::Done);
    }
    let texts: Vec<String> = all.iter().map(Explained::text).collect();
    print::text(&texts.join("\n")).map(|()| ExitCode::Done)
}

/// What is told of an experiment.
struct Explained {
    experiment: String,
    metric: String,
    trials: usize,
    /// The most important first.
    parameters: Vec<Parameter>,
}

struct Parameter {
    name: String,
    share: f64,
    /// Its value, and the objective to expect.
    effect: Vec<(String, f64)>,
}

impl Explained {
    fn of(experiment: &Experiment, trials: &[Arc<Trial>]) -> Result<Self, Failure> {
        let name = experiment.name_any();
        let compiled =
            compile(experiment).map_err(|problem| Failure::usage(format!("Experiment {name}: {}", problem.message)))?;
        let objective = experiment.spec.objectives.first();
        let (metric, direction) =
            objective.map_or((String::new(), Direction::Minimize), |one| (one.metric.clone(), one.direction));
        let mut ledger = Ledger::default();
        ledger.prepare(&experiment.spec, Some(&compiled));
        for trial in
            trials.iter().filter(|trial| trial.spec.experiment == name && trial.namespace() == experiment.namespace())
        {
            ledger.upsert_trial(trial.clone());
        }
        let learnt = ledger.learnt();
        let Some(surrogate) = Surrogate::new(&compiled.space, &learnt) else {
            return Err(Failure::other(format!(
                "Experiment {name}: {} trials with a value of {metric} are too few to say anything",
                learnt.iter().filter(|one| one.outcome.loss().is_finite()).count()
            )));
        };
        let value = |loss: f64| if direction == Direction::Maximize { -loss } else { loss };
        let parameters = surrogate.importances().into_iter().map(|one| {
            let told = if one.share >= LEAST_SHARE { surrogate.effect(&one.parameter, PLACES) } else { Vec::new() };
            let effect = told.into_iter().map(|(at, loss)| (shown(&at), value(loss))).collect();
            Parameter { name: one.parameter, share: one.share, effect }
        });
        Ok(Explained { experiment: name, metric, trials: surrogate.trials(), parameters: parameters.collect() })
    }

    fn text(&self) -> String {
        let mut text = format!("{}: what its {} trials say about {}\n", self.experiment, self.trials, self.metric);
        if self.parameters.is_empty() {
            return text + "\nIt was the same in all trials.\n";
        }
        let together = (1.0 - self.parameters.iter().map(|one| one.share).sum::<f64>()).max(0.0);
        let width = self.parameters.iter().map(|one| one.name.chars().count()).max().unwrap_or(0).max("together".len());
        text += "\nHow much of what differs is due to:\n";
        let shares = self.parameters.iter().map(|one| (one.name.as_str(), one.share));
        for (name, share) in shares.chain([("together", together)]) {
            let bar = "#".repeat((share * 40.0).round() as usize);
            let _ = writeln!(text, "  {name:width$}  {:>3.0} %  {bar}", 100.0 * share);
        }
        for one in self.parameters.iter().filter(|one| !one.effect.is_empty()) {
            let _ = write!(text, "\n{}, and the {} to expect, all others averaged over:\n", one.name, self.metric);
            let width = one.effect.iter().map(|(at, _)| at.chars().count()).max().unwrap_or(0);
            for (at, value) in &one.effect {
                let _ = writeln!(text, "  {at:>width$}  {}", short(*value));
            }
        }
        text
    }

    fn json(&self) -> Value {
        let parameters = self.parameters.iter().map(|one| {
            let effect = one.effect.iter().map(|(at, value)| json!({"value": at, "expected": value}));
            json!({"parameter": one.name, "share": one.share, "effect": effect.collect::<Vec<_>>()})
        });
        json!({
            "experiment": self.experiment, "metric": self.metric, "trials": self.trials,
            "parameters": parameters.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment() -> Experiment {
        serde_json::from_value(json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment",
            "metadata": {"name": "e", "namespace": "default", "uid": "u"},
            "spec": {
                "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
                "parameters": [
                    {"name": "lr", "double": {"min": 0.0, "max": 1.0}},
                    {"name": "o", "categorical": {"choices": ["a", "b"]}},
                ],
                "limits": {"maxTrials": 100},
                "trialTemplate": {"primaryContainer": "t", "manifest": {"spec": {"template": {"spec": {
                    "restartPolicy": "Never", "containers": [{"name": "t", "command": ["t"]}],
                }}}}},
            },
        }))
        .unwrap()
    }

    fn trial(at: u32, accuracy: Option<f64>) -> Arc<Trial> {
        let lr = f64::from(at) / 100.0;
        let reason = if accuracy.is_some() { ("Complete", "Succeeded") } else { ("Failed", "ProgramFailed") };
        Arc::new(
            serde_json::from_value(json!({
                "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
                "metadata": {"name": format!("e-{at:05}"), "namespace": "default", "uid": format!("u{at}")},
                "spec": {"experiment": "e", "index": at, "manifest": {},
                    "assignments": {"lr": lr, "o": if at.is_multiple_of(2) { "a" } else { "b" }}},
                "status": {"objective": accuracy, "conditions": [{"type": reason.0, "status": "True", "reason": reason.1,
                    "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            }))
            .unwrap(),
        )
    }

    #[test]
    fn tells_what_matters_and_how() {
        let trials: Vec<Arc<Trial>> = (0..100).map(|at| trial(at, (at != 7).then(|| f64::from(at) / 100.0))).collect();
        let explained = Explained::of(&experiment(), &trials).unwrap();
        let text = explained.text();
        assert!(text.starts_with("e: what its 99 trials say about accuracy\n"), "{text}");
        let first = &explained.parameters[0];
        assert!(first.name == "lr" && first.share > 0.9, "{text}");
        let (low, high) = (first.effect.first().unwrap(), first.effect.last().unwrap());
        assert!(low.0 == "0" && low.1 < 0.1 && high.0 == "1" && high.1 > 0.9, "the direction is the user's: {text}");
        assert_eq!(explained.json()["parameters"][0]["effect"].as_array().unwrap().len(), PLACES);
        let few = Explained::of(&experiment(), &trials[..3]).err().unwrap().to_string();
        assert_eq!(few, "Experiment e: 3 trials with a value of accuracy are too few to say anything");
    }
}

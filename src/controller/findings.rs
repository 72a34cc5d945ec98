//! What another Experiment has found out, read from the API server.

use super::failure::Failure;
use super::readable::Readable;
use super::wire::timed;
use crate::api::{Experiment, Objective, Trial, labels};
use crate::engine::{Finding, Known, Past, has_succeeded, value};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use std::collections::BTreeMap;

/// Trials that are read at a time: what comes with them of curves is let go before the next.
const PAGE: u32 = 250;

/// The results of the Experiment of this name, of the metrics that are wanted.
///
/// # Errors
/// When the API server does not say.
pub(super) async fn of(client: &Client, ns: &str, name: &str, wanted: &[Objective]) -> Result<Finding, Failure> {
    let experiments: Api<Experiment> = Api::namespaced(client.clone(), ns);
    let Some(experiment) = timed(format!("read Experiment {ns}/{name}"), experiments.get_opt(name)).await? else {
        return Ok(Finding::None);
    };
    let objectives = experiment.spec.objectives.iter().map(|objective| objective.metric.clone());
    let metrics = objectives.chain(experiment.spec.additional_metrics.iter().cloned()).collect();
    let mut results = Vec::new();
    each_trial(client, ns, &experiment, |trial| results.extend(known(trial, wanted))).await?;
    Ok(Finding::Results { metrics, results })
}

/// The curves of the trials of this Experiment that have ended, or of the last ones of them.
///
/// # Errors
/// When the API server does not say.
pub(super) async fn curves(client: &Client, ns: &str, experiment: &Experiment) -> Result<Vec<Past>, Failure> {
    let metric = objective(experiment);
    let mut curves: BTreeMap<u64, Past> = BTreeMap::new();
    let keep = |trial: &Trial| {
        curves.extend(Past::of(trial, &metric).map(|past| (past.order, past)));
        if curves.len() > Past::MOST {
            curves.pop_first();
        }
    };
    each_trial(client, ns, experiment, keep).await?;
    Ok(curves.into_values().collect())
}

fn objective(experiment: &Experiment) -> String {
    experiment.spec.objectives.first().map(|objective| objective.metric.clone()).unwrap_or_default()
}

/// Shows each Trial of this Experiment.
async fn each_trial(
    client: &Client,
    ns: &str,
    experiment: &Experiment,
    mut show: impl FnMut(&Trial),
) -> Result<(), Failure> {
    let trials: Api<Readable<Trial>> = Api::namespaced(client.clone(), ns);
    let of_it = format!("{}={}", labels::EXPERIMENT_UID, experiment.uid().unwrap_or_default());
    let mut params = ListParams::default().labels(&of_it).limit(PAGE);
    let call = format!("list Trials of {ns}/{}", experiment.name_any());
    loop {
        let page = timed(call.clone(), trials.list(&params)).await?;
        // One that cannot be read does not hide the others.
        page.items.iter().filter_map(|trial| trial.object.as_ref().ok()).for_each(&mut show);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// `None`: it has no result, or one that its own experiment has taken from elsewhere.
fn known(trial: &Trial, wanted: &[Objective]) -> Option<Known> {
    let index = trial.spec.index.filter(|_| has_succeeded(trial))?;
    let status = trial.status.as_ref()?;
    let values = wanted.iter().filter_map(|wanted| Some((wanted.metric.clone(), value(status, wanted)?)));
    Some(Known { name: format!("{index:05}"), assignment: trial.spec.assignments.clone(), values: values.collect() })
}

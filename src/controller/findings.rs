//! What another Experiment has found out, read from the API server.

use super::failure::Failure;
use super::wire::timed;
use crate::api::{Experiment, Objective, Trial, labels};
use crate::engine::{Finding, Known, has_succeeded, value};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

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
    let trials: Api<Trial> = Api::namespaced(client.clone(), ns);
    let of_it = format!("{}={}", labels::EXPERIMENT_UID, experiment.uid().unwrap_or_default());
    let mut params = ListParams::default().labels(&of_it).limit(PAGE);
    let mut results = Vec::new();
    loop {
        let page = timed(format!("list Trials of {ns}/{name}"), trials.list(&params)).await?;
        results.extend(page.items.iter().filter_map(|trial| known(trial, wanted)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(Finding::Results { metrics, results }),
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

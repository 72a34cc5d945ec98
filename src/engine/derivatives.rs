//! Derivatives of the objective by parameters, which trials report as metrics of their own: that of `loss` by `lr` is called
//! `d_loss/d_lr`.

use crate::api::{ExperimentSpec, Trial};
use crate::metrics::Direction;
use std::collections::BTreeMap;

/// The setting of Gradient that asks for them, and its value.
const SETTING: (&str, &str) = ("derivatives", "Reported");

/// What the derivative of a metric by a parameter is called.
fn name(metric: &str, parameter: &str) -> String {
    format!("d_{metric}/d_{parameter}")
}

/// Of a trial, by their names.
pub(super) fn reported(trial: &Trial) -> BTreeMap<String, f64> {
    let status = trial.status.iter().flat_map(|status| &status.metrics);
    let status = status.filter_map(|summary| Some((summary.name.clone(), summary.latest?)));
    let known = trial.spec.result.iter().map(|(name, value)| (name.clone(), *value));
    known.chain(status).filter(|(name, _)| name.starts_with("d_") && name.contains("/d_")).collect()
}

/// Of the loss, by parameter. `metric`: the objective.
pub(super) fn of_loss(reported: &BTreeMap<String, f64>, metric: &str, direction: Direction) -> BTreeMap<String, f64> {
    let prefix = name(metric, "");
    let by_parameter = reported.iter().filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?, *value)));
    by_parameter.map(|(parameter, value)| (parameter.to_owned(), super::result::loss(value, direction))).collect()
}

/// The metrics that are missing in `additionalMetrics`, in a sentence, where the algorithm goes by derivatives.
pub(super) fn missing(spec: &ExperimentSpec) -> Option<String> {
    let asked = spec.algorithm.settings.get(SETTING.0).is_some_and(|value| value == SETTING.1);
    let objective = spec.objectives.first().filter(|_| asked)?;
    let names = spec.parameters.iter().map(|parameter| name(&objective.metric, &parameter.name));
    let missing: Vec<String> = names.filter(|name| !spec.additional_metrics.contains(name)).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "algorithm.settings.{}: trials have to report the derivative of {} by each parameter, as metrics; write {} into \
             additionalMetrics, or leave this setting out",
            SETTING.0,
            objective.metric,
            missing.join(", ")
        )
    })
}

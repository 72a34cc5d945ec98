//! A spec made ready to run, or what is wrong with it.

use super::derivatives;
use super::given;
use super::goals;
use super::inject::{AGENTS_OWN, variable};
use super::known::{self, Given};
use super::query;
use super::source::source;
use super::stage::Resource;
use super::template::{misplaced, uses_checkpoints};
use crate::api::conditions::reasons;
use crate::api::{Duration, Experiment, ExperimentSpec, StoppingRule};
use crate::report::Source;
use crate::space::{Assignment, SearchSpace};
use crate::stopping::Rules;
use crate::tuner::{self, Tuner};
use jiff::SignedDuration;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// A spec made ready to run. Belongs to one generation of one Experiment.
pub struct Compiled {
    /// The search space.
    pub space: SearchSpace,
    /// The tuner with its settings.
    pub(super) tuner: Box<dyn Tuner>,
    /// What may stop a trial early.
    pub(super) rules: Rules,
    /// The metrics that the agent reads, the objective's first.
    pub(super) metrics: Vec<String>,
    /// Where they come from.
    pub(super) source: Source,
    /// Points to try first, each whole.
    pub(super) initial: Vec<Assignment>,
    /// Results that are known beforehand.
    pub(super) known: Vec<Given>,
    /// `spec.fidelity`.
    pub(super) resource: Option<Resource>,
    pub(super) manifest: Value,
}

/// What is wrong with a spec: the reason and message of its Accepted condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One of [`reasons`].
    pub reason: &'static str,
    /// Each problem in a sentence that names the field.
    pub message: String,
}

impl Problem {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Problem { reason, message: message.into() }
    }

    fn all<E: Display>(reason: &'static str, problems: &[E]) -> Self {
        const SHOWN: usize = 8;
        let mut message = problems.iter().take(SHOWN).map(E::to_string).collect::<Vec<_>>().join("; ");
        if problems.len() > SHOWN {
            message.push_str(&format!("; and {} more", problems.len() - SHOWN));
        }
        Problem { reason, message }
    }
}

/// Whether the spec can be run.
pub(super) enum Accepted<'a> {
    Yes(&'a Compiled),
    No(Problem),
    /// The API server is being asked, or need not be asked because the experiment has ended.
    Asking,
    /// The API server refuses to say, which may pass: a sentence.
    Refused(String),
}

/// Makes a spec ready to run. Whatever the schema and its CEL rules cannot see is checked here.
///
/// # Errors
/// The first kind of problem found, with all its instances.
pub fn compile(experiment: &Experiment) -> Result<Compiled, Problem> {
    let spec = &experiment.spec;
    let invalid = |what: &str| {
        Problem::new(reasons::INVALID_OBJECT, format!("spec.{what}; the object skipped admission, apply it again"))
    };
    let objective = spec.objectives.first().ok_or_else(|| invalid("objectives is empty"))?;
    let parameters = spec.parameters.iter().map(|parameter| parameter.to_space()).collect::<Option<Vec<_>>>();
    let parameters = parameters.ok_or_else(|| invalid("parameters has one without a domain"))?;
    check_names(experiment)?;
    let space = SearchSpace::new(parameters, &spec.parameter_constraints)
        .map_err(|errors| Problem::all(reasons::INVALID_SEARCH_SPACE, &errors))?;
    tuner::check_goals(&spec.algorithm.name, spec.objectives.len(), spec.constraints.len())
        .map_err(|error| Problem::all(reasons::INVALID_ALGORITHM, &[error]))?;
    let resource = spec.fidelity.as_ref().map(Resource::new);
    let fidelity = resource.as_ref().map(|resource| resource.fidelity);
    let tuner = tuner::build(&spec.algorithm.name, &spec.algorithm.settings, &space, fidelity)
        .map_err(|errors| Problem::all(reasons::INVALID_ALGORITHM, &errors))?;
    if let Some(missing) = derivatives::missing(spec) {
        return Err(Problem::new(reasons::INVALID_ALGORITHM, missing));
    }
    for (duration, field) in
        [(&spec.limits.max_duration, "maxDuration"), (&spec.limits.max_trial_duration, "maxTrialDuration")]
    {
        if let Some(text) = duration.as_ref().filter(|duration| length(duration).is_none()).map(|duration| &duration.0)
        {
            let message = format!("limits.{field}: {text:?} is no time; write for example 90s, 20m or 2h30m");
            return Err(Problem::new(reasons::INVALID_LIMITS, message));
        }
    }
    let objectives = spec.objectives.iter().map(|objective| objective.metric.clone());
    let metrics: Vec<String> = objectives.chain(spec.additional_metrics.iter().cloned()).collect();
    let parameters: BTreeSet<&str> = names(spec).map(|(_, name)| name).collect();
    let metrics = match &spec.metrics.source.prometheus_query {
        Some(asked) => query::unasked(asked, metrics, &parameters)?,
        None => metrics,
    };
    let source = source(&spec.metrics.source, &metrics, &parameters)?;
    let rules = rules(&spec.early_stopping)?;
    let (initial, known) = initial_trials(spec, &space, &objective.metric)
        .map_err(|problems| Problem::all(reasons::INVALID_INITIAL_TRIAL, &problems))?;
    check_template(experiment)?;
    let manifest = spec.trial_template.manifest.clone();
    Ok(Compiled { metrics, source, initial, known, resource, manifest, rules, space, tuner })
}

/// What stands for a value in the manifest, with the field that names it.
fn names(spec: &ExperimentSpec) -> impl Iterator<Item = (String, &str)> {
    let searched = spec.parameters.iter().enumerate();
    let searched = searched.map(|(at, parameter)| (format!("parameters[{at}].name"), parameter.name.as_str()));
    let spent = spec.fidelity.iter();
    searched.chain(spent.map(|fidelity| ("fidelity.parameter".to_owned(), fidelity.parameter.as_str())))
}

/// The points to try first, and those whose results are known.
fn initial_trials(
    spec: &ExperimentSpec,
    space: &SearchSpace,
    metric: &str,
) -> Result<(Vec<Assignment>, Vec<Given>), Vec<String>> {
    let (mut open, mut known, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (at, trial) in spec.initial_trials.iter().enumerate() {
        let point = (at, &trial.assignments);
        if trial.result.is_empty() {
            open.push(point);
            continue;
        }
        if let Err(missing) = goals::known(spec, &trial.result)
            && missing.wanted.metric != metric
        {
            let (metric, field) = (missing.wanted.metric, missing.field);
            problems.push(format!("initialTrials[{at}].result: there is no value of {metric}, which {field} names"));
        }
        match known::given(space, point, &trial.result, metric) {
            Ok(given) => known.push(given),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok((given::complete(space, &open, spec.algorithm.seed.unsigned_abs())?, known))
}

pub(super) fn rules(chosen: &[StoppingRule]) -> Result<Rules, Problem> {
    let (mut rules, mut errors) = (Rules::default(), Vec::new());
    for (at, rule) in chosen.iter().enumerate() {
        let problems = rules.add(&rule.name, &rule.settings).err().unwrap_or_default();
        errors.extend(problems.into_iter().map(|error| error.within(&format!("earlyStopping[{at}]"))));
    }
    if errors.is_empty() { Ok(rules) } else { Err(Problem::all(reasons::INVALID_EARLY_STOPPING, &errors)) }
}

/// A limit of time; `None` when it is none.
pub(super) fn length(duration: &Duration) -> Option<SignedDuration> {
    duration.seconds().filter(|seconds| *seconds > 0).map(SignedDuration::from_secs)
}

/// Two parameters must not share an environment variable.
fn check_names(experiment: &Experiment) -> Result<(), Problem> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (field, name) in names(&experiment.spec) {
        match seen.insert(variable(name), name) {
            Some(other) if other != name => problems.push(format!(
                "{field}: {name:?} and {other:?} would be one environment variable, {}; rename one of them",
                variable(name)
            )),
            _ => {}
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problem::all(reasons::INVALID_SEARCH_SPACE, &problems)) }
}

fn check_template(experiment: &Experiment) -> Result<(), Problem> {
    let template = &experiment.spec.trial_template;
    let parameters: BTreeSet<&str> = names(&experiment.spec).map(|(_, name)| name).collect();
    let mut problems = misplaced(&template.manifest, "manifest", &parameters);
    if experiment.spec.checkpoint.is_none() && uses_checkpoints(&template.manifest) {
        problems.push(
            "manifest: ${trial.checkpointDir} needs spec.checkpoint, which says on which volume the directory is; add it"
                .into(),
        );
    }
    let pod = template.manifest.pointer("/spec/template/spec");
    let restart = pod.and_then(|pod| pod.get("restartPolicy")).and_then(Value::as_str);
    if !matches!(restart, Some("Never" | "OnFailure")) {
        problems.push(
            "manifest.spec.template.spec.restartPolicy: write Never, or OnFailure to have a program that fails started \
             again in its pod; a Job takes nothing else"
                .into(),
        );
    }
    if template.manifest.pointer("/spec/ttlSecondsAfterFinished").is_some() {
        problems.push(
            "manifest.spec.ttlSecondsAfterFinished: leave it out; a Job is deleted after its result is stored, see retain".into(),
        );
    }
    let containers = pod.and_then(|pod| pod.get("containers")).and_then(Value::as_array);
    let primary = template.primary_container.as_str();
    let name = |container: &Value| container.get("name").and_then(Value::as_str).unwrap_or("(no name)").to_owned();
    match containers.into_iter().flatten().find(|container| name(container) == primary) {
        None => problems.push(format!(
            "primaryContainer: there is no container {primary:?} in manifest.spec.template.spec.containers; there is {}",
            match containers {
                Some(containers) if !containers.is_empty() => containers.iter().map(name).collect::<Vec<_>>().join(", "),
                _ => "none".into(),
            }
        )),
        Some(container) => {
            let command = container.get("command").and_then(Value::as_array).is_some_and(|command| !command.is_empty());
            if !command {
                problems.push(format!(
                    "manifest: container {primary:?} has no command; the image's own entrypoint cannot be known here, \
                     write it out, for example command: [python3, train.py]"
                ));
            }
            let variables = container.get("env").and_then(Value::as_array).into_iter().flatten().map(name);
            for taken in variables.filter(|variable| AGENTS_OWN.contains(&variable.as_str())) {
                problems.push(format!(
                    "manifest: container {primary:?} sets the variable {taken}, which the operator sets; leave it out"
                ));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problem::all(reasons::INVALID_TEMPLATE, &problems)) }
}

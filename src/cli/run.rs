//! `automl run`: from a file to the best parameters, on this machine.

use super::exit::{ExitCode, Failure, Outcome};
use super::files::{self, Given};
use super::follow::{End, Follower, belongs};
use super::laptop::{GRACE, Laptop};
use super::progress::Progress;
use super::signals::Signals;
use super::{RunArguments, print, summary};
use crate::api::conditions::{is_true, types};
use crate::api::{Experiment, Trial};
use crate::server::LogLevel;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::discovery::ApiResource;
use kube::{Api, ResourceExt};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Runs the experiment of a file, or goes on with it.
pub async fn run(arguments: RunArguments, log_level: LogLevel) -> Outcome {
    let mut given = files::experiment(&arguments.filename)?;
    let limits = given.experiment.pointer_mut("/spec/limits").and_then(Value::as_object_mut);
    if let (Some(parallel), Some(limits)) = (arguments.parallel, limits) {
        limits.insert("parallelTrials".into(), parallel.into());
    }
    let (namespace, name) = names(&given.experiment, &arguments.filename)?;
    super::validate::check(&given).await?;
    let machine = arguments.machine.machine(base_dir(&arguments.filename));
    let mut progress = if arguments.quiet { Progress::quiet() } else { Progress::on_stderr() };
    // Before anything runs that would have to be stopped.
    let mut signals = Signals::listen()?;
    let laptop = Laptop::start(&machine, log_level, Some((namespace.clone(), name.clone()))).await?;
    if let Err(failure) = apply(&laptop, &given).await {
        laptop.stop().await;
        return Err(failure);
    }
    let end = Follower::new(&laptop, &namespace, &name).follow(&mut signals, &mut progress).await;
    progress.finish();
    let (experiment, trials) = state(&laptop, &namespace, &name)?;
    let items = items(&laptop, &namespace, &name);
    if let End::Rejected(_) = &end
        && trials.is_empty()
    {
        // Nothing was measured: a corrected file, with another search space too, is to be welcome.
        let _ = api(&laptop, &namespace).delete(&name, &DeleteParams::background()).await;
    }
    let file = quoted(&arguments.filename.display().to_string());
    if matches!(end, End::Interrupted) {
        progress.say(&format!("stopping the trials, each has up to {} s; Ctrl-C again ends at once", GRACE.as_secs()));
    }
    let server = laptop.server.clone();
    let orderly = signals.unless_asked_again(laptop.stop()).await;
    match end {
        End::Interrupted => {
            if !orderly {
                progress.say("ended at once; what trials said last may have to be measured again");
            } else if let Some(trouble) = server.trouble() {
                progress.say(&format!("{trouble}; what could not be stored is measured again"));
            }
            progress.say(&format!(
                "Interrupted. What was measured is kept in {0}; the same command goes on where this one stopped: {1} run -f {file} --state-dir {0}",
                quoted(&machine.state_dir.display().to_string()),
                program()
            ));
            return Ok(ExitCode::Interrupted);
        }
        End::Lost(failure) => return Err(failure),
        End::Rejected(why) => return Err(Failure::usage(format!("{file} cannot be run: {why}"))),
        End::Ended => {}
    }
    match arguments.output {
        Some(format) => print::list(items, format)?,
        None => {
            let state_dir = quoted(&machine.state_dir.display().to_string());
            print::text(&summary::summary(&experiment, &trials, (&program(), &file, &state_dir)))?;
        }
    }
    let conditions = experiment.status.map(|status| status.conditions).unwrap_or_default();
    Ok(if is_true(&conditions, types::COMPLETE) { ExitCode::Done } else { ExitCode::Failed })
}

/// This program as it was called, so that what is to be typed next can be copied.
fn program() -> String {
    quoted(&std::env::args_os().next().map_or_else(|| "automl".into(), |name| name.to_string_lossy().into_owned()))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Trials run in the folder of the file.
fn base_dir(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Creates what is not there, and brings what is up to date.
async fn apply(laptop: &Laptop, given: &Given) -> Result<(), Failure> {
    let client = laptop.server.client("default");
    for object in given.others.iter().chain([&given.experiment]) {
        let typed: DynamicObject = serde_json::from_value(object.clone()).map_err(Failure::usage)?;
        let namespace = typed.namespace().unwrap_or_else(|| "default".into());
        let types = typed.types.clone().unwrap_or_default();
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, &types.kind));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        let name = typed.name_any();
        // A person's own file wins over what stands there.
        let parameters = PatchParams::apply("automl-run").force();
        let applied = api.patch(&name, &parameters, &Patch::Apply(object)).await;
        if let Err(error) = applied {
            let message = match error {
                kube::Error::Api(status) if status.code >= 500 => return Err(Failure::other(&status.message)),
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            };
            return Err(Failure::usage(format!(
                "{message}\n(the state of an earlier run is in the folder given by --state-dir; choose another folder, or another metadata.name, to start afresh)"
            )));
        }
    }
    Ok(())
}

/// Namespace and name of the Experiment: by its name the same command goes on with it.
fn names(experiment: &Value, file: &Path) -> Result<(String, String), Failure> {
    let text = |field: &str| experiment["metadata"][field].as_str().map(str::to_owned);
    let name = text("name").filter(|name| !name.is_empty()).ok_or_else(|| {
        let file = file.display();
        Failure::usage(format!("{file}: the Experiment has no name; write metadata.name, by which it is gone on with"))
    })?;
    Ok((text("namespace").unwrap_or_else(|| "default".into()), name))
}

fn trials(laptop: &Laptop, namespace: &str, name: &str) -> Vec<Trial> {
    let all = laptop.server.dump("trials").into_iter().filter(|trial| belongs(trial, namespace, name));
    all.filter_map(read).collect()
}

fn state(laptop: &Laptop, namespace: &str, name: &str) -> Result<(Experiment, Vec<Trial>), Failure> {
    let experiment = laptop.server.peek("experiments", namespace, name).and_then(read);
    let experiment = experiment.ok_or_else(|| Failure::other(format!("Experiment {name} was deleted")))?;
    Ok((experiment, trials(laptop, namespace, name)))
}

/// The Experiment and its Trials as the API server has them.
fn items(laptop: &Laptop, namespace: &str, name: &str) -> Vec<Value> {
    let experiment = laptop.server.peek("experiments", namespace, name);
    let trials = laptop.server.dump("trials").into_iter().filter(|trial| belongs(trial, namespace, name));
    experiment.into_iter().chain(trials).map(|object| (*object).clone()).collect()
}

fn read<T: serde::de::DeserializeOwned>(object: std::sync::Arc<Value>) -> Option<T> {
    serde_json::from_value((*object).clone()).ok()
}

fn api(laptop: &Laptop, namespace: &str) -> Api<Experiment> {
    Api::namespaced(laptop.server.client("default"), namespace)
}

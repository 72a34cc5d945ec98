//! `automl validate`: what `kubectl apply` would say, and what the operator would say after it, without a cluster.

use super::ValidateArguments;
use super::exit::{ExitCode, Failure, Outcome};
use super::files::{self, Given};
use super::print;
use crate::api::conditions::reasons;
use crate::api::{Experiment, Trial};
use crate::engine::compile;
use crate::local::apiserver::ApiServer;
use crate::space::{self, FOREIGN};
use serde_json::Value;

/// So many problems are named, and the others counted.
const MAX_LINES: usize = 100;

/// Checks each object of a file.
pub async fn validate(arguments: ValidateArguments) -> Outcome {
    let server = in_memory()?;
    let objects = files::read(&arguments.filename)?;
    let mut problems = Vec::new();
    for object in &objects {
        let shown = format!(
            "{}/{}",
            object["kind"].as_str().unwrap_or_default().to_lowercase(),
            object["metadata"]["name"].as_str().unwrap_or("(no name)")
        );
        match judge(&server, object).await {
            Ok(true) => print::text(&format!("{shown} is valid\n"))?,
            Ok(false) => print::text(&format!("{shown} is not checked: only a cluster knows its kind\n"))?,
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(ExitCode::Done) } else { Err(Failure::usage(problems.join("\n"))) }
}

/// Checks what `automl run` was given.
///
/// # Errors
/// What an API server or the operator would say.
pub async fn check(given: &Given) -> Result<(), Failure> {
    let server = in_memory()?;
    for object in given.others.iter().chain([&given.experiment]) {
        judge(&server, object).await.map_err(Failure::usage)?;
    }
    Ok(())
}

/// The embedded API server with our CRDs and no objects.
fn in_memory() -> Result<ApiServer, Failure> {
    let crds = crate::api::crds().map_err(Failure::other)?;
    let builder = crds.into_iter().fold(ApiServer::builder(), |builder, crd| builder.custom_resource_definition(crd));
    builder.build().map_err(Failure::other)
}

/// Whether the object is one that would be accepted, or what would be said. False: nothing can be said of its kind here.
async fn judge(server: &ApiServer, object: &Value) -> Result<bool, String> {
    let Some(path) = place(server, object).await? else { return Ok(false) };
    let admitted = admit(server, &path, object).await?;
    accept(&admitted).map(|()| true)
}

/// The path under which objects of this kind are made; `None`: one of Kubernetes' own that is not served here.
async fn place(server: &ApiServer, object: &Value) -> Result<Option<String>, String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let client = server.client("default");
    let served = match version.contains('/') {
        true => client.list_api_group_resources(version).await,
        false => client.list_core_api_resources(version).await,
    };
    let served = served.map(|list| list.resources).unwrap_or_default();
    let Some(resource) = served.iter().find(|known| known.kind == kind && !known.name.contains('/')) else {
        let group = version.split_once('/').map_or("", |(group, _)| group);
        if !group.contains('.') || group.ends_with(".k8s.io") {
            return Ok(None);
        }
        return Err(format!(
            "{kind} ({version}) is none of ours; write apiVersion automl.dev/v1alpha1 and kind Experiment or Trial"
        ));
    };
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let within = if resource.namespaced { format!("/namespaces/{namespace}") } else { String::new() };
    Ok(Some(format!("{root}{within}/{}?dryRun=All&fieldValidation=Strict", resource.name)))
}

/// What an API server says to `create`: the object with its defaults, or the message.
async fn admit(server: &ApiServer, path: &str, object: &Value) -> Result<Value, String> {
    let body = serde_json::to_vec(object).map_err(|error| error.to_string())?;
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(body)
        .map_err(|error| error.to_string())?;
    server.client("default").request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => sentences(&status),
        other => other.to_string(),
    })
}

/// The message as kubectl shows it: one problem a line when there are several.
fn sentences(status: &kube::core::Status) -> String {
    let Some(details) = &status.details else { return status.message.clone() };
    let causes = details.causes.iter().take(MAX_LINES);
    let mut lines: Vec<String> = causes.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    if details.causes.len() > MAX_LINES {
        lines.push(format!("and {} more", details.causes.len() - MAX_LINES));
    }
    let invalid = format!("The {} {:?} is invalid: ", details.kind, details.name);
    match lines.as_slice() {
        [] => status.message.clone(),
        [line] => invalid + line,
        lines => invalid + "\n* " + &lines.join("\n* "),
    }
}

/// What the operator says to an admitted object: what schema and CEL rules cannot see.
fn accept(object: &Value) -> Result<(), String> {
    match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some("automl.dev/v1alpha1"), Some("Experiment")) => {}
        (Some("automl.dev/v1alpha1"), _) => return accept_trial(object),
        _ => return Ok(()),
    }
    let experiment: Experiment = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    compile(&experiment).map(|_| ()).map_err(|problem| {
        format!(
            "The Experiment {:?} would be accepted and never start ({}): {}",
            experiment.metadata.name.unwrap_or_default(),
            problem.reason,
            problem.message
        )
    })
}

/// Whether the values fit is known only with the Experiment; whether they are values at all is known here.
fn accept_trial(object: &Value) -> Result<(), String> {
    let trial: Trial = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let foreign = |(name, value): (&String, &space::Value)| {
        matches!(value, space::Value::Foreign(_)).then(|| format!("{name}: {value} {FOREIGN}"))
    };
    let problems: Vec<String> = trial.spec.assignments.iter().filter_map(foreign).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!(
        "The Trial {:?} would be accepted and fail ({}): {}",
        trial.metadata.name.unwrap_or_default(),
        reasons::INVALID_ASSIGNMENT,
        problems.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_trial_whose_values_are_none_is_told() {
        let trial = |assignments: Value| {
            json!({"apiVersion": "automl.dev/v1alpha1", "kind": "Trial", "metadata": {"name": "mine"},
                   "spec": {"experiment": "e", "assignments": assignments}})
        };
        assert_eq!(accept(&trial(json!({"x": 1, "y": 0.5, "o": "true"}))), Ok(()));
        assert_eq!(
            accept(&trial(json!({"x": 1, "o": true}))).unwrap_err(),
            "The Trial \"mine\" would be accepted and fail (InvalidAssignment): o: true is neither a number nor text; \
             put a word such as true into quotes"
        );
    }
}

//! `automl validate`: what `kubectl apply` would say, and what the operator would say after it, without a cluster.

use super::ValidateArguments;
use super::exit::{ExitCode, Failure, Outcome};
use super::files::{self, Given};
use super::print;
use crate::api::Experiment;
use crate::engine::compile;
use crate::local::apiserver::ApiServer;
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
        match admit(&server, object).await.and_then(|admitted| accept(&admitted)) {
            Ok(()) => print::text(&format!("{shown} is valid\n"))?,
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
    admit(&server, &given.experiment).await.and_then(|admitted| accept(&admitted)).map_err(Failure::usage)
}

/// The embedded API server with our CRDs and no objects.
fn in_memory() -> Result<ApiServer, Failure> {
    let crds = crate::api::crds().map_err(Failure::other)?;
    let builder = crds.into_iter().fold(ApiServer::builder(), |builder, crd| builder.custom_resource_definition(crd));
    builder.build().map_err(Failure::other)
}

/// What an API server says to `create`: the object with its defaults, or the message.
async fn admit(server: &ApiServer, object: &Value) -> Result<Value, String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let plural = match (object["apiVersion"].as_str().unwrap_or_default(), kind) {
        ("automl.dev/v1alpha1", "Experiment") => "experiments",
        ("automl.dev/v1alpha1", "Trial") => "trials",
        (version, kind) => {
            return Err(format!(
                "{kind} ({version}) is none of ours; write apiVersion automl.dev/v1alpha1 and kind Experiment or Trial"
            ));
        }
    };
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let path = format!("/apis/automl.dev/v1alpha1/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict");
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

/// What the operator says to an admitted Experiment: what schema and CEL rules cannot see.
fn accept(object: &Value) -> Result<(), String> {
    if object["kind"] != "Experiment" {
        return Ok(());
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

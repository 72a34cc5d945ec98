//! One bad object a rule, and the exact sentence that a person reads.
//!
//! - `tests/bad/NAME.yaml` is refused when it is created, `tests/bad_updates/NAME.yaml` when its second document replaces
//!   its first. `NAME.txt` holds what is said, one sentence a line, in the words of kube-apiserver 1.37, which a
//!   test asks again; the embedded API server must say the same. `UPDATE=1` writes what the server says instead.
//! - `tests/bad_conditions/NAME.yaml` is created, and never started: `NAME.txt` holds reason and message of its condition
//!   Accepted, as `automl validate` says them before.
//!
//! What only a running operator can find is tested elsewhere: a template that the API server refuses and a Trial's values
//! that do not fit its Experiment in `src/engine/tests`, an object that cannot be read in `tests/unreadable.rs`, one that
//! names no Experiment in `src/controller/index`.

mod apiserver_support;

use automl_operator::api::Experiment;
use automl_operator::engine::compile;
use automl_operator::local::apiserver::ApiServer;
use kube::Client;
use serde_json::{Value, json};
use std::future::Future;
use std::path::{Path, PathBuf};

/// The objects of each `tests/FOLDER/NAME.yaml`.
fn objects(folder: &str) -> Vec<(PathBuf, Vec<Value>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut texts: Vec<_> = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    texts.retain(|path| !path.with_extension("yaml").exists());
    assert!(texts.is_empty(), "without an object: {texts:?}");
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let documents =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, documents)
    };
    paths.into_iter().map(read).collect()
}

/// Compares what is said of each file of a folder with the text beside it.
async fn check<F: Future<Output = String>>(folder: &str, least: usize, said: impl Fn(Vec<Value>) -> F) {
    let objects = objects(folder);
    assert!(objects.len() >= least, "{} files in {folder}", objects.len());
    let mut wrong = String::new();
    for (path, documents) in objects {
        let found = said(documents).await + "\n";
        let beside = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&beside, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            wrong.push_str(&format!("== {}\nexpected:\n{expected}found:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What an API server answers; nothing is kept of a dry run.
async fn send(client: &Client, method: &str, object: &Value, dry_run: bool) -> Result<Value, kube::Error> {
    let plural = object["kind"].as_str().unwrap().to_lowercase() + "s";
    let mut path = format!("/apis/automl.dev/v1alpha1/namespaces/default/{plural}");
    if method != "POST" {
        path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
    }
    path.push_str(if dry_run { "?fieldValidation=Strict&dryRun=All" } else { "?fieldValidation=Strict" });
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let body = if method == "DELETE" { Vec::new() } else { serde_json::to_vec(object).unwrap() };
    client.request(request.body(body).unwrap()).await
}

/// The sentences of a refusal.
fn sentences(answer: Result<Value, kube::Error>) -> String {
    match answer {
        // Not even with UPDATE=1: what it shows has been lost.
        Ok(object) => panic!("this is accepted, and must not be: {object}"),
        Err(kube::Error::Api(status)) => {
            let causes = status.details.as_ref().map(|details| details.causes.clone()).unwrap_or_default();
            let mut lines: Vec<String> =
                causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
            if lines.is_empty() {
                lines.push(status.message.clone());
            }
            lines.sort();
            lines.join("\n")
        }
        Err(other) => other.to_string(),
    }
}

async fn created(client: Client, documents: Vec<Value>) -> String {
    sentences(send(&client, "POST", &documents[0], true).await)
}

async fn replaced(client: Client, documents: Vec<Value>) -> String {
    let [first, second] = documents.as_slice() else { return "write two documents".into() };
    let stored = match send(&client, "POST", first, false).await {
        Ok(stored) => stored,
        refused => return format!("the first document: {}", sentences(refused)),
    };
    let mut second = second.clone();
    second["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
    let said = sentences(send(&client, "PUT", &second, true).await);
    match send(&client, "DELETE", first, false).await {
        Ok(_) => said,
        refused => format!("deleting it again: {}", sentences(refused)),
    }
}

/// The verdict of the engine on what an API server has admitted.
async fn accepted(client: Client, documents: Vec<Value>) -> String {
    match send(&client, "POST", &documents[0], true).await {
        Ok(admitted) => match compile(&serde_json::from_value::<Experiment>(admitted).unwrap()) {
            Ok(_) => "it can be run".into(),
            Err(problem) => format!("{}: {}", problem.reason, problem.message),
        },
        refused => sentences(refused),
    }
}

fn embedded() -> Client {
    let crds = automl_operator::api::crds().unwrap();
    let builder = crds.into_iter().fold(ApiServer::builder(), |builder, crd| builder.custom_resource_definition(crd));
    builder.build().unwrap().client("default")
}

#[tokio::test]
async fn every_rule_has_its_sentence() {
    let client = embedded();
    check("bad", 150, |documents| created(client.clone(), documents)).await;
}

#[tokio::test]
async fn what_cannot_be_changed_says_so() {
    let client = embedded();
    check("bad_updates", 8, |documents| replaced(client.clone(), documents)).await;
}

#[tokio::test]
async fn what_schema_and_rules_cannot_see_becomes_a_condition() {
    let client = embedded();
    check("bad_conditions", 40, |documents| accepted(client.clone(), documents)).await;
}

/// The same against a real one, which gets our CRDs.
#[tokio::test]
async fn a_real_api_server_says_the_same() {
    let Some(client) = apiserver_support::real().await else { return };
    install(&client).await;
    check("bad", 150, |documents| created(client.clone(), documents)).await;
    check("bad_updates", 8, |documents| replaced(client.clone(), documents)).await;
    check("bad_conditions", 40, |documents| accepted(client.clone(), documents)).await;
}

/// Puts our CRDs there, which proves that their schemas are structural and their rules cheap enough, and waits until
/// both kinds are served.
async fn install(client: &Client) {
    for crd in automl_operator::api::crds().unwrap() {
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=automl&force=true&fieldValidation=Strict"
        );
        let request = http::Request::patch(&path).header("content-type", "application/apply-patch+yaml");
        let _: Value = client.request(request.body(serde_json::to_vec(&crd).unwrap()).unwrap()).await.unwrap();
        let is = |crd: &Value, wanted: &str| {
            let conditions = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|condition| condition["type"] == wanted && condition["status"] == "True")
        };
        let mut found = json!(null);
        for _ in 0..100 {
            found = client.request(http::Request::get(&path).body(Vec::new()).unwrap()).await.unwrap();
            if is(&found, "Established") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(is(&found, "Established") && !is(&found, "NonStructuralSchema"), "{found}");
    }
}

/// What Katib's webhook checks (`pkg/webhook/v1beta1/experiment/validator/validator.go`) and the files that check the
/// same here. Left out is what has no counterpart: images and kinds listed in its ConfigMap, resumePolicy (every ended
/// Experiment resumes when maxTrials is raised, and maxTrials may be lowered), its success conditions, ConfigMap
/// templates, namespace labels and volumes.
const KATIB: &[(&str, &[&str])] = &[
    ("the name's form and length", &["bad/name-starts-with-digit", "bad/name-dot", "bad/name-too-long"]),
    ("maxFailedTrialCount at least 0", &["bad/max-failed-negative"]),
    ("maxTrialCount and parallelTrialCount above 0", &["bad/max-trials-zero", "bad/parallel-trials-zero"]),
    ("neither exceeds maxTrialCount", &["bad/max-failed-above-max", "bad/parallel-above-max"]),
    ("an objective with its type", &["bad/objectives-missing", "bad/direction-missing", "bad/direction-lower-case"]),
    ("its metric, not repeated", &["bad/metric-missing", "bad/metric-empty", "bad/objective-repeated"]),
    ("a known algorithm with known settings", &["bad/algorithm-unknown", "bad_conditions/algorithm-unknown-setting"]),
    (
        "what may change in an update",
        &[
            "bad_updates/objective-direction",
            "bad_updates/parameter-range",
            "bad_updates/constraint-changed",
            "bad_updates/initial-trial-value",
        ],
    ),
    ("a trial template", &["bad/template-missing", "bad/manifest-missing", "bad/manifest-without-spec"]),
    ("a primary container", &["bad/primary-container-missing", "bad/primary-container-empty"]),
    ("names of parameters without braces, none twice", &["bad/parameter-name-braces", "bad/parameter-name-twice"]),
    ("each reference is a parameter", &["bad_conditions/placeholder-unknown-parameter"]),
    (
        "no placeholder is left",
        &[
            "bad_conditions/placeholder-unknown-name",
            "bad_conditions/placeholder-with-dash",
            "bad_conditions/placeholder-with-blanks",
            "bad_conditions/placeholder-not-closed",
            "bad_conditions/placeholder-of-katib",
            "bad_conditions/placeholder-in-a-key",
        ],
    ),
    ("the manifest has no name or namespace", &["bad/manifest-with-name", "bad/manifest-with-namespace"]),
    ("and a kind and apiVersion", &["bad/manifest-without-kind", "bad/manifest-without-api-version"]),
    ("a search space", &["bad/parameters-missing", "bad/parameters-empty"]),
    ("known types and scales", &["bad/parameter-without-domain", "bad/scale-unknown"]),
    ("min and max of numbers, no list", &["bad/double-min-missing", "bad/int-max-missing", "bad/int-with-choices"]),
    ("a list of choices or values, no range", &["bad/choices-with-min", "bad/choices-missing", "bad/values-missing"]),
    // What Katib finds too late or never.
    ("min below max", &["bad/double-min-above-max", "bad/int-min-above-max"]),
    ("a logarithm needs a positive min", &["bad/double-log-from-zero", "bad/int-log-from-zero"]),
    ("empty lists", &["bad/choices-empty", "bad/values-empty"]),
    ("the primary container is in the template", &["bad_conditions/primary-container-unknown"]),
];

#[test]
fn whatever_katib_checks_is_checked() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (rule, files) in KATIB {
        for file in *files {
            assert!(tests.join(file).with_extension("yaml").exists(), "{rule}: no {file}");
        }
    }
}

//! One bad Experiment a rule: `tests/bad/NAME.yaml`, and beside it in `NAME.txt` what is said, one sentence a line. The
//! sentences were taken from kube-apiserver 1.37; the embedded API server must say the same.

use automl_operator::local::apiserver::ApiServer;
use kube::Api;
use kube::api::DynamicObject;
use kube::discovery::ApiResource;
use serde_json::Value;
use std::path::Path;

async fn said(server: &ApiServer, text: &str) -> Vec<String> {
    let object: Value = serde_saphyr::from_str(text).unwrap();
    let client = server.client("default");
    let resource = ApiResource::erase::<automl_operator::api::Experiment>(&());
    let url = format!(
        "{}?fieldValidation=Strict",
        Api::<DynamicObject>::namespaced_with(client.clone(), "default", &resource).resource_url()
    );
    let request =
        http::Request::post(url).header("content-type", "application/json").body(serde_json::to_vec(&object).unwrap());
    match client.request::<Value>(request.unwrap()).await {
        Ok(_) => vec!["it was accepted".into()],
        Err(kube::Error::Api(status)) => {
            let causes = status.details.as_ref().map(|details| details.causes.clone()).unwrap_or_default();
            let mut lines: Vec<String> =
                causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
            if lines.is_empty() {
                lines.push(status.message.clone());
            }
            lines.sort();
            lines
        }
        Err(other) => vec![other.to_string()],
    }
}

#[tokio::test]
async fn every_rule_has_its_sentence() {
    let crds = automl_operator::api::crds().unwrap();
    let builder = crds.into_iter().fold(ApiServer::builder(), |builder, crd| builder.custom_resource_definition(crd));
    let server = builder.build().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    assert!(names.len() > 60);
    let mut wrong = String::new();
    for path in names {
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        let found = said(&server, &std::fs::read_to_string(&path).unwrap()).await.join("\n") + "\n";
        if found != expected {
            wrong.push_str(&format!("== {}\nexpected:\n{expected}found:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

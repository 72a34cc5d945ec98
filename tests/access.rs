//! `automl operator` against a real API server that keeps permissions: what it says about its own, and whom it shows metrics.

mod apiserver_support;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

const AUTOML: &str = env!("CARGO_BIN_EXE_automl");

/// A namespace with ServiceAccounts in it.
struct Place {
    client: Client,
    name: String,
    folder: TempDir,
}

impl Place {
    async fn new(client: Client, name: &str) -> Self {
        let params = PatchParams::apply("test").force();
        for crd in automl_operator::api::crds().unwrap() {
            let api: Api<CustomResourceDefinition> = Api::all(client.clone());
            api.patch(crd["metadata"]["name"].as_str().unwrap(), &params, &Patch::Apply(&crd)).await.unwrap();
        }
        let name = format!("{name}-{}", std::process::id());
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        Place { client, name, folder: tempfile::tempdir().unwrap() }
    }

    async fn create<K>(&self, api: Api<K>, object: Value)
    where
        K: kube::Resource + Clone + serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    /// A ServiceAccount, and a token of its.
    async fn account(&self, name: &str) -> String {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.name);
        self.create(api.clone(), json!({"metadata": {"name": name}})).await;
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let answer = api.create_token_request(name, &PostParams::default(), &request).await.unwrap();
        answer.status.unwrap().token
    }

    /// Gives rights in the whole cluster.
    async fn allow(&self, account: &str, rules: Value) {
        let name = format!("{}-{account}", self.name);
        self.create::<ClusterRole>(Api::all(self.client.clone()), json!({"metadata": {"name": name}, "rules": rules}))
            .await;
        let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": self.name});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
        let binding = json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]});
        self.create::<ClusterRoleBinding>(Api::all(self.client.clone()), binding).await;
    }

    /// The tests' own kubeconfig, with a ServiceAccount's token in place of the administrator's credentials.
    fn kubeconfig(&self, token: &str) -> PathBuf {
        let path = std::env::var_os("AUTOML_TEST_APISERVER").unwrap();
        let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            user["user"] = json!({"token": token});
        }
        let path = self.folder.path().join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    async fn end(self, accounts: &[&str]) {
        let params = DeleteParams::default();
        for account in accounts {
            let name = format!("{}-{account}", self.name);
            Api::<ClusterRole>::all(self.client.clone()).delete(&name, &params).await.unwrap();
            Api::<ClusterRoleBinding>::all(self.client.clone()).delete(&name, &params).await.unwrap();
        }
        Api::<Namespace>::all(self.client.clone()).delete(&self.name, &params).await.unwrap();
    }
}

fn check(kubeconfig: &Path, namespace: &str) -> Output {
    let arguments = ["operator", "--check", "--lease-namespace", namespace, "--metrics-authentication"];
    Command::new(AUTOML).args(arguments).env("KUBECONFIG", kubeconfig).stdin(Stdio::null()).output().unwrap()
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_may_and_may_not_do_is_said() {
    let Some(client) = apiserver_support::real().await else { return };
    let place = Place::new(client, "check").await;
    let token = place.account("operator").await;
    let kubeconfig = place.kubeconfig(&token);
    let nothing = check(&kubeconfig, &place.name);
    let said = String::from_utf8(nothing.stdout).unwrap();
    assert_eq!(nothing.status.code(), Some(1), "{said}");
    assert!(said.contains("ok   trials.automl.dev is served in version v1alpha1\n"), "{said}");
    let refused = "FAIL may not list experiments.automl.dev in all namespaces; without it no Experiment is seen: give it with a rule";
    assert!(said.contains(refused), "{said}");
    let unread = format!("FAIL Lease {}/automl-operator cannot be read: ", place.name);
    assert!(said.contains(&unread), "{said}");
    let rules = json!([
        rule("automl.dev", &["experiments", "trials"], &["get", "list", "watch", "create", "patch"]),
        rule("automl.dev", &["trials"], &["delete"]),
        rule("automl.dev", &["experiments/status", "trials/status"], &["patch"]),
        rule("automl.dev", &["experiments/finalizers", "trials/finalizers"], &["update"]),
        rule("batch", &["jobs"], &["get", "list", "watch", "create"]),
        rule("", &["pods"], &["get", "list"]),
        rule("", &["persistentvolumeclaims"], &["get", "create"]),
        rule("events.k8s.io", &["events"], &["create", "list"]),
        rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
        rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
        rule("coordination.k8s.io", &["leases"], &["get", "update", "create"]),
    ]);
    place.allow("operator", rules).await;
    // The API server learns of a binding a little later.
    let deadline = Instant::now() + Duration::from_secs(30);
    let said = loop {
        let output = check(&kubeconfig, &place.name);
        let said = String::from_utf8(output.stdout).unwrap();
        if said.matches("FAIL").count() == 1 || Instant::now() > deadline {
            assert_eq!(output.status.code(), Some(1), "{said}");
            break said;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let left: Vec<&str> = said.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert_eq!(
        left,
        [
            "FAIL may not delete jobs.batch in all namespaces; without it no trial's Job is made or followed: give it with a rule \
          {apiGroups: [\"batch\"], resources: [jobs], verbs: [delete]}, or the chart with rbac.create"
        ]
    );
    let administrator = check(Path::new(&std::env::var_os("AUTOML_TEST_APISERVER").unwrap()), &place.name);
    let said = String::from_utf8(administrator.stdout).unwrap();
    assert_eq!(administrator.status.code(), Some(0), "{said}");
    assert!(said.ends_with("/automl-operator does not exist yet: whoever starts first leads\n"), "{said}");
    place.end(&["operator"]).await;
}

/// Ended, by force, with the test.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn ask(method: &str, url: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let request = match token {
        Some(token) => request.header("Authorization", format!("Bearer {token}")),
        None => request,
    };
    match ureq::Agent::new_with_config(config).run(request.body(body.to_owned()).unwrap()) {
        Ok(mut answer) => (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap()),
        Err(error) => (0, error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_shown_to_those_who_may_see_them() {
    let Some(client) = apiserver_support::real().await else { return };
    let place = Place::new(client, "visitors").await;
    let (stranger, reader) = (place.account("stranger").await, place.account("reader").await);
    place
        .allow(
            "reader",
            json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}, {"nonResourceURLs": ["/log-level"], "verbs": ["put"]}]),
        )
        .await;
    let (reports, metrics) = (free().await, free().await);
    let log = place.folder.path().join("log");
    let child = Command::new(AUTOML)
        .args(["operator", "--namespace", &place.name, "--listen", &reports.to_string()])
        .args(["--metrics-address", &metrics.to_string(), "--metrics-authentication", "--gpu-price", "any=2.5"])
        .env("KUBECONFIG", std::env::var_os("AUTOML_TEST_APISERVER").unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let operator = Operator(child);
    let url = format!("http://{metrics}/metrics");
    let deadline = Instant::now() + Duration::from_secs(60);
    // The binding is known a little later than it is made, and a refusal is remembered for seconds.
    let page = loop {
        let (status, page) = ask("GET", &url, Some(&reader), "");
        if status == 200 {
            break page;
        }
        assert!(Instant::now() < deadline, "{status}: {page}; {}", std::fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(page.contains("automl_gpu_price_dollars_per_hour{model=\"any\"} 2.5\n"), "{page}");
    let watched = page
        .lines()
        .find(|line| line.starts_with("automl_api_requests_total{code=\"200\",resource=\"trials\",verb=\"list\"}"));
    assert!(watched.is_some(), "reads are counted, too: {page}");
    let level = format!("http://{metrics}/log-level");
    let nobody = format!("system:serviceaccount:{}:stranger", place.name);
    let may_not = format!("user {nobody} may not get /metrics: it needs a ClusterRole with nonResourceURLs");
    let table = [
        ("GET", &url, None, "", 401, "the token is not valid here: there is none"),
        ("GET", &url, Some("made-up"), "", 401, "the token is not valid here"),
        ("GET", &url, Some(stranger.as_str()), "", 403, may_not.as_str()),
        ("PUT", &level, None, "debug", 401, "the token is not valid here"),
        ("PUT", &level, Some(stranger.as_str()), "debug", 403, "may not put /log-level"),
        ("PUT", &level, Some(reader.as_str()), "loud", 400, "loud is no level"),
        ("PUT", &level, Some(reader.as_str()), "warn", 200, "warn"),
        ("GET", &format!("http://{reports}/metrics"), Some(reader.as_str()), "", 404, ""),
        ("PUT", &format!("http://{reports}/log-level"), Some(reader.as_str()), "debug", 404, ""),
        ("GET", &format!("http://{reports}/livez"), None, "", 200, "ok"),
    ];
    for (method, url, token, body, status, sentence) in table {
        let (got, said) = ask(method, url, token, body);
        assert_eq!(got, status, "{method} {url}: {said}");
        assert!(said.contains(sentence), "{method} {url}: {said}");
    }
    drop(operator);
    place.end(&["reader"]).await;
}

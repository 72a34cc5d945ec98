//! Whose reports the operator takes: those of a trial's pod, for that trial.

use super::bench::Bench;
use super::manifests::{busybox, experiment};
use super::space::Space;
use automl_operator::report::{AUDIENCE, PATH};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// `kubectl port-forward` to the operator's Service: what goes through the API server itself carries no token of ours.
struct Forward {
    kubectl: Child,
    /// It writes a line for each connection, and ends when nobody can read that.
    _lines: BufReader<ChildStdout>,
    url: String,
}

impl Forward {
    fn start(space: &Space) -> Self {
        let mut command = space.kubectl();
        command.args(["--namespace=automl-system", "port-forward", "service/automl-automl-operator", ":8080"]);
        let mut kubectl = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(kubectl.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
        let url = format!("http://{}{PATH}", address.unwrap_or_else(|| panic!("{line:?}")));
        Forward { kubectl, _lines: lines, url }
    }

    /// Says an empty batch of this trial; gives the status and what was answered.
    fn say(&self, token: &str, trial: &Value) -> (u16, String) {
        let batch = json!({
            "namespace": trial["metadata"]["namespace"], "trial": trial["metadata"]["name"],
            "trialUid": trial["metadata"]["uid"], "attempt": 0, "session": "a", "records": [], "end": false,
        });
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = agent.post(&self.url).header("content-type", "application/json");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.send(batch.to_string().as_bytes()).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

#[tokio::test]
async fn only_a_trials_own_pod_may_report_for_it() {
    let Some(space) = Space::new("tokens").await else { return };
    let limits = json!({"maxTrials": 2, "parallelTrials": 2});
    space.create(&experiment("e", limits, busybox("sleep 600"))).await;
    space.until_running("e", 2).await;
    let trials: Vec<Value> = space.trials().await.into_iter().map(|trial| json!(trial)).collect();
    let [a, b] = [space.pod_of("e-00000").await, space.pod_of("e-00001").await];
    let mut stranger = json!({"containers": [busybox("sleep 600")], "restartPolicy": "Never"});
    stranger["securityContext"] = json!(a.spec.as_ref().unwrap().security_context);
    // By the labels of its Job the Job controller would adopt it.
    let ours = |(key, _): &(&String, &String)| key.starts_with("automl.dev/");
    let labels: std::collections::BTreeMap<_, _> = a.labels().iter().filter(ours).collect();
    let stranger =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels}, "spec": stranger});
    space.create(&stranger).await;
    let stranger = space.api::<Pod>().get("p").await.unwrap();

    let forward = Forward::start(&space);
    let own = space.token(AUDIENCE, Some(&a)).await;
    let gone = space.token(AUDIENCE, Some(&b)).await;
    let mut table = vec![
        ("a pod's own", own.clone(), 200, ""),
        ("none", String::new(), 401, "there is none"),
        ("nonsense", "nonsense".to_owned(), 401, "not valid here"),
        (
            "of another audience",
            space.token("https://kubernetes.default.svc.cluster.local", Some(&a)).await,
            401,
            "not valid",
        ),
        ("of no pod", space.token(AUDIENCE, None).await, 401, "it was not made for a pod"),
        ("of a pod that is no trial's", space.token(AUDIENCE, Some(&stranger)).await, 403, "no Job controls it"),
    ];
    if let Some(bench) = Bench::on_bench() {
        table.push(("signed by us", resigned(&bench, &own, 600), 200, ""));
        table.push(("expired", resigned(&bench, &own, -60), 401, "not valid here"));
    }
    for (what, token, code, words) in table {
        let (answered, text) = forward.say(&token, &trials[0]);
        assert!(answered == code && text.contains(words), "{what}: {answered} {text}");
    }
    let (answered, text) = forward.say(&own, &trials[1]);
    assert!(answered == 403 && text.contains("the batch is another's"), "for another trial: {answered} {text}");
    let mut renamed = trials[0].clone();
    renamed["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    assert_eq!(forward.say(&own, &renamed).0, 403, "for an earlier trial of the same name");

    space.api::<Pod>().delete(&b.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
    let is_gone = |space: Space| {
        let (name, uid) = (b.name_any(), b.uid());
        async move { space.api::<Pod>().get_opt(&name).await.unwrap().is_none_or(|found| found.uid() != uid).then_some(()) }
    };
    space.until("the pod is gone", is_gone).await;
    let (answered, text) = forward.say(&gone, &trials[1]);
    assert!(answered == 401 || answered == 403, "of a pod that is gone: {answered} {text}");
    space.end().await;
}

/// The same token with another time of expiry, so many seconds from now, signed with the API server's key.
fn resigned(bench: &Bench, token: &str, seconds: i64) -> String {
    let mut parts = token.split('.');
    let (header, payload) = (parts.next().unwrap(), parts.next().unwrap());
    let mut claims: Value = serde_json::from_slice(&decoded(payload)).unwrap();
    let now = jiff::Timestamp::now().as_second();
    (claims["iat"], claims["nbf"], claims["exp"]) = (json!(now - 3600), json!(now - 3600), json!(now + seconds));
    let signed = format!("{header}.{}", encoded(claims.to_string().as_bytes()));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(bench.run.join("pki/service-accounts.key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
    let der = openssl.wait_with_output().unwrap().stdout;
    // ASN.1: a sequence of two integers; JWS: both with 32 bytes.
    let first = usize::from(der[3]);
    let number = |bytes: &[u8]| {
        [vec![0; 32_usize.saturating_sub(bytes.len())], bytes[bytes.len().saturating_sub(32)..].to_vec()].concat()
    };
    let signature = [number(&der[4..4 + first]), number(&der[6 + first..])].concat();
    format!("{signed}.{}", encoded(&signature))
}

fn encoded(bytes: &[u8]) -> String {
    let text = json!(ByteString(bytes.to_vec()));
    text.as_str().unwrap().trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn decoded(text: &str) -> Vec<u8> {
    let padded = text.replace('-', "+").replace('_', "/") + &"=".repeat((4 - text.len() % 4) % 4);
    serde_json::from_value::<ByteString>(json!(padded)).unwrap().0
}

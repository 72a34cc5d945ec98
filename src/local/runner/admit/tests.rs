use super::*;
use crate::local::runner::scheduler::Capacity;
use serde_json::json;
use std::collections::BTreeMap;

fn pod(container: Value, rest: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "train", "command": ["python", "train.py"]}]});
    for (key, value) in container.as_object().unwrap() {
        spec["containers"][0][key] = value.clone();
    }
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn identity() -> Identity {
    Identity {
        name: "p".into(),
        namespace: "ns".into(),
        uid: "u".into(),
        labels: BTreeMap::from([("app".into(), "x".into())]),
        annotations: BTreeMap::new(),
    }
}

fn objects() -> Objects {
    let reference = |kind, name: &str| Reference { kind, name: name.into() };
    let data = |pairs: &[(&str, &[u8])]| pairs.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec())).collect();
    BTreeMap::from([
        (reference(Kind::ConfigMap, "cm"), data(&[("LR", b"0.1"), ("bad=key", b"-"), ("blob", b"\xff")])),
        (reference(Kind::ConfigMap, "plain"), data(&[("A", b"1"), ("B", b"2")])),
        (reference(Kind::Secret, "s"), data(&[("TOKEN", b"hush")])),
    ])
}

fn launch(spec: &Value) -> Result<Launch, String> {
    let capacity = Capacity { cpu_milli: 4000, memory: 1 << 30, gpus: vec![] };
    admit(spec, "spec").map_err(|refusal| refusal.to_string())?.launch(&identity(), &objects(), &capacity, "/S/p")
}

#[test]
fn defaults_are_those_of_kubernetes() {
    let plan = admit(&pod(json!({"args": ["--x"]}), json!({})), "spec").unwrap();
    assert_eq!(plan.container, "train");
    assert_eq!(plan.command, ["python", "train.py", "--x"]);
    assert_eq!((plan.restart_policy, plan.grace_seconds), (RestartPolicy::Always, 30));
    assert_eq!(plan.service_account, "default");
    assert!(!plan.message_from_logs);
}

#[test]
fn refuses_with_the_field_and_a_way_out() {
    let none = || json!({});
    for (spec, expected) in [
        (json!(7), "spec: must be an object"),
        (json!({}), "spec.containers: must hold one container"),
        (json!({"containers": 3}), "spec.containers: invalid type: integer `3`, expected a sequence"),
        (json!({"containers": [3]}), "spec.containers[0]: must be an object"),
        (json!({"containers": [{}, {}]}), "spec.containers: only one container can be a local process"),
        (pod(none(), json!({"initContainers": [{"name": "i"}]})), "spec.initContainers: only one container can be"),
        (pod(json!({"command": []}), none()), "spec.containers[0].command: must name the program"),
        (pod(json!({"command": [7]}), none()), "spec.containers[0].command[0]: invalid type: integer `7`"),
        (pod(json!({"args": ["a\0b"]}), none()), "spec.containers[0].command: must not contain a null character"),
        (pod(json!({"livenessProbe": {"exec": {}}}), none()), "spec.containers[0].livenessProbe: a local process is"),
        (
            pod(json!({"securityContext": {"privileged": true}}), none()),
            "spec.containers[0].securityContext.privileged: a local process gets no more rights",
        ),
        (pod(json!({"resources": {"limits": {"cpu": "x"}}}), none()), "spec.containers[0].resources.limits[cpu]: is"),
        (pod(json!({"env": [{"value": "x"}]}), none()), "spec.containers[0].env[0]: missing field `name`"),
        (pod(json!({"env": [{"name": "a=b"}]}), none()), "spec.containers[0].env[0].name: must be a name without `=`"),
        (
            pod(json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.tolerations"}}}]}), none()),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: spec.tolerations is not a field",
        ),
        (
            pod(json!({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {}}}]}), none()),
            "spec.containers[0].env[0]: unknown field `fileKeyRef`",
        ),
        (pod(none(), json!({"restartPolicy": "Sometimes"})), "spec.restartPolicy: must be Never, OnFailure or Always"),
        (pod(none(), json!({"terminationGracePeriodSeconds": -1})), "spec.terminationGracePeriodSeconds: invalid"),
        (
            pod(none(), json!({"nodeSelector": {"gpu": "a100"}})),
            "spec.nodeSelector[gpu]: this machine has no such label",
        ),
        (
            pod(none(), json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]})),
            "spec.volumes[0].persistentVolumeClaim: cannot be mounted by a local process; use hostPath or emptyDir",
        ),
        (pod(none(), json!({"volumes": [{"name": "../../etc"}]})), "spec.volumes[0].name: must be a DNS label"),
        (
            pod(
                none(),
                json!({"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}]}),
            ),
            "spec.volumes[0].configMap: path \"../x\" must be relative",
        ),
        (
            pod(none(), json!({"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "shared": true}}]})),
            "spec.volumes[0].emptyDir.shared: is not a field that a local process can honour",
        ),
        (
            pod(none(), json!({"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]})),
            "a volume can have only one source",
        ),
        (
            pod(json!({"volumeMounts": [{"name": "v", "mountPath": "/data"}]}), none()),
            "spec.containers[0].volumeMounts[0].name: no volume has this name",
        ),
        (
            pod(json!({"volumeMounts": [{"name": "v", "mountPath": "/"}]}), json!({"volumes": [{"name": "v"}]})),
            "spec.containers[0].volumeMounts[0].mountPath: must be an absolute path other than /",
        ),
        (
            pod(
                json!({"volumeMounts": [{"name": "v", "mountPath": "/d", "subPath": "../x"}]}),
                json!({"volumes": [{"name": "v"}]}),
            ),
            "spec.containers[0].volumeMounts[0].subPath: must be relative",
        ),
    ] {
        let refusal = admit(&spec, "spec").unwrap_err().to_string();
        assert!(refusal.contains(expected), "{refusal}\n  expected {expected}");
    }
}

#[test]
fn the_environment_is_built_as_the_kubelet_builds_it() {
    let env = |env: Value, from: Value| {
        launch(&pod(json!({"env": env, "envFrom": from, "command": ["echo", "$(A)", "$(B)", "$$(A)"]}), json!({})))
    };
    let got = env(
        json!([
            {"name": "A", "value": "a-$(B)-$(P_TOKEN)"},
            {"name": "B", "value": "later"},
            {"name": "LR", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "LR"}}},
            {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": true}}},
            {"name": "ME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MIB", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "NOTHING"},
        ]),
        json!([{"configMapRef": {"name": "plain"}}, {"prefix": "P_", "secretRef": {"name": "s"}}]),
    )
    .unwrap();
    let expected = [
        ("A", "a-2-hush"),
        ("APP", "x"),
        ("B", "later"),
        ("CPUS", "4"),
        ("LR", "0.1"),
        ("ME", "p"),
        ("MIB", "1024"),
        ("NOTHING", ""),
        ("P_TOKEN", "hush"),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(got.env, expected);
    assert_eq!(got.argv, ["echo", "a-2-hush", "later", "$(A)"]);

    let from_config_map = |name: &str, key: &str| {
        let reference = json!({"name": name, "key": key});
        env(json!([{"name": "X", "valueFrom": {"configMapKeyRef": reference}}]), json!([])).unwrap_err()
    };
    assert_eq!(from_config_map("none", "k"), "configmap \"none\" not found");
    assert_eq!(from_config_map("cm", "k"), "couldn't find key k in ConfigMap ns/cm");
    assert!(from_config_map("cm", "blob").contains("mount it as a file"));
    let all = env(json!([]), json!([{"secretRef": {"name": "none"}}])).unwrap_err();
    assert_eq!(all, "secret \"none\" not found");
}

#[test]
fn volumes_become_files_and_mount_paths_real_ones() {
    let spec = pod(
        json!({
            "command": ["sh", "-c", "cat /etc/conf/lr > $(OUT)", "/host/x", "/dev/termination-log"],
            "workingDir": "/scratch/work",
            "env": [{"name": "OUT", "value": "/scratch/out"}, {"name": "TOKEN_FILE", "value": "/run/automl/token"}],
            "volumeMounts": [
                {"name": "scratch", "mountPath": "/scratch/"},
                {"name": "scratch", "mountPath": "/sub", "subPath": "deep/er"},
                {"name": "conf", "mountPath": "/etc/conf", "readOnly": true},
                {"name": "all", "mountPath": "/run/automl"},
                {"name": "host", "mountPath": "/host"},
            ],
        }),
        json!({"volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "conf", "configMap": {"name": "cm", "items": [{"key": "LR", "path": "lr", "mode": 256}]}},
            {"name": "all", "projected": {"defaultMode": 288, "sources": [
                {"serviceAccountToken": {"audience": "automl", "expirationSeconds": 600, "path": "token"}},
                {"secret": {"name": "s"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]}},
            {"name": "host", "hostPath": {"path": "/mnt/data", "type": "Directory"}},
        ]}),
    );
    let launch = launch(&spec).unwrap();
    let script = "cat /S/p/volumes/conf/lr > /S/p/volumes/scratch/out";
    assert_eq!(launch.argv, ["sh", "-c", script, "/mnt/data/x", "/S/p/termination-log"]);
    assert_eq!(launch.working_dir.as_deref(), Some("/S/p/volumes/scratch/work"));
    assert_eq!(launch.env["OUT"], "/S/p/volumes/scratch/out");
    assert_eq!(launch.env["TOKEN_FILE"], "/S/p/volumes/all/token");
    assert!(launch.folders.contains(&"/S/p/volumes/scratch/deep/er".to_owned()));
    assert_eq!(launch.tokens, [TokenFile { path: "/S/p/volumes/all/token".into(), audience: "automl".into() }]);
    assert_eq!(launch.host_paths, [HostPath { path: "/mnt/data".into(), kind: "Directory".into() }]);
    let file = |path: &str, bytes: &[u8], mode| NewFile { path: path.into(), bytes: bytes.into(), mode: Mode(mode) };
    assert_eq!(
        launch.files,
        [
            file("/S/p/volumes/conf/lr", b"0.1", 0o400),
            file("/S/p/volumes/all/TOKEN", b"hush", 0o440),
            file("/S/p/volumes/all/labels", b"app=\"x\"", 0o440),
        ]
    );
}

#[test]
fn names_the_objects_that_it_needs() {
    let spec = pod(
        json!({
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}}],
            "envFrom": [{"secretRef": {"name": "two"}}],
        }),
        json!({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "three"}}]}}]}),
    );
    let references: Vec<(&str, String)> =
        admit(&spec, "spec").unwrap().references().into_iter().map(|r| (r.kind.lower(), r.name)).collect();
    let expected = [("configmap", "one"), ("configmap", "three"), ("secret", "two")];
    assert_eq!(references, expected.map(|(kind, name)| (kind, name.to_owned())));
}

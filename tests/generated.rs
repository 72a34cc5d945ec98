//! Generated files are reproduced: `UPDATE=1 cargo test --test generated` (or `make generate`) rewrites them.

use automl_operator::api::conditions::reasons;
use automl_operator::local::runner::admit::fields;
use std::path::{Path, PathBuf};

fn check(path: &str, expected: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is not current; run `make generate` and commit it", path.display());
}

#[test]
fn crds() {
    for crd in automl_operator::api::crds().unwrap() {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap().to_owned();
        check(&format!("crds/{plural}.yaml"), &serde_saphyr::to_string(&crd).unwrap());
    }
}

#[test]
fn metrics_of_the_operator() {
    check("docs/metrics-reference.md", &automl_operator::controller::metrics_reference());
}

#[test]
fn conditions() {
    let mut page = String::from(
        "# Conditions\n\nBoth kinds have the condition `Complete`: True once ended well; while it is False its reason and message say what\n\
         is going on, or why nothing is. `Failed` is True once ended badly. An Experiment also has `Accepted` (the spec can be\n\
         run) and, when asked for, `Suspended`. Generated from `src/api/conditions.rs`.\n\n| reason | meaning |\n| --- | --- |\n",
    );
    for (reason, meaning) in reasons::ALL {
        page.push_str(&format!("| `{reason}` | {} |\n", meaning.trim()));
    }
    check("docs/conditions.md", &page);
}

#[test]
fn local_processes() {
    let head = "# Pods as local processes\n\n`automl run` and `automl local` run a pod's one container as a plain process of this machine. What it honours, what it\n\
                ignores since a process runs just as well without it, and what it refuses, with a sentence, before it starts. Fields that\n\
                are not listed are refused. Generated from `src/local/runner/admit/fields.rs`.\n\n\
                Of kubectl, what talks of Experiments, Trials, Jobs and Pods works with `automl local`, `-f FILE` included. What speaks\n\
                protobuf does not (`kubectl create configmap NAME ...`: write the ConfigMap into a file and apply that), nor what needs a\n\
                kubelet (`kubectl logs`, `exec`: what trials print is in `STATE/logs`).\n\n";
    check("docs/local.md", &format!("{head}{}", fields::markdown()));
}

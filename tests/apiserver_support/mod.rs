//! A real Kubernetes control plane, where `scripts/test.sh` has started one for the tests.

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// Its administrator. `None`: there is none, which only machines without Go may let pass.
pub async fn real() -> Option<Client> {
    let Some(path) = std::env::var_os("AUTOML_TEST_APISERVER") else {
        assert!(std::env::var("CI").is_err(), "AUTOML_TEST_APISERVER is not set; scripts/test.sh sets it");
        eprintln!(
            "skipped: there is no API server; scripts/test.sh starts one (or: tests/cluster/up.sh control-plane)"
        );
        return None;
    };
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    // A refusal is what tests are about; it is not to be tried again.
    config.default_retry = false;
    Some(Client::try_from(config).unwrap())
}

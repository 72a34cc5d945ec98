//! A whole cluster with pods, the chart installed: what only a kubelet can show. `make test-cluster` starts one, or takes
//! that of KUBECONFIG; without AUTOML_TEST_CLUSTER these tests are skipped. They use the operator together, one at a time.
//! Those that kill or freeze parts of the cluster need our own node: RUN names the folder of its run.

mod bench;
mod manifests;
mod release;
mod space;

mod checkpoints;
mod crowd;
mod ends;
mod lifecycle;
mod operator;
mod parts;
mod pods;
mod queries;
mod rotation;
mod scoped;
mod sources;
mod stopping;
mod taken;
mod tokens;
mod waits;
mod whole;

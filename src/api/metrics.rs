//! Where an Experiment's metrics come from.

use super::objectives::metric_schema;
use crate::report::FileFormat;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How metrics are collected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Where they come from.
    #[serde(default)]
    pub source: MetricsSource,
}

/// Where metrics come from: one of these; none stands for `stdout`. `prometheusQuery` may stand beside it, for metrics that
/// the program does not know. See `docs/metrics.md`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "[has(self.stdout), has(self.file), has(self.tensorboard), has(self.prometheus), has(self.mlflow),\
     has(self.push), has(self.nni)]\
     .filter(one, one).size() <= 1",
    "write one of stdout, file, tensorboard, prometheus, mlflow, push and nni, not several"
))]
#[serde(rename_all = "camelCase")]
pub struct MetricsSource {
    /// What the program prints, on its output and its error output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<StdoutSource>,
    /// A file that the program writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSource>,
    /// A folder into which the program writes event files of TensorBoard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensorboard: Option<TensorboardSource>,
    /// What the program offers to Prometheus on a port of its pod. The names of metrics are those of series, with matchers of
    /// labels where there are several, such as `loss{split="validation"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSource>,
    /// Runs of MLflow, in a folder or at a tracking server. Each trial is a run of its name, in the experiment of MLflow
    /// that has the Experiment's name, unless the program says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<MlflowSource>,
    /// What the program posts to the URL in the environment variable `AUTOML_PUSH_URL`, as JSON. Hugging Face's Trainer
    /// does so by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushSource>,
    /// What trial code that was written for NNI reports with `nni.report_intermediate_result` and
    /// `nni.report_final_result`. It gets its parameters from `nni.get_next_parameter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nni: Option<NniSource>,
    /// What a Prometheus knows of the trial: the operator asks the one that it is configured with, while the trial runs and
    /// once more at its end. All other metrics come from the source beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_query: Option<PrometheusQuerySource>,
}

/// Queries to the Prometheus that the operator is configured with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusQuerySource {
    /// A query for each metric.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub queries: Vec<MetricQuery>,
    /// Seconds from one time to the next.
    #[serde(default = "query_interval_seconds")]
    #[schemars(range(min = 5, max = 3600))]
    pub interval_seconds: u32,
}

fn query_interval_seconds() -> u32 {
    30
}

/// How a metric is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricQuery {
    /// Its name: that of the objective, or one of `additionalMetrics`. What is called `epoch` or `step` is the step of all.
    #[schemars(schema_with = "metric_schema")]
    pub metric: String,
    /// A query in PromQL that gives one number, such as `max(loss{pod="${trial.pod}"})`. Placeholders stand in quotes; those
    /// of the trial template are filled in, and `${trial.pod}`, the name of the trial's pod. Series of other namespaces are
    /// not seen.
    #[schemars(length(min = 1, max = 2048))]
    pub query: String,
}

/// Where the program keeps its runs with MLflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = ("!(has(self.path) && has(self.server))", "write path or server, not both"),
    validation = (
        r"!has(self.server) || self.server.matches('^http://[^/@ ]+(/[^ ]*)?$')",
        "server is to be the plain HTTP address of a tracking server, such as http://mlflow.mlflow.svc:5000"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MlflowSource {
    /// A folder in the program's container, relative to its working folder: a file store. Placeholders of the trial template
    /// are filled in. Without `server`, `mlruns` if nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: Option<String>,
    /// URL of a tracking server, such as `http://mlflow.mlflow.svc:5000`. It is asked each five seconds, from within the trial's
    /// pod, with what `MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD` or `MLFLOW_TRACKING_TOKEN` say there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024))]
    pub server: Option<String>,
}

/// What the program posts. There is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PushSource {}

/// What trial code of NNI reports. There is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NniSource {}

/// What the program prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StdoutSource {
    /// Regular expressions with two groups, name and value, as Katib has them. Without any, every known shape of line is
    /// read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 1024)))]
    pub filters: Vec<String>,
}

/// A file of metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileSource {
    /// Its path in the program's container, relative to its working folder. Placeholders of the trial template are filled in.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// How it is written.
    #[serde(default = "text")]
    #[schemars(schema_with = "format_schema")]
    pub format: FileFormat,
    /// As of `stdout`; with format Text only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 1024)))]
    pub filters: Vec<String>,
}

fn text() -> FileFormat {
    FileFormat::Text
}

fn format_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Text", "JsonLines", "Csv"]})
}

/// A folder of event files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TensorboardSource {
    /// Its path in the program's container, relative to its working folder. Placeholders of the trial template are filled in.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// An endpoint for Prometheus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusSource {
    /// Port on which the program listens, on the loopback interface or on all.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Path of the URL.
    #[serde(default = "metrics_path")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// Seconds from one scrape to the next. What a program sets shortly before it ends may not be seen.
    #[serde(default = "interval_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub interval_seconds: u32,
}

fn metrics_path() -> String {
    "/metrics".into()
}

fn interval_seconds() -> u32 {
    5
}

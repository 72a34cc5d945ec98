//! Subcommands for people. The only room that knows all others.

mod alive;
mod checkpoints;
mod crd;
mod echo;
mod exit;
mod explain;
mod files;
mod follow;
mod laptop;
mod live;
mod local;
mod logging;
mod logs;
mod metrics;
mod observing;
mod operator;
mod price;
mod print;
mod progress;
mod prometheus;
mod run;
mod serve;
mod signals;
mod summary;
mod sweep;
mod translate;
mod tuner;
mod validate;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

pub use exit::ExitCode;
/// The allocator of the program `automl`. The agent's memory counts more than its speed: it has the system's.
pub use mimalloc::MiMalloc as Allocator;

/// AutoML experiments on Kubernetes and on a laptop.
#[derive(Debug, Parser)]
#[command(name = "automl", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an Experiment on this machine, from a file to the best parameters
    Run(RunArguments),
    /// Keep a small Kubernetes API up on this machine, to be used with kubectl
    Local(LocalArguments),
    /// Say what `kubectl apply` would say about a file, without a cluster
    Validate(ValidateArguments),
    /// Try out how metrics are read
    Metrics {
        #[command(subcommand)]
        command: MetricsCommand,
    },
    /// Say which parameters matter, and how, from an Experiment and its Trials as `kubectl get` or `run -o json` prints them
    Explain(ExplainArguments),
    /// Ask the tuners without an experiment
    #[command(subcommand)]
    Tuner(TunerCommand),
    /// Print the CustomResourceDefinitions
    Crd,
    /// Run the controllers against the cluster of KUBECONFIG, or the one this runs in
    Operator(Box<OperatorArguments>),
    /// Wrap a trial's command: collect and report its metrics
    #[command(disable_help_flag = true, hide = true)]
    Agent {
        /// The agent's own arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
enum TunerCommand {
    /// Answer on standard output what is asked on standard input, a JSON object a line: init, ask, tell
    Serve,
    /// Print the algorithms with their settings and where they were described
    List,
    /// Print what an early stopping rule, or an algorithm that hands out a resource, of Katib or NNI is in an Experiment
    Translate(TranslateArguments),
}

/// What is to be translated.
#[derive(Debug, Args)]
struct TranslateArguments {
    /// Where the name comes from
    #[arg(value_enum)]
    from: translate::System,
    /// Its name there, such as medianstop, Curvefitting, hyperband, BOHB, PBT
    name: String,
    /// Its settings there
    #[arg(value_name = "SETTING=VALUE")]
    settings: Vec<String>,
}

/// Where state is kept and what the machine offers.
#[derive(Debug, Args)]
struct MachineArguments {
    /// Folder for the state, so that a run can be stopped and resumed
    #[arg(long, value_name = "FOLDER", default_value = ".automl", env = "AUTOML_STATE_DIR")]
    state_dir: PathBuf,
    /// GPUs to offer to trials [default: those found]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(0..=1024))]
    gpus: Option<u32>,
    /// Also serve metrics for Prometheus, at /metrics of this address
    #[arg(long, value_name = "IP:PORT")]
    metrics: Option<std::net::SocketAddr>,
    #[command(flatten)]
    prometheus: prometheus::PrometheusArguments,
    #[command(flatten)]
    observing: observing::ObservingArguments,
}

impl MachineArguments {
    /// The machine of a command whose trials run in this folder.
    fn machine(self, base_dir: PathBuf) -> laptop::Machine {
        let MachineArguments { state_dir, gpus, metrics, prometheus, observing } = self;
        laptop::Machine { state_dir, base_dir, gpus, metrics, prometheus, observing }
    }
}

#[derive(Debug, Args)]
struct RunArguments {
    /// File with one Experiment, and the ConfigMaps and Secrets that its trials use; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    #[command(flatten)]
    machine: MachineArguments,
    /// Trials at a time, instead of spec.limits.parallelTrials
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1000))]
    parallel: Option<u32>,
    /// Print, at the end and alone on standard output, a List of the Experiment and its Trials
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<OutputFormat>,
    /// No progress, only the result
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Json,
    Yaml,
}

#[derive(Debug, Args)]
struct LocalArguments {
    #[command(flatten)]
    machine: MachineArguments,
    /// Port on the loopback address; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where to write the kubeconfig [default: kubeconfig in the state folder]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Folder that trials run in
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    base_dir: PathBuf,
}

#[derive(Debug, Args)]
struct ValidateArguments {
    /// File to read; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
}

#[derive(Debug, Args)]
struct ExplainArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// File to read; `-` for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

#[derive(Debug, Subcommand)]
enum MetricsCommand {
    /// Read a log as a trial's would be, and print one JSON object for each observation
    Parse(MetricsParseArguments),
}

#[derive(Debug, Args)]
struct MetricsParseArguments {
    /// How the metrics are written
    #[arg(long, value_name = "SOURCE", default_value = "stdout")]
    source: MetricsSource,
    /// A metric that is asked for, as in spec.objectives and spec.additionalMetrics; may be repeated [default: all]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Regular expression with two groups, the first around a metric's name, the second around its value; may be repeated
    #[arg(long = "filter", value_name = "REGEX")]
    filters: Vec<String>,
    /// File to read; `-` for standard input; with tensorboard also a folder
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MetricsSource {
    /// What programs print
    Stdout,
    /// The same, from a file
    File,
    /// One JSON object a line
    Jsonl,
    /// Rows under a header
    Csv,
    /// An event file, or a folder with such files in it and below
    Tensorboard,
    /// Prometheus' text format, and OpenMetrics
    Prometheus,
}

#[derive(Debug, Args)]
struct OperatorArguments {
    /// Namespace to watch [default: all]
    #[arg(long, value_name = "NAMESPACE", env = "AUTOML_NAMESPACE")]
    namespace: Option<String>,
    /// Address for reports and health, and for metrics where --metrics-address names no other
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080", env = "AUTOML_LISTEN")]
    listen: std::net::SocketAddr,
    /// Address for metrics alone
    #[arg(long, value_name = "IP:PORT", env = "AUTOML_METRICS_ADDRESS")]
    metrics_address: Option<std::net::SocketAddr>,
    /// Show metrics only to those whose token the API server knows and who may get /metrics
    #[arg(long, env = "AUTOML_METRICS_AUTHENTICATION")]
    metrics_authentication: bool,
    /// URL at which trials reach that of --listen
    #[arg(long, value_name = "URL", env = "AUTOML_REPORT_URL")]
    report_url: Option<String>,
    /// Image that holds /automl-agent: trials get the agent from it, and any image will do for their programs. Without it
    /// their images must hold the agent themselves
    #[arg(long, value_name = "IMAGE", env = "AUTOML_AGENT_IMAGE")]
    agent_image: Option<String>,
    /// When nodes pull that image
    #[arg(long, value_name = "POLICY", env = "AUTOML_AGENT_IMAGE_PULL_POLICY", requires = "agent_image",
          value_parser = ["Always", "IfNotPresent", "Never"])]
    agent_image_pull_policy: Option<String>,
    /// What the agent's container in a trial's pod asks for of a processor (where all other containers have a limit, it is the
    /// agent's, too); more where a LimitRange wants it
    #[arg(long, value_name = "QUANTITY", env = "AUTOML_AGENT_CPU", default_value = "100m", value_parser = operator::quantity)]
    agent_cpu: String,
    /// What it asks for of memory, and may use at most
    #[arg(long, value_name = "QUANTITY", env = "AUTOML_AGENT_MEMORY", default_value = "32Mi", value_parser = operator::quantity)]
    agent_memory: String,
    /// Namespace of the Lease by which replicas elect a leader; none: no election
    #[arg(long, value_name = "NAMESPACE", env = "AUTOML_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of that Lease; replicas of one operator share it, two operators do not
    #[arg(long, value_name = "NAME", env = "AUTOML_LEASE_NAME", default_value = "automl-operator")]
    lease_name: String,
    /// A replica that has not renewed the Lease for so many seconds does not lead any more; it renews it three times as often
    #[arg(long, value_name = "SECONDS", env = "AUTOML_LEASE_DURATION", default_value = "15",
          value_parser = clap::value_parser!(u64).range(6..=300))]
    lease_duration: u64,
    /// Address of this replica, at which the others reach the port of --listen: those that do not lead pass reports on
    #[arg(long, value_name = "IP", env = "AUTOML_REPLICA_IP", requires = "lease_namespace")]
    replica_ip: Option<std::net::IpAddr>,
    /// Say, a line each, what this operator may and may not do on this cluster, and exit: 0 if nothing is missing, else 1
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    prometheus: prometheus::PrometheusArguments,
    #[command(flatten)]
    observing: observing::ObservingArguments,
}

/// Parses the arguments, runs the subcommand, and says how the process is to end.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            if let Some(hint) = hint(&error) {
                print::note(&hint);
            }
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done };
        }
    };
    let log_level = logging::begin(&parsed.command);
    let result = match parsed.command {
        Command::Agent { arguments } => return ExitCode::Program(crate::agent::main(arguments, &["agent"])),
        Command::Metrics { command: MetricsCommand::Parse(arguments) } => metrics::parse(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Crd => crd::print(),
        Command::Tuner(command) => tuner::run(&command),
        Command::Validate(arguments) => exit::in_runtime(validate::validate(arguments)),
        Command::Run(arguments) => exit::in_runtime(run::run(arguments, log_level)),
        Command::Local(arguments) => exit::in_runtime(local::local(arguments, log_level)),
        Command::Operator(arguments) => exit::in_runtime(operator::operator(*arguments, log_level)),
    };
    result.unwrap_or_else(|failure| {
        print::note(&format!("automl: {failure}"));
        failure.code()
    })
}

/// What somebody who types a file's name without its option may want to know.
fn hint(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let file = [".yaml", ".yml", ".json"].iter().any(|ending| argument.ends_with(ending));
    (error.kind() == ErrorKind::UnknownArgument && file)
        .then(|| format!("\nA file is named with -f, such as: automl run -f {argument}"))
}

//! `automl local`: a small Kubernetes API on this machine, for kubectl.

use super::LocalArguments;
use super::exit::{ExitCode, Failure, Outcome};
use super::laptop::Laptop;
use super::print;
use super::signals::Signals;
use crate::local::apiserver::kubeconfig;
use crate::local::files::private_file;
use crate::server::LogLevel;
use std::io::Write;
use std::path::Path;
use tokio::net::TcpListener;

/// Keeps the embedded control plane up until interrupted.
pub async fn local(arguments: LocalArguments, log_level: LogLevel) -> Outcome {
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await.map_err(|error| {
        Failure::usage(format!(
            "port {} on 127.0.0.1 cannot be had: {error}; choose another with --port",
            arguments.port
        ))
    })?;
    let address = listener.local_addr().map_err(Failure::other)?;
    let machine = arguments.machine.machine(arguments.base_dir);
    let mut signals = Signals::listen()?;
    let laptop = Laptop::start(&machine, log_level, None).await?;
    let token = uuid::Uuid::new_v4().simple().to_string();
    let file = arguments.kubeconfig.unwrap_or_else(|| machine.state_dir.join("kubeconfig"));
    write_private(&file, &kubeconfig(&format!("http://{address}"), &token))
        .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", file.display())))?;
    print::note(&format!(
        "Kubernetes API on http://{address}; state in {}; Ctrl-C ends it",
        machine.state_dir.display()
    ));
    print::text(&format!("export KUBECONFIG={}\n", std::path::absolute(&file).unwrap_or(file).display()))?;
    let outcome = tokio::select! {
        () = signals.next() => Ok(ExitCode::Interrupted),
        failure = laptop.lost() => Err(failure),
        ended = laptop.server.serve(listener, &token) => Err(Failure::other(format!("the API server has ended: {ended:?}"))),
    };
    print::note("stopping; state is kept, the same command goes on; Ctrl-C again ends at once");
    signals.unless_asked_again(laptop.stop()).await;
    outcome
}

/// For this user only: it holds a token.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = private_file(path, std::fs::OpenOptions::new().create(true).truncate(true).write(true))?;
    file.write_all(text.as_bytes())
}

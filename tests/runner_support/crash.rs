//! A runner in a process of its own, to be killed. It reaches the API server of the test over HTTP.

use super::{Bench, settings};
use automl_operator::local::runner::Runner;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpListener;

const FOLDER: &str = "TEST_RUNNER_FOLDER";
const URL: &str = "TEST_RUNNER_URL";
const TOKEN: &str = "secret";

/// Starts a runner on the bench's state folder.
pub async fn start(bench: &Bench) -> Victim {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = bench.server.clone();
    tokio::spawn(async move { server.serve(listener, TOKEN).await });
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runner_to_be_killed", "--ignored", "--nocapture"])
        .env(FOLDER, bench.path())
        .env(URL, url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Victim(child)
}

/// A runner that is killed at the latest when the test is over.
pub struct Victim(Child);

impl Victim {
    /// SIGKILL.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The whole life of that process, until it is killed.
pub async fn run() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("only for the tests that kill it"));
    let mut config = kube::Config::new(std::env::var(URL).unwrap().parse().unwrap());
    config.auth_info.token = Some(TOKEN.to_owned().into());
    let client = kube::Client::try_from(config).unwrap();
    let _runner = Runner::start(client, settings(&folder)).await.unwrap();
    std::future::pending::<()>().await;
}

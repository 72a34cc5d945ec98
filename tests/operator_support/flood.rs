//! A flood at the operator's door: garbage, strangers, callers that never finish. Whoever has something to report is heard
//! all the same, and the operator's memory stays what it was.

use super::{Cluster, Operator};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Connections that each send their share.
const CALLERS: u64 = 8;

/// Memory of a process, in KiB.
fn resident(operator: &Operator) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// One request of one kind or another, none of which is any good.
fn garbage(number: u64) -> Vec<u8> {
    let token = match number % 16 {
        // Each is looked into.
        0 => format!("stranger-{number}"),
        1 => "x".repeat(5000),
        _ => "stranger".to_owned(),
    };
    let body = match number % 5 {
        0 => "{".repeat(2000),
        1 => r#"{"namespace": "default", "trial": "e-00000", "records": [{"sequence": -1}]}"#.to_owned(),
        2 => "\u{0}\u{1}ÿ".repeat(500),
        // More than is taken.
        3 if number % 50 == 3 => "x".repeat(300 << 10),
        3 => String::new(),
        _ => format!("[{}1{}]", "[".repeat(900), "]".repeat(900)),
    };
    let path = if number.is_multiple_of(3) { "/v1/query" } else { "/v1/report" };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// The first line of an answer, once all of it has come; `None`: the connection is closed.
async fn answered(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.ok().filter(|count| *count > 0)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|count| *count > 0)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(first)
}

/// Sends one after the other, and reads each answer: none is a success.
async fn pour(address: SocketAddr, numbers: std::ops::Range<u64>) {
    let mut connection: Option<BufReader<TcpStream>> = None;
    for number in numbers {
        if connection.is_none() {
            connection = TcpStream::connect(address).await.ok().map(BufReader::new);
        }
        let Some(stream) = connection.as_mut() else { continue };
        if stream.get_mut().write_all(&garbage(number)).await.is_err() {
            connection = None;
            continue;
        }
        match answered(stream).await {
            Some(line) => {
                let refused = line.starts_with("HTTP/1.1 4") || line.starts_with("HTTP/1.1 503");
                assert!(refused, "{number}: {line}");
            }
            None => connection = None,
        }
    }
}

/// Requests that begin and never end.
async fn slow(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for at in 0..count {
        let Ok(mut stream) = TcpStream::connect(address).await else { break };
        let begun = if at % 2 == 0 {
            "POST /v1/rep"
        } else {
            "POST /v1/report HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\n\r\n{"
        };
        let _ = stream.write_all(begun.as_bytes()).await;
        all.push(stream);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_garbage_costs_no_report_and_no_memory() {
    let all: u64 = if std::env::var_os("CI").is_some() { 100_000 } else { 10_000 };
    let cluster = Cluster::start().await;
    let operator = cluster.operator(cluster.reports, &[]);
    // It ends once the flood is over.
    let script = "echo $AUTOML_TRIAL >> started; e=0; while [ ! -f over ]; do e=$((e+1)); echo epoch=$e score=$X; sleep 0.1; done; \
                  echo $e > epochs-$AUTOML_TRIAL";
    cluster.create(2, 2, script).await;
    let stored = || -> u64 {
        let status = cluster.trials().into_iter().filter_map(|trial| trial.status);
        status.flat_map(|status| status.metrics).map(|summary| summary.count).sum()
    };
    cluster
        .until("both report", || {
            cluster.trials().iter().filter(|t| t.status.as_ref().is_some_and(|s| !s.metrics.is_empty())).count() == 2
        })
        .await;
    // The first flood shows what buffers and caches take; the second must not take more.
    let share = all / CALLERS / 4;
    let pour_all = async |from: u64, share: u64| {
        let begin = |caller: u64| from + caller * share;
        let callers =
            (0..CALLERS).map(|caller| tokio::spawn(pour(cluster.reports, begin(caller)..begin(caller) + share)));
        for ended in futures::future::join_all(callers).await {
            ended.unwrap();
        }
    };
    pour_all(0, share).await;
    let (before, heard) = (resident(&operator), stored());
    let held = slow(cluster.reports, 200).await;
    pour_all(all, 3 * share).await;
    let after = resident(&operator);
    assert!(after < before + (48 << 10) && after < 256 << 10, "{before} KiB, then {after} KiB");
    std::fs::write(cluster.work().join("over"), "").unwrap();
    cluster.until("the end", || cluster.complete()).await;
    assert!(stored() > heard, "what is good was stored all the while");
    for trial in cluster.trials() {
        let name = trial.metadata.name.unwrap();
        let epochs = std::fs::read_to_string(cluster.work().join(format!("epochs-{name}"))).unwrap();
        let count = trial.status.unwrap().metrics[0].count;
        assert_eq!(count.to_string(), epochs.trim(), "{name}: all that was printed is stored");
    }
    // Those that never finished are cut off.
    for mut stream in held {
        let mut answer = [0; 256];
        let closed = async { while stream.read(&mut answer).await.is_ok_and(|count| count > 0) {} };
        tokio::time::timeout(Duration::from_secs(60), closed).await.expect("a slow caller is not waited for");
    }
    cluster.runner.stop(Duration::from_secs(5)).await.unwrap();
}

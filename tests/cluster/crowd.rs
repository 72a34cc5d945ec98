//! Many Experiments that cannot run beside one that can.

use super::manifests::{busybox, experiment, of_pod};
use super::release::Release;
use super::space::Space;
use automl_operator::api::Experiment;
use automl_operator::api::conditions::find;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::time::Instant;

const COUNT: usize = 2000;

/// Every second one is found wrong by the operator, every other by the API server when it is asked about the Job.
fn bad(number: usize) -> Value {
    let name = format!("bad-{number:04}");
    let limits = json!({"maxTrials": 100, "parallelTrials": 10});
    if number.is_multiple_of(2) {
        let mut container = busybox("true");
        container["command"] = json!([]);
        experiment(&name, limits, container)
    } else {
        let container = busybox("echo accuracy=1");
        of_pod(&name, limits, json!({"containers": [container], "dnsPolicy": "Nonsense"}))
    }
}

async fn good(space: &Space, name: &'static str) -> f64 {
    let start = Instant::now();
    let limits = json!({"maxTrials": 6, "parallelTrials": 2});
    space.create(&experiment(name, limits, busybox("echo accuracy=1"))).await;
    assert_eq!(space.complete(name).await.trials.succeeded, 6);
    start.elapsed().as_secs_f64()
}

/// How often the operator has looked at an Experiment.
fn passes(metrics: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with("automl_reconciles_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn two_thousand_bad_experiments_do_not_slow_a_good_one() {
    let Some(space) = Space::new("crowd").await else { return };
    let alone = good(&space, "alone").await;
    let made = stream::iter(0..COUNT).map(|number| {
        let space = space.clone();
        async move { space.create(&bad(number)).await }
    });
    let (amid, _) = futures::join!(good(&space, "amid"), made.buffer_unordered(16).collect::<Vec<()>>());
    let judged = |space: Space| async move {
        let all = space.list::<Experiment>().await;
        let refused =
            |experiment: &&Experiment| find(experiment.conditions(), "Accepted").is_some_and(|c| c.status == "False");
        (all.iter().filter(refused).count() == COUNT).then_some(())
    };
    space.until("each has been told what is wrong", judged).await;
    let release = Release::new(&space);
    let before = passes(&release.metrics().await);
    let beside = good(&space, "beside").await;
    eprintln!("alone {alone:.1} s, while the others come {amid:.1} s, beside them {beside:.1} s");
    // Its six trials take some passes each; the others, which nobody touches, take none.
    let made = passes(&release.metrics().await) - before;
    assert!(made < 300.0, "{made} passes over Experiments for one beside {COUNT} others");
    assert!(space.trials().await.iter().all(|trial| !trial.spec.experiment.starts_with("bad")));
    space.end().await;
}

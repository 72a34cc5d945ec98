//! What stopping rules cost, and what a second of many trials that report costs the engine: `make bench ONLY=stopping`.

#[path = "support/experiments.rs"]
mod experiments;
mod support;
#[path = "support/trials.rs"]
mod trials;

use automl_operator::api::{Experiment, Trial, TrialStatus};
use automl_operator::engine::{Facts, Ledger, Settings, Snapshot, Wanted, compile, fold, plan};
use automl_operator::metrics::{Curve, Direction, MAX_POINTS, Observation, Point, Statistic};
use automl_operator::report::{Batch, Body, Record, Session};
use automl_operator::stopping::{Course, Curves, Rules};
use experiments::experiment;
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::row;
use trials::trial;

fn main() {
    support::run(&[("decisions", decisions), ("crowd", crowd)]);
}

/// Like the loss of a trial that learns: another rate and another end for each.
fn loss(trial: u64, step: u64) -> f64 {
    let of = |factor: f64| (trial as f64 * factor).fract();
    of(0.618) + (1.0 + of(0.414)) * (1.0 + step as f64).powf(-0.2 - of(0.732))
}

fn curve(trial: u64, points: usize) -> Curve {
    let mut curve = Curve::default();
    (1..=points as u64).for_each(|step| curve.push(Point::new(step, loss(trial, step))));
    curve
}

/// A trial's new value is taken in and judged, among a thousand trials that have ended.
fn decisions() {
    let rules = [
        ("Auto", json!({})),
        ("CurveModel", json!({})),
        ("Median", json!({})),
        ("Percentile", json!({})),
        ("AsyncHalving", json!({})),
        ("Threshold", json!({"bound": 9.0})),
        ("Patience", json!({"steps": 300})),
        ("Plateau", json!({"steps": 300})),
    ];
    let mut curves = Curves::new(Direction::Minimize, Statistic::Best);
    (0..1000).for_each(|trial| curves.insert(trial, &curve(trial, MAX_POINTS), Course::Complete));
    let steps = [16, 64, 128, 250];
    for (name, settings) in rules {
        let mut judge = Rules::default();
        judge.add(name, &serde_json::from_value(settings).unwrap_or_default()).expect("a rule");
        let (mut taken, mut judged, mut stopped) = (Duration::ZERO, Duration::ZERO, 0_u32);
        let trials = 1000..1500_u64;
        let questions = (trials.end - trials.start) as u32 * steps.len() as u32;
        for trial in trials {
            for points in steps {
                let (before, now) = (curve(trial, points - 1), curve(trial, points));
                curves.insert(trial, &before, Course::Running);
                let start = Instant::now();
                curves.insert(trial, &now, Course::Running);
                taken += start.elapsed();
                let start = Instant::now();
                stopped += u32::from(judge.judge(&curves, trial).is_some());
                judged += start.elapsed();
            }
            curves.remove(trial);
        }
        let micros = |time: Duration| (time / questions).as_secs_f64() * 1e6;
        row(
            format!("a decision of {name}, 1,000 trials x {MAX_POINTS} points (+ to take the value in)"),
            format!("{:.1} us (+ {:.1}), {stopped} of {questions} stop", micros(judged), micros(taken)),
        );
    }
}

/// An experiment whose trials report.
struct Crowd {
    experiment: Experiment,
    ledger: Ledger,
    wanted: Vec<Wanted>,
    trials: Vec<Arc<Trial>>,
}

const EXPERIMENTS: u64 = 10;
/// The schema allows no more at a time.
const AT_A_TIME: u32 = 1000;

/// Ten thousand trials run and say a value each second: it is folded into the status, taken in, judged, and planned by.
fn crowd() {
    let now = Timestamp::now();
    let mut crowds: Vec<Crowd> = (0..EXPERIMENTS).map(|_| Crowd::new(now)).collect();
    let seconds = 60;
    let mut worst = Duration::ZERO;
    let start = Instant::now();
    for second in 1..=seconds {
        let start = Instant::now();
        crowds.iter_mut().for_each(|crowd| crowd.report(second, now));
        worst = worst.max(start.elapsed());
    }
    let mean = start.elapsed() / u32::try_from(seconds).unwrap_or(1);
    row(
        format!(
            "{EXPERIMENTS} x {AT_A_TIME} running trials report each second, Auto judges: one second's work, one core"
        ),
        format!("{:.2} s, at worst {:.2} s", mean.as_secs_f64(), worst.as_secs_f64()),
    );
}

impl Crowd {
    fn new(now: Timestamp) -> Self {
        let mut experiment = experiment("Random", 100_000, AT_A_TIME);
        // It judges, and stops nobody: the work stays the same.
        experiment.spec.early_stopping =
            serde_json::from_value(json!([{"name": "Auto", "settings": {"minChance": 0.0}}])).expect("a rule");
        let mut ledger = Ledger::default();
        ledger.prepare(&experiment.spec, compile(&experiment).ok().as_ref());
        let running = json!({
            "startTime": now, "conditions": [{
                "type": "Complete", "status": "False", "reason": "Running", "message": "", "lastTransitionTime": now,
            }],
        });
        let trials = (0..AT_A_TIME).map(|index| {
            let mut trial = Arc::unwrap_or_clone(trial(index, 1, false));
            trial.status = serde_json::from_value(running.clone()).ok();
            Arc::new(trial)
        });
        Crowd { wanted: Wanted::of(&experiment.spec), ledger, experiment, trials: trials.collect() }
    }

    fn report(&mut self, second: u64, now: Timestamp) {
        let compiled = compile(&self.experiment);
        for (index, trial) in (0..).zip(&mut self.trials) {
            let value = 1.0 - loss(index, second);
            let observation = Observation { metric: "accuracy".into(), step: Some(second), value, time: now };
            let batch = Batch {
                namespace: "default".into(),
                trial: String::new(),
                trial_uid: String::new(),
                attempt: 0,
                session: Session::new(0, 1, 1).to_string(),
                records: vec![Record { sequence: second, body: Body::Observation(observation) }],
                after: None,
                end: false,
            };
            let before: &TrialStatus = trial.status.as_ref().expect("a status");
            let status = fold(before, &[batch], Some(&self.wanted), now);
            let mut next = Trial::clone(trial);
            next.status = Some(status);
            next.metadata.resource_version = Some((second + 1).to_string());
            *trial = Arc::new(next);
            self.ledger.upsert_trial(Arc::clone(trial));
        }
        if let Ok(compiled) = &compiled {
            self.ledger.judge(&self.experiment.spec, compiled);
        }
        let (facts, settings) = (Facts { status_written: Some(now), ..Facts::default() }, Settings::default());
        let snapshot = Snapshot {
            experiment: &self.experiment,
            compiled: &compiled,
            ledger: &self.ledger,
            facts: &facts,
            settings: &settings,
        };
        std::hint::black_box(plan(&snapshot, now));
    }
}

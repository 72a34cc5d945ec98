//! What a suggestion costs, by how many trials have ended, in a space of ten parameters of all kinds.

mod support;

use automl_operator::cli::Allocator;
use automl_operator::space::{Assignment, Domain, Parameter, Scale, SearchSpace};
use automl_operator::tuner::{Finished, History, Outcome, Pending, Request, Tuner, build};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use support::row;

/// Suggestions that are measured, each after another trial has ended.
const MEASURED: u64 = 20;

/// That of the program `automl`.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() {
    support::run(&[("tuners", tuners)]);
}

fn tuners() {
    let space = space();
    for name in ["TPE", "Auto", "GP"] {
        for ended in [50, 100, 500, 1_000, 10_000] {
            one_by_one(name, &space, ended);
        }
    }
    for name in ["TPE", "Auto", "GP"] {
        side_by_side(name, &space, 100);
    }
}

fn space() -> SearchSpace {
    let double = |min, max, scale| Domain::Double { min, max, scale, step: None };
    let int = |min, max, scale| Domain::Int { min, max, scale, step: None };
    let choices =
        |names: &[&str]| Domain::Categorical { choices: names.iter().map(|name| (*name).to_owned()).collect() };
    let domains = [
        ("lr", double(1e-5, 1.0, Scale::Log)),
        ("decay", double(1e-8, 0.1, Scale::Log)),
        ("momentum", double(0.0, 0.99, Scale::Linear)),
        ("dropout", double(0.0, 0.8, Scale::Linear)),
        ("warmup", double(0.0, 0.3, Scale::Linear)),
        ("layers", int(1, 8, Scale::Linear)),
        ("units", int(8, 1024, Scale::Log)),
        ("batch", int(8, 512, Scale::Log)),
        ("optimizer", choices(&["sgd", "adam", "adamw", "lamb"])),
        ("activation", choices(&["relu", "gelu", "tanh"])),
    ];
    let parameters = domains.into_iter().map(|(name, domain)| Parameter { name: name.into(), domain, when: vec![] });
    SearchSpace::new(parameters.collect(), &[]).expect("a valid space")
}

/// A bowl.
fn loss(space: &SearchSpace, assignment: &Assignment) -> f64 {
    const BEST: [f64; 10] = [0.6, 0.4, 0.8, 0.25, 0.3, 0.5, 0.7, 0.35, 0.6, 0.2];
    space.encode(assignment).iter().zip(BEST).map(|(place, best)| (place - best) * (place - best)).sum()
}

struct Search<'a> {
    space: &'a SearchSpace,
    tuner: Box<dyn Tuner>,
    history: History,
    index: u64,
}

impl<'a> Search<'a> {
    /// After so many trials, spread evenly.
    fn after(name: &str, space: &'a SearchSpace, ended: u64) -> Self {
        let tuner = |name| build(name, &BTreeMap::new(), space, None).unwrap_or_else(|_| panic!("{name} is a tuner"));
        let mut search = Search { space, tuner: tuner("Sobol"), history: History::new(space), index: 0 };
        for _ in 0..ended {
            let assignment = search.ask(&[]);
            search.tell(assignment);
        }
        // The first question to a model after a start.
        search.tuner = tuner(name);
        search.ask(&[]);
        search
    }

    fn ask(&self, pending: &[Pending]) -> Assignment {
        let index = self.index + pending.len() as u64;
        let request = Request { space: self.space, history: &self.history, pending, seed: 1, index };
        self.tuner.suggest(&request).expect("a suggestion").assignment
    }

    fn tell(&mut self, assignment: Assignment) {
        let losses = vec![loss(self.space, &assignment)];
        self.history.insert(Finished::new(self.index, assignment, Outcome::Complete { losses }));
        self.index += 1;
    }
}

/// Processor time of this thread, in milliseconds.
fn processor_ms() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn one_by_one(name: &str, space: &SearchSpace, ended: u64) {
    let mut search = Search::after(name, space, ended);
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..MEASURED {
        let start = processor_ms();
        let assignment = search.ask(&[]);
        search.tell(assignment);
        times.push(processor_ms() - start);
    }
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    row(format!("a suggestion, {name}, {ended} ended trials: median (mean)"), format!("{median:.2} ({mean:.2}) ms"));
}

/// Each is pending for those after it. The first one is the first from its history, too.
fn side_by_side(name: &str, space: &SearchSpace, ended: u64) {
    let mut search = Search::after(name, space, ended);
    let assignment = search.ask(&[]);
    search.tell(assignment);
    let mut pending: Vec<Pending> = Vec::new();
    let start = processor_ms();
    let mut one = 0.0;
    for index in search.index..search.index + 64 {
        let assignment = search.ask(&pending);
        pending.push(Pending::new(index, assignment));
        if pending.len() == 1 {
            one = processor_ms() - start;
        }
    }
    let all = processor_ms() - start;
    row(format!("64 suggestions side by side, {name}, {ended} ended trials"), format!("{all:.1} ms, one {one:.2}"));
}

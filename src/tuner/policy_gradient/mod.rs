//! Reinforcement learning: a controller that learns sequences of choices by REINFORCE (Williams, 1992,
//! <https://doi.org/10.1007/BF00992696>) with a baseline, as for architectures (Zoph and Le, 2017,
//! <https://arxiv.org/abs/1611.01578>).
//!
//! Parameters are chosen one after the other, each given those before it; numbers of many values are chosen by equal parts
//! of their range. The reward of a trial is the share of earlier ones that it beats, so that the scale of the losses does
//! not matter; one without a loss has none. After each batch of trials that have ended, in the order of their indices, the
//! controller takes a step (Adam: Kingma and Ba, 2015, <https://arxiv.org/abs/1412.6980>) towards what was rewarded above
//! the baseline, the mean reward of late.
//!
//! The controller is what the history makes of it. The last one is kept, and goes on where the history has only grown.

mod network;

use super::random::pick;
use super::settings::{SettingError, Settings};
use super::streams::mix;
use super::unrepeated::unrepeated;
use super::{Finished, NoSuggestion, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, Parameter, SearchSpace};
use network::{Choice, Network};
use rand::{Rng, RngExt};
use std::sync::Mutex;

/// Up to so many values are chosen one by one.
const MOST_CHOICES: u64 = 64;
/// Only so many choices of trials are learned from, and so many trials: bounded work however long the history.
const MOST_STEPS: usize = 1 << 14;
const MOST_TRIALS: usize = 1 << 10;
/// Share of the old baseline that stays, with each trial.
const BASELINE: f64 = 0.95;
/// Decays of Adam's means.
const DECAYS: (f64, f64) = (0.9, 0.999);

/// The learner.
pub(super) struct PolicyGradient {
    allow_repeats: bool,
    /// Trials between two steps of the controller.
    batch: usize,
    rate: f64,
    /// What uncertainty is worth, so that the controller goes on exploring.
    entropy: f64,
    /// Units of the controller.
    hidden: usize,
    /// Parts of a range of many values.
    parts: usize,
    last: Mutex<Option<Learner>>,
}

/// A controller and what it has learned from.
#[derive(Clone)]
struct Learner {
    network: Network,
    /// Adam's means of the gradient and of its square, and its steps.
    means: Vec<(f64, f64)>,
    steps: i32,
    baseline: f64,
    /// Losses of the trials that were learned from, ascending; those that are not finite left out.
    losses: Vec<f64>,
    /// Trials passed over, and learned from.
    passed: usize,
    learned: usize,
    /// Of what was learned, and with which seed.
    fingerprint: u64,
}

impl PolicyGradient {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(PolicyGradient {
            allow_repeats: settings.allow_repeats(),
            batch: settings.whole("batch", 4, 1..=1_000) as usize,
            rate: settings.real("learningRate", 0.03, 1e-5..=1.0),
            entropy: settings.real("entropy", 0.01, 0.0..=10.0),
            hidden: settings.whole("hidden", 16, 2..=64) as usize,
            parts: settings.whole("parts", 10, 2..=64) as usize,
            last: Mutex::new(None),
        }))
    }

    /// The controller after this history.
    fn learned(&self, request: &Request<'_>) -> Network {
        let (space, history) = (request.space, request.history);
        let choices: Vec<usize> = space.parameters().iter().map(|parameter| self.choices(parameter)).collect();
        // A long history is entered at a whole number of strides, so that the way does not change with each trial.
        let stride = (MOST_STEPS / choices.len().max(1)).clamp(64, MOST_TRIALS) / 2;
        let passed = (history.len() / stride).saturating_sub(1) * stride;
        let trials = || history.iter().skip(passed);
        let Ok(mut last) = self.last.lock() else { return Network::new(&choices, self.hidden, request.seed) };
        let known = last.take().filter(|last| {
            let learned = trials().take(last.learned);
            last.passed == passed
                && last.learned <= history.len() - passed
                && last.fingerprint == learned.fold(mix(request.seed), |print, trial| fold(print, space, trial))
        });
        let mut learner = known.unwrap_or_else(|| Learner::new(&choices, self.hidden, request.seed, passed));
        let ended: Vec<&Finished> = trials().skip(learner.learned).collect();
        for batch in ended.chunks_exact(self.batch) {
            self.learn(&mut learner, space, batch);
        }
        let network = learner.network.clone();
        *last = Some(learner);
        network
    }

    fn learn(&self, learner: &mut Learner, space: &SearchSpace, batch: &[&Finished]) {
        let mut gradient = vec![0.0; learner.network.len()];
        for finished in batch {
            let reward = learner.reward(finished.outcome.loss());
            let advantage = (reward - learner.baseline) / self.batch as f64;
            learner.baseline = BASELINE * learner.baseline + (1.0 - BASELINE) * reward;
            let sequence = self.sequence(space, &finished.assignment);
            let entropy = self.entropy / self.batch as f64;
            learner.network.add_gradient(&sequence, advantage, entropy, &mut gradient);
            learner.fingerprint = fold(learner.fingerprint, space, finished);
            learner.learned += 1;
        }
        learner.descend(&gradient, self.rate);
    }

    /// How many choices a parameter has.
    fn choices(&self, parameter: &Parameter) -> usize {
        match parameter.domain.levels() {
            Some(levels) if levels <= MOST_CHOICES => levels.max(1) as usize,
            _ => self.parts,
        }
    }

    /// The choices that make an assignment.
    fn sequence(&self, space: &SearchSpace, assignment: &Assignment) -> Vec<Choice> {
        let places = space.encode(assignment);
        let chosen = |(position, parameter): (usize, &Parameter)| {
            let value = assignment.get(&parameter.name)?;
            let choices = self.choices(parameter);
            let choice = match parameter.domain.levels() {
                Some(levels) if levels <= MOST_CHOICES => {
                    (0..choices).find(|choice| parameter.domain.at(*choice as u64) == *value)?
                }
                _ => ((places[position] * choices as f64) as usize).min(choices - 1),
            };
            Some((position, choice))
        };
        space.parameters().iter().enumerate().filter_map(chosen).collect()
    }

    /// Asks the controller for one choice after the other.
    fn draw(&self, network: &Network, space: &SearchSpace, rng: &mut impl Rng) -> Assignment {
        let mut assignment = Assignment::new();
        let mut memory = network.start();
        for (position, parameter) in space.parameters().iter().enumerate() {
            let (place, within) = (rng.random::<f64>(), rng.random::<f64>());
            if !space.active(parameter, &assignment) {
                continue;
            }
            let (probabilities, after) = network.step(&memory, position);
            let choice = pick(&probabilities, place);
            memory = after;
            network.chosen(&mut memory, (position, choice));
            let value = match parameter.domain.levels() {
                Some(levels) if levels <= MOST_CHOICES => parameter.domain.at(choice as u64),
                _ => parameter.domain.at_place((choice as f64 + within) / self.parts as f64),
            };
            assignment.insert(parameter.name.clone(), value);
        }
        assignment
    }
}

impl Tuner for PolicyGradient {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        let network = self.learned(request);
        unrepeated(request, self.allow_repeats, rng.random(), || self.draw(&network, request.space, &mut rng))
    }
}

impl Learner {
    fn new(choices: &[usize], hidden: usize, seed: u64, passed: usize) -> Self {
        let network = Network::new(choices, hidden, seed);
        let means = vec![(0.0, 0.0); network.len()];
        let (losses, fingerprint) = (Vec::new(), mix(seed));
        Learner { network, means, steps: 0, baseline: 0.5, losses, passed, learned: 0, fingerprint }
    }

    /// The share of earlier trials with a loss that this one beats; equals count half.
    fn reward(&mut self, loss: f64) -> f64 {
        if !loss.is_finite() {
            return 0.0;
        }
        let better = self.losses.partition_point(|other| *other < loss);
        let not_worse = self.losses.partition_point(|other| *other <= loss);
        let beaten = self.losses.len() as f64 - (better + not_worse) as f64 / 2.0;
        let reward = if self.losses.is_empty() { 0.5 } else { beaten / self.losses.len() as f64 };
        self.losses.insert(not_worse, loss);
        reward
    }

    fn descend(&mut self, gradient: &[f64], rate: f64) {
        self.steps += 1;
        let corrections = (1.0 - DECAYS.0.powi(self.steps), 1.0 - DECAYS.1.powi(self.steps));
        for ((mean, square), slope) in self.means.iter_mut().zip(gradient) {
            *mean = DECAYS.0 * *mean + (1.0 - DECAYS.0) * slope;
            *square = DECAYS.1 * *square + (1.0 - DECAYS.1) * slope * slope;
        }
        let step =
            |(mean, square): &(f64, f64)| -rate * mean / corrections.0 / ((square / corrections.1).sqrt() + 1e-8);
        self.network.change(self.means.iter().map(step));
    }
}

/// The fingerprint with one trial more.
fn fold(fingerprint: u64, space: &SearchSpace, finished: &Finished) -> u64 {
    let key = space.key(&finished.assignment);
    let words = [finished.index, key as u64, (key >> 64) as u64, finished.outcome.loss().to_bits()];
    words.into_iter().fold(fingerprint, |print, word| mix(print ^ word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Domain, Scale, Value};
    use crate::tuner::{History, Outcome};

    fn learner() -> PolicyGradient {
        PolicyGradient {
            allow_repeats: false,
            batch: 4,
            rate: 0.03,
            entropy: 0.01,
            hidden: 16,
            parts: 10,
            last: Mutex::new(None),
        }
    }

    fn space() -> SearchSpace {
        let parameter = |name: &str, domain| Parameter { name: name.into(), domain, when: vec![] };
        let choices = |count| Domain::Categorical { choices: (0..count).map(|at| format!("c{at}")).collect() };
        let mut parameters: Vec<Parameter> = (0..8).map(|at| parameter(&format!("op{at}"), choices(5))).collect();
        parameters.push(parameter("width", Domain::Int { min: 1, max: 4, scale: Scale::Log, step: None }));
        parameters.push(parameter("lr", Domain::Double { min: 1e-4, max: 1.0, scale: Scale::Log, step: None }));
        SearchSpace::new(parameters, &[]).unwrap()
    }

    /// Neighbouring operations should differ by one, and the width be that of the first.
    fn loss(space: &SearchSpace, assignment: &Assignment) -> f64 {
        let places = space.encode(assignment);
        let levels: Vec<f64> = places.iter().take(8).map(|place| (place * 5.0).floor()).collect();
        let steps: f64 =
            levels.windows(2).map(|pair| (pair[1] - pair[0] - 1.0).rem_euclid(5.0)).map(|x| x.min(1.0)).sum();
        steps + (assignment["width"].as_f64().unwrap() - 3.0).abs() / 3.0 + (places[9] - 0.65).abs()
    }

    fn run(trials: u64) -> (SearchSpace, History) {
        let space = space();
        let tuner = learner();
        let mut history = History::new(&space);
        for index in 0..trials {
            let request = Request { space: &space, history: &history, pending: &[], seed: 2, index };
            let assignment = tuner.suggest(&request).unwrap().assignment;
            let losses = vec![loss(&space, &assignment)];
            history.insert(Finished::new(index, assignment, Outcome::Complete { losses }));
        }
        (space, history)
    }

    #[test]
    fn later_trials_are_better() {
        let (_, history) = run(500);
        let mean = |from: usize| history.iter().skip(from).take(50).map(|f| f.outcome.loss()).sum::<f64>() / 50.0;
        println!("{} {}", mean(0), mean(450));
        assert!(mean(450) < 0.5 * mean(0), "{} {}", mean(0), mean(450));
    }

    /// What is remembered is used only where the history has grown from it.
    #[test]
    fn a_changed_past_is_learned_anew() {
        let (space, mut history) = run(40);
        let used = learner();
        let suggest = |tuner: &PolicyGradient, history: &History| {
            tuner.suggest(&Request { space: &space, history, pending: &[], seed: 2, index: 99 }).unwrap()
        };
        let before = suggest(&used, &history);
        let mut other = history.iter().nth(7).unwrap().clone();
        other.outcome = Outcome::Complete { losses: vec![-100.0] };
        history.insert(other);
        let fresh = learner();
        assert_eq!(suggest(&used, &history), suggest(&fresh, &history));
        history.remove(39);
        history.remove(3);
        let fresh = learner();
        assert_eq!(suggest(&used, &history), suggest(&fresh, &history));
        assert_eq!(before, suggest(&fresh, &run(40).1));
    }

    #[test]
    fn sequences_are_what_was_chosen() {
        let space = space();
        let mut assignment = space.decode(&[0.5; 10]);
        assignment.insert("op3".into(), Value::Text("c4".into()));
        assignment.insert("width".into(), Value::Int(2));
        let choices: Vec<usize> =
            learner().sequence(&space, &assignment).into_iter().map(|(_, choice)| choice).collect();
        assert_eq!(choices, [2, 2, 2, 4, 2, 2, 2, 2, 1, 5]);
    }

    #[test]
    fn rewards_are_shares_of_those_beaten() {
        let mut learner = Learner::new(&[2], 2, 0, 0);
        let rewards = [5.0, 7.0, 1.0, f64::NAN, 5.0, 1e300].map(|loss| learner.reward(loss));
        assert_eq!(rewards, [0.5, 0.0, 1.0, 0.0, 0.5, 0.0]);
    }
}

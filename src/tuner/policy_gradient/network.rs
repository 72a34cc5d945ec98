//! The controller: a recurrent network with long short-term memory (Hochreiter and Schmidhuber, 1997,
//! <https://doi.org/10.1162/neco.1997.9.8.1735>) that says, choice by choice, how likely each next one is.

use crate::tuner::streams::uniform_of;
use std::ops::Range;

/// Half of the interval that first weights are drawn from.
const FIRST: f64 = 0.1;

/// One choice: which of the positions, and which of its choices.
pub(super) type Choice = (usize, usize);

/// Weights, and where each matrix of them lies.
#[derive(Clone)]
pub(super) struct Network {
    hidden: usize,
    weights: Vec<f64>,
    positions: Vec<Position>,
}

/// Where the weights of one position lie: those of its choices' logits, and what its choices tell the next step.
#[derive(Clone)]
struct Position {
    choices: usize,
    /// A row of `hidden` and a bias for each choice.
    logits: usize,
    /// A row of `hidden` for each choice.
    embedding: usize,
}

/// What goes on from step to step.
#[derive(Clone)]
pub(super) struct Memory {
    output: Vec<f64>,
    cell: Vec<f64>,
    /// Where the embedding of the last choice lies.
    last: usize,
}

/// What a step went through, for the way back.
struct Step {
    before: Memory,
    gates: Gates,
    after: Memory,
}

/// Input, forget and output gates, and what is to be remembered.
struct Gates {
    input: Vec<f64>,
    forget: Vec<f64>,
    output: Vec<f64>,
    candidate: Vec<f64>,
}

impl Network {
    /// For positions of so many choices. Its choices are nearly uniform at first.
    pub fn new(choices: &[usize], hidden: usize, seed: u64) -> Self {
        // Four gates with a row of `2 * hidden` and a bias for each unit, then the input of the first step.
        let mut length = 4 * hidden * (2 * hidden + 1) + hidden;
        let mut positions = Vec::with_capacity(choices.len());
        for choices in choices {
            let embedding = length + choices * (hidden + 1);
            positions.push(Position { choices: *choices, logits: length, embedding });
            length = embedding + choices * hidden;
        }
        let weight = |at: usize| FIRST * (2.0 * uniform_of(seed, at as u64, 0) - 1.0);
        Network { hidden, weights: (0..length).map(weight).collect(), positions }
    }

    /// How many weights there are.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Adds to each weight.
    pub fn change(&mut self, by: impl Iterator<Item = f64>) {
        self.weights.iter_mut().zip(by).for_each(|(weight, by)| *weight += by);
    }

    /// Before the first choice.
    pub fn start(&self) -> Memory {
        let nothing = vec![0.0; self.hidden];
        Memory { output: nothing.clone(), cell: nothing, last: 4 * self.hidden * (2 * self.hidden + 1) }
    }

    /// The probabilities of a position's choices, and the memory to go on with by [`Network::chosen`].
    pub fn step(&self, memory: &Memory, position: usize) -> (Vec<f64>, Memory) {
        let Step { after, .. } = self.forward(memory);
        (self.probabilities(position, &after.output), after)
    }

    /// Tells the next step what was chosen.
    pub fn chosen(&self, memory: &mut Memory, (position, choice): Choice) {
        if let Some(position) = self.positions.get(position) {
            memory.last = position.embedding + choice.min(position.choices - 1) * self.hidden;
        }
    }

    /// Adds, to the gradient of each weight, that of `-advantage * ln P(sequence) - entropy * H`, where H is the sum of the
    /// entropies of the choices.
    pub fn add_gradient(&self, sequence: &[Choice], advantage: f64, entropy: f64, gradient: &mut [f64]) {
        let mut memory = self.start();
        let mut steps = Vec::with_capacity(sequence.len());
        for choice in sequence {
            let step = self.forward(&memory);
            memory = step.after.clone();
            self.chosen(&mut memory, *choice);
            steps.push(step);
        }
        let (mut by_output, mut by_cell) = (vec![0.0; self.hidden], vec![0.0; self.hidden]);
        for (step, (position, choice)) in steps.iter().zip(sequence).rev() {
            self.logits_backward(step, (*position, *choice), advantage, entropy, &mut by_output, gradient);
            self.cell_backward(step, &mut by_output, &mut by_cell, gradient);
        }
    }

    fn forward(&self, before: &Memory) -> Step {
        let hidden = self.hidden;
        let input = self.row(before.last..before.last + hidden);
        let gate = |which: usize, bend: fn(f64) -> f64| -> Vec<f64> {
            let unit = |unit: usize| {
                let row = self.row(self.gate(which, unit));
                let (by_input, rest) = row.split_at(hidden);
                let (by_output, bias) = rest.split_at(hidden);
                bend(dot(by_input, input) + dot(by_output, &before.output) + bias.iter().sum::<f64>())
            };
            (0..hidden).map(unit).collect()
        };
        let gates = Gates {
            input: gate(0, sigmoid),
            forget: gate(1, sigmoid),
            output: gate(2, sigmoid),
            candidate: gate(3, f64::tanh),
        };
        let cell: Vec<f64> =
            (0..hidden).map(|at| gates.forget[at] * before.cell[at] + gates.input[at] * gates.candidate[at]).collect();
        let output = cell.iter().zip(&gates.output).map(|(cell, gate)| gate * cell.tanh()).collect();
        Step { before: before.clone(), gates, after: Memory { output, cell, last: before.last } }
    }

    fn probabilities(&self, position: usize, output: &[f64]) -> Vec<f64> {
        let Some(position) = self.positions.get(position) else { return Vec::new() };
        let logit = |choice: usize| {
            let row = self.row(self.logit(position, choice));
            let (by_output, bias) = row.split_at(self.hidden);
            dot(by_output, output) + bias.iter().sum::<f64>()
        };
        let logits: Vec<f64> = (0..position.choices).map(logit).collect();
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = logits.iter().map(|logit| (logit - highest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    }

    fn logits_backward(
        &self,
        step: &Step,
        (at, chosen): Choice,
        advantage: f64,
        entropy: f64,
        by_output: &mut [f64],
        gradient: &mut [f64],
    ) {
        let Some(position) = self.positions.get(at) else { return };
        let probabilities = self.probabilities(at, &step.after.output);
        let uncertainty: f64 = probabilities.iter().map(|p| -p * p.max(1e-300).ln()).sum();
        for (choice, p) in probabilities.iter().enumerate() {
            let taken = if choice == chosen { 1.0 } else { 0.0 };
            let pull = advantage * (p - taken) + entropy * p * (p.max(1e-300).ln() + uncertainty);
            let range = self.logit(position, choice);
            let row = self.row(range.clone());
            by_output.iter_mut().zip(row).for_each(|(by, weight)| *by += pull * weight);
            let with_bias = step.after.output.iter().chain([&1.0]);
            gradient[range].iter_mut().zip(with_bias).for_each(|(sum, output)| *sum += pull * output);
        }
    }

    /// Takes the gradients by the step's output and cell, and leaves those by the output and the cell before it.
    fn cell_backward(&self, step: &Step, by_output: &mut [f64], by_cell: &mut [f64], gradient: &mut [f64]) {
        let (hidden, Gates { input, forget, output, candidate }) = (self.hidden, &step.gates);
        let mut before = vec![0.0; hidden];
        let embedding = step.before.last..step.before.last + hidden;
        for unit in 0..hidden {
            let bent = step.after.cell[unit].tanh();
            let cell = by_cell[unit] + by_output[unit] * output[unit] * (1.0 - bent * bent);
            let pulls = [
                cell * candidate[unit] * input[unit] * (1.0 - input[unit]),
                cell * step.before.cell[unit] * forget[unit] * (1.0 - forget[unit]),
                by_output[unit] * bent * output[unit] * (1.0 - output[unit]),
                cell * input[unit] * (1.0 - candidate[unit] * candidate[unit]),
            ];
            by_cell[unit] = cell * forget[unit];
            for (which, pull) in pulls.into_iter().enumerate() {
                let range = self.gate(which, unit);
                let row = self.row(range.clone());
                let (by_input, rest) = row.split_at(hidden);
                before.iter_mut().zip(rest).for_each(|(by, weight)| *by += pull * weight);
                gradient[embedding.clone()].iter_mut().zip(by_input).for_each(|(sum, weight)| *sum += pull * weight);
                let inputs = self.row(embedding.clone()).iter().chain(&step.before.output).chain([&1.0]);
                gradient[range].iter_mut().zip(inputs).for_each(|(sum, input)| *sum += pull * input);
            }
        }
        by_output.copy_from_slice(&before);
    }

    fn row(&self, range: Range<usize>) -> &[f64] {
        &self.weights[range]
    }

    /// Where the weights of one unit of a gate lie: by the input, by the output before, the bias.
    fn gate(&self, which: usize, unit: usize) -> Range<usize> {
        let length = 2 * self.hidden + 1;
        let start = (which * self.hidden + unit) * length;
        start..start + length
    }

    /// Where the weights of one choice's logit lie: by the output, the bias.
    fn logit(&self, position: &Position, choice: usize) -> Range<usize> {
        let start = position.logits + choice * (self.hidden + 1);
        start..start + self.hidden + 1
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_the_functions() {
        let mut network = Network::new(&[3, 2, 4], 5, 1);
        let mut shift = (0..network.len()).map(|at| 0.5 * (at as f64 * 0.618).fract() - 0.25).collect::<Vec<_>>();
        network.change(shift.drain(..));
        let (sequence, advantage, entropy) = ([(0, 2), (2, 1), (1, 0)], 0.7, 0.3);
        let value = |network: &Network| {
            let mut memory = network.start();
            let mut value = 0.0;
            for choice in sequence {
                let (probabilities, after) = network.step(&memory, choice.0);
                memory = after;
                network.chosen(&mut memory, choice);
                value -= advantage * probabilities[choice.1].ln();
                value += entropy * probabilities.iter().map(|p| p * p.ln()).sum::<f64>();
            }
            value
        };
        let mut gradient = vec![0.0; network.len()];
        network.add_gradient(&sequence, advantage, entropy, &mut gradient);
        for (at, slope) in gradient.iter().enumerate() {
            let near = |step: f64| {
                let mut network = network.clone();
                network.change((0..network.len()).map(|other| if other == at { step } else { 0.0 }));
                value(&network)
            };
            let numeric = (near(1e-5) - near(-1e-5)) / 2e-5;
            assert!((slope - numeric).abs() < 1e-7, "{at}: {slope} is not {numeric}");
        }
    }
}

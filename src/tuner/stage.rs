//! Fidelity: how much of its resource a trial spends, and what it goes on from.

/// The resource that trials spend: epochs, a share of the data, a resolution. `spec.fidelity`, without its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fidelity {
    /// The least that says something.
    pub min: f64,
    /// What a whole trial spends.
    pub max: f64,
    /// Of so many trials of a rung one goes on to the next, with so many times its resource. More than 1.
    pub eta: f64,
}

/// What a trial spends, and what it goes on from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How much it has spent when it ends, its parents' part included: within [`Fidelity`].
    pub fidelity: f64,
    /// Index of the trial whose checkpoint it goes on from, or starts as a copy of; its parameters may be others.
    pub parent: Option<u64>,
}

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

impl Fidelity {
    /// Whether only whole numbers are handed out: where both ends are.
    pub fn is_whole(&self) -> bool {
        self.min.fract() == 0.0 && self.max.fract() == 0.0
    }

    /// What is spent in place of this: within the range; all of it where it is no number.
    pub fn within(&self, share: f64) -> f64 {
        if share.is_nan() { self.max } else { share.clamp(self.min, self.max) }
    }

    /// The stage of a new trial, by what its tuner says: where it says nothing, the whole.
    pub fn stage(&self, said: Option<Stage>) -> Stage {
        let said = said.unwrap_or(Stage { fidelity: f64::NAN, parent: None });
        Stage { fidelity: self.within(said.fidelity), ..said }
    }

    /// The stage of a given point, for whose index the tuner would say this (`None`: it has no trial): that of any other trial
    /// that begins.
    pub fn first_stage(&self, said: Option<Option<Stage>>) -> Stage {
        match said {
            Some(None) => self.stage(None),
            Some(Some(stage)) if stage.parent.is_none() => self.stage(Some(stage)),
            // A promotion is due, or nothing at all: it comes with the next index.
            _ => Stage { fidelity: self.min, parent: None },
        }
    }
}

/// What a trial spends, and what it goes on from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How much it has spent when it ends, its parents' part included: within [`Fidelity`].
    pub fidelity: f64,
    /// Index of the trial whose checkpoint it goes on from, or starts as a copy of; its parameters may be others.
    pub parent: Option<u64>,
}

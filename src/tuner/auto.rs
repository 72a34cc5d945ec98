//! The policy: which algorithm proposes the next trial.
//!
//! No algorithm is the best everywhere (CARPS, 2025, <https://arxiv.org/abs/2506.06143>): the Gaussian process is as long as
//! its model is cheap, the Parzen estimator after that. A share of the trials comes from elsewhere, whatever the model
//! believes, so that the search is never much worse than a random one.

use super::gp::Gp;
use super::settings::{SettingError, Settings};
use super::sobol::Sobol;
use super::tpe::Tpe;
use super::{NoSuggestion, Request, Suggestion, Tuner};
use crate::space::SearchSpace;

/// Every so many trials one comes from the Parzen estimator, and one from the Sobol sequence.
const TPE_EVERY: u64 = 8;
const SOBOL_EVERY: u64 = 16;
/// Trials with a result up to which the Gaussian process has the say, and parameters.
const TRIALS: usize = 500;
const PARAMETERS: usize = 100;

/// The policy.
pub(super) struct Auto {
    sobol: Sobol,
    gp: Gp,
    tpe: Tpe,
}

/// Who proposes a trial, and why.
struct Choice<'a> {
    tuner: &'a dyn Tuner,
    note: String,
}

impl Auto {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let allow_repeats = settings.allow_repeats();
        let startup_trials = settings.whole("startupTrials", 10, 0..=10_000) as usize;
        Ok(Box::new(Auto {
            sobol: Sobol::sequence(allow_repeats),
            gp: Gp::new(allow_repeats, startup_trials, space),
            tpe: Tpe::new(allow_repeats, startup_trials),
        }))
    }

    fn choice(&self, request: &Request<'_>) -> Choice<'_> {
        let (results, parameters) = (request.history.ranked().len(), request.space.parameters().len());
        let (tuner, note): (&dyn Tuner, String) = if request.history.len() < self.gp.startup_trials {
            (
                &self.sobol,
                format!("Sobol: {} of {} first trials have ended", request.history.len(), self.gp.startup_trials),
            )
        } else if results == 0 {
            (&self.sobol, "Sobol: no trial has given a result yet".to_owned())
        } else if request.index % SOBOL_EVERY == SOBOL_EVERY - 1 {
            (&self.sobol, format!("Sobol: one trial of {SOBOL_EVERY}, whatever the model believes"))
        } else if parameters > PARAMETERS {
            (&self.tpe, format!("TPE: {parameters} parameters are more than {PARAMETERS}"))
        } else if results > TRIALS {
            (&self.tpe, format!("TPE: {results} results are more than {TRIALS}"))
        } else if request.index % TPE_EVERY == TPE_EVERY / 2 {
            (&self.tpe, format!("TPE: one trial of {TPE_EVERY}, whatever the model believes"))
        } else {
            (&self.gp, format!("GP: {results} results, {parameters} parameters"))
        };
        Choice { tuner, note }
    }
}

impl Tuner for Auto {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        self.choice(request).tuner.suggest(request)
    }

    fn forget(&self) {
        self.gp.forget();
    }

    fn note(&self, request: &Request<'_>) -> Option<String> {
        Some(self.choice(request).note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Domain, Parameter, Scale};
    use crate::tuner::{Finished, History, Outcome};

    #[test]
    fn the_policy() {
        // Parameters, trials that have ended, how many of them without a result, index of the next, who proposes it.
        let table = [
            (2, 0, 0, 0, "Sobol: 0 of 10 first trials have ended"),
            (2, 9, 0, 300, "Sobol: 9 of 10 first trials have ended"),
            (2, 10, 0, 10, "GP: 10 results, 2 parameters"),
            (2, 40, 40, 40, "Sobol: no trial has given a result yet"),
            (2, 40, 5, 43, "GP: 35 results, 2 parameters"),
            (2, 44, 0, 44, "TPE: one trial of 8, whatever the model believes"),
            (2, 47, 0, 47, "Sobol: one trial of 16, whatever the model believes"),
            (101, 50, 0, 50, "TPE: 101 parameters are more than 100"),
            (2, 501, 0, 501, "TPE: 501 results are more than 500"),
        ];
        for (parameters, ended, failed, index, note) in table {
            let domain = Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None };
            let parameter = |at| Parameter { name: format!("p{at}"), domain: domain.clone(), when: vec![] };
            let space = SearchSpace::unconstrained((0..parameters).map(parameter).collect());
            let mut history = History::new(&space);
            for at in 0..ended {
                let outcome = if at < failed { Outcome::Failed } else { Outcome::Complete { losses: vec![at as f64] } };
                history.insert(Finished::new(at, space.decode(&[at as f64 / ended as f64]), outcome));
            }
            let auto = Auto::make(&mut Settings::new(&Default::default(), None), &space).unwrap();
            let request = Request { space: &space, history: &history, pending: &[], seed: 1, index };
            assert_eq!(auto.note(&request).unwrap(), note);
        }
    }
}

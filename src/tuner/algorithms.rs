//! The table of algorithms: one line each.

use super::settings::{Setting, SettingError, Settings};
use super::{
    Fidelity, Tuner, anneal, auto, cma_es, evolution, forest, genetic, gp, gradient, grid, halving, policy_gradient,
    population, random, sobol, tpe,
};
use crate::space::{Domain, Parameter, Scale, SearchSpace};
use serde_json::Value;
use std::collections::BTreeMap;

/// An algorithm, as `spec.algorithm.name` calls it.
pub struct Algorithm {
    /// Its name.
    pub name: &'static str,
    /// What it does, in half a sentence.
    pub summary: &'static str,
    /// Where it was described.
    pub paper: &'static str,
    /// It hands out how much a trial spends; all others give each trial the whole.
    pub hands_out_fidelity: bool,
    /// What it can be asked to reach.
    pub goals: Goals,
    make: Make,
}

/// What an algorithm can be asked to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goals {
    /// One objective.
    One,
    /// One objective under outcome constraints.
    Constrained,
    /// Up to [`MAX_OBJECTIVES`] objectives, also under outcome constraints.
    Several,
}

/// Most objectives of a search.
pub const MAX_OBJECTIVES: usize = 3;

/// Reads the settings, each exactly once whatever the values, and makes the tuner for a space.
type Make = fn(&mut Settings<'_>, &SearchSpace) -> Result<Box<dyn Tuner>, SettingError>;

/// All algorithms.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm {
        name: "Auto",
        summary: "chooses for each trial: the Gaussian process as long as it is cheap, then TPE, and some others",
        paper: "",
        hands_out_fidelity: false,
        goals: Goals::Several,
        make: auto::Auto::make,
    },
    Algorithm {
        name: "Random",
        summary: "draws uniformly, on each parameter's scale",
        paper: "Bergstra and Bengio, 2012",
        hands_out_fidelity: false,
        goals: Goals::Several,
        make: random::Random::make,
    },
    Algorithm {
        name: "Grid",
        summary: "every configuration once, in an order that spreads; doubles without a step have `points` levels",
        paper: "",
        hands_out_fidelity: false,
        goals: Goals::Several,
        make: grid::Grid::make,
    },
    Algorithm {
        name: "Sobol",
        summary: "an Owen-scrambled Sobol sequence, or Latin hypercubes: as random, but evenly spread",
        paper: "Burley, 2020; McKay, Beckman and Conover, 1979",
        hands_out_fidelity: false,
        goals: Goals::Several,
        make: sobol::Sobol::make,
    },
    Algorithm {
        name: "TPE",
        summary: "multivariate tree-structured Parzen estimator: samples where good trials are dense and others are not",
        paper: "Bergstra et al., 2011; Watanabe, 2023",
        hands_out_fidelity: false,
        goals: Goals::Several,
        make: tpe::Tpe::make,
    },
    Algorithm {
        name: "GP",
        summary: "Bayesian optimisation with a Gaussian process: the best for up to a few hundred trials",
        paper: "Snoek et al., 2012; Hvarfner et al., 2024; Ament et al., 2023",
        hands_out_fidelity: false,
        goals: Goals::Several,
        make: gp::Gp::make,
    },
    Algorithm {
        name: "Evolution",
        summary: "aging evolution: the best of a sample of the latest trials has a child that differs in one parameter",
        paper: "Real et al., 2019",
        hands_out_fidelity: false,
        goals: Goals::Constrained,
        make: evolution::Evolution::make,
    },
    Algorithm {
        name: "GeneticNSGA2",
        summary: "a genetic algorithm for several objectives: parents are of the first fronts, and far from each other there",
        paper: "Deb et al., 2002; Deb and Agrawal, 1995",
        goals: Goals::Several,
        hands_out_fidelity: false,
        make: genetic::GeneticNsga2::make,
    },
    Algorithm {
        name: "CMA-ES",
        summary: "covariance matrix adaptation: a normal distribution that moves, and takes the shape of what was good",
        paper: "Hansen, 2016; Hamano et al., 2022",
        hands_out_fidelity: false,
        goals: Goals::One,
        make: cma_es::CmaEs::make,
    },
    Algorithm {
        name: "Anneal",
        summary: "draws around good trials, in a neighbourhood that shrinks",
        paper: "Kirkpatrick, Gelatt and Vecchi, 1983; Bergstra et al., 2013",
        hands_out_fidelity: false,
        goals: Goals::Constrained,
        make: anneal::Anneal::make,
    },
    Algorithm {
        name: "Forest",
        summary: "randomised trees predict the loss; the trial of the highest expected improvement is next, as in SMAC",
        paper: "Hutter, Hoos and Leyton-Brown, 2011; Geurts, Ernst and Wehenkel, 2006",
        hands_out_fidelity: false,
        goals: Goals::One,
        make: forest::Forest::make,
    },
    Algorithm {
        name: "TuRBO",
        summary: "a Gaussian process in a trust region that grows and shrinks, for more than 20 dimensions",
        paper: "Eriksson et al., 2019",
        hands_out_fidelity: false,
        goals: Goals::One,
        make: gp::Turbo::make,
    },
    Algorithm {
        name: "Gradient",
        summary: "pairs of trials on opposite sides of a point that moves downhill, or steps along derivatives that trials report; numbers only",
        paper: "Spall, 1992; Maclaurin, Duvenaud and Adams, 2015; Igel and Hüsken, 2000",
        hands_out_fidelity: false,
        goals: Goals::One,
        make: gradient::Gradient::make,
    },
    Algorithm {
        name: "PolicyGradient",
        summary: "a recurrent controller learns, by reinforcement, which choice goes well after which",
        paper: "Williams, 1992; Zoph and Le, 2017",
        hands_out_fidelity: false,
        goals: Goals::One,
        make: policy_gradient::PolicyGradient::make,
    },
    Algorithm {
        name: "SuccessiveHalving",
        summary: "many trials begin with little of spec.fidelity; once all of a rung have ended, one in eta goes on to the next",
        paper: "Jamieson and Talwalkar, 2016",
        goals: Goals::Several,
        hands_out_fidelity: true,
        make: halving::SuccessiveHalving::make,
    },
    Algorithm {
        name: "Hyperband",
        summary: "successive halving in brackets that begin at each rung in turn, in case the lowest say little",
        paper: "Li et al., 2018",
        goals: Goals::Several,
        hands_out_fidelity: true,
        make: halving::Hyperband::make,
    },
    Algorithm {
        name: "BOHB",
        summary: "Hyperband whose trials begin where TPE says, by the highest rung with enough results",
        paper: "Falkner, Klein and Hutter, 2018",
        goals: Goals::Several,
        hands_out_fidelity: true,
        make: halving::Bohb::make,
    },
    Algorithm {
        name: "ASHA",
        summary: "asynchronous successive halving: a trial goes on as soon as it is among the best of its rung; nothing ever waits",
        paper: "Li et al., 2020; Schmucker et al., 2021",
        goals: Goals::Several,
        hands_out_fidelity: true,
        make: halving::AsyncSuccessiveHalving::make,
    },
    Algorithm {
        name: "PBT",
        summary: "a population that trains: the worst go on from copies of the best, with other parameters",
        paper: "Jaderberg et al., 2017",
        goals: Goals::One,
        hands_out_fidelity: true,
        make: population::Population::pbt,
    },
    Algorithm {
        name: "PB2",
        summary: "PBT whose other parameters are those that a Gaussian process, varying in time, expects most of",
        paper: "Parker-Holder, Nguyen and Roberts, 2020",
        goals: Goals::One,
        hands_out_fidelity: true,
        make: population::Population::pb2,
    },
];

impl Algorithm {
    /// Its settings, with defaults and ranges, in the order in which they are documented.
    pub fn settings(&self) -> Vec<Setting> {
        let (given, domain) =
            (BTreeMap::new(), Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None });
        let space = SearchSpace::unconstrained(vec![Parameter { name: "x".into(), domain, when: vec![] }]);
        let mut settings = Settings::new(&given, None);
        // Whether a tuner can be made for this space is of no account: the settings have been read.
        let _ = (self.make)(&mut settings, &space);
        settings.known()
    }
}

/// Makes a tuner from its name and settings. `fidelity`: what trials may spend, where they are told.
///
/// # Errors
/// Each setting that is unknown or out of range; the name is unknown; the algorithm cannot search this space, or needs a
/// fidelity.
pub fn build(
    name: &str,
    settings: &BTreeMap<String, Value>,
    space: &SearchSpace,
    fidelity: Option<Fidelity>,
) -> Result<Box<dyn Tuner>, Vec<SettingError>> {
    let Some(algorithm) = ALGORITHMS.iter().find(|algorithm| algorithm.name == name) else {
        let known: Vec<&str> = ALGORITHMS.iter().map(|algorithm| algorithm.name).collect();
        let what = format!("{name:?} is no algorithm; there are {}", known.join(", "));
        return Err(vec![SettingError::new("algorithm.name", what)]);
    };
    let mut settings = Settings::new(settings, fidelity);
    let tuner = (algorithm.make)(&mut settings, space);
    settings.finish()?;
    tuner.map_err(|error| vec![error])
}

/// Whether the algorithm of this name can search for so many objectives, and under outcome constraints if there are any. One
/// that does not exist is for [`build`] to refuse.
///
/// # Errors
/// It cannot; those that can are named.
pub fn check_goals(name: &str, objectives: usize, constraints: usize) -> Result<(), SettingError> {
    let able = |algorithm: &Algorithm| match algorithm.goals {
        Goals::One => objectives <= 1 && constraints == 0,
        Goals::Constrained => objectives <= 1,
        Goals::Several => objectives <= MAX_OBJECTIVES,
    };
    let refuse = |what| Err(SettingError::new("algorithm.name", what));
    match ALGORITHMS.iter().find(|algorithm| algorithm.name == name) {
        _ if objectives > MAX_OBJECTIVES => {
            refuse(format!("there are {objectives} objectives; no algorithm takes more than {MAX_OBJECTIVES}"))
        }
        Some(algorithm) if !able(algorithm) => {
            let able: Vec<&str> = ALGORITHMS.iter().filter(|other| able(other)).map(|other| other.name).collect();
            let what = if objectives > 1 { "several objectives" } else { "outcome constraints" };
            refuse(format!("{name} knows nothing of {what}; write one of {}", able.join(", ")))
        }
        _ => Ok(()),
    }
}

//! What holds for populations, whatever comes out of the trials and in whichever order they end.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn staged(name: &str, settings: serde_json::Value, space: &SearchSpace, fidelity: Fidelity) -> Box<dyn Tuner> {
    let settings = serde_json::from_value(settings).unwrap();
    build(name, &settings, space, Some(fidelity)).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

/// An experiment whose trials end when they are told to.
struct World<'a> {
    space: &'a SearchSpace,
    history: History,
    pending: Vec<Pending>,
    seed: u64,
    next: u64,
}

impl<'a> World<'a> {
    fn new(space: &'a SearchSpace, seed: u64) -> Self {
        World { space, history: History::new(space), pending: Vec::new(), seed, next: 0 }
    }

    fn request(&self) -> Request<'_> {
        let World { space, history, pending, seed, next } = self;
        Request { space, history, pending, seed: *seed, index: *next }
    }

    fn ask(&mut self, tuner: &dyn Tuner) -> Result<Suggestion, NoSuggestion> {
        let suggestion = tuner.suggest(&self.request())?;
        self.pending.push(Pending::new(self.next, suggestion.assignment.clone()).at(suggestion.stage));
        self.next += 1;
        Ok(suggestion)
    }

    fn end(&mut self, which: usize, outcome: Outcome) {
        let Pending { index, assignment, stage } = self.pending.swap_remove(which % self.pending.len());
        self.history.insert(Finished::new(index, assignment, outcome).at(stage));
    }

    /// Indices and losses of those that have ended at a level.
    fn ended(&self, level: f64) -> Vec<(u64, f64)> {
        let at = self.history.iter().filter(|trial| trial.stage.unwrap().fidelity == level);
        at.map(|trial| (trial.index, trial.outcome.loss())).collect()
    }

    /// How many trials of a level there are, running or ended.
    fn at(&self, level: f64) -> usize {
        let running = self.pending.iter().filter(|trial| trial.stage.unwrap().fidelity == level).count();
        running + self.ended(level).len()
    }
}

const FIDELITY: Fidelity = Fidelity { min: 2.0, max: 9.0, eta: 3.0 };
const LEVELS: [f64; 5] = [2.0, 4.0, 6.0, 8.0, 9.0];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// A slot is idle only while all members run; who goes on has ended with a result; a generation is as large as the
    /// population, failures apart; and the answer is the same however it is asked for.
    #[test]
    fn populations_never_stall(
        events in prop::collection::vec((any::<usize>(), 0_u8..12, -1e3_f64..1e3), 1..100),
        parallel in 1_usize..=64,
        seed in any::<u64>(),
        which_space in 0_usize..5,
    ) {
        let (_, space) = spaces().swap_remove(which_space);
        for name in ["PBT", "PB2"] {
            let tuner = staged(name, json!({"population": 6}), &space, FIDELITY);
            let mut world = World::new(&space, seed);
            let mut deleted = BTreeSet::new();
            for (which, kind, value) in &events {
                while world.pending.len() < parallel {
                    let mut reversed = world.pending.clone();
                    reversed.reverse();
                    let again = staged(name, json!({"population": 6}), &space, FIDELITY);
                    let again = again.suggest(&Request { pending: &reversed, ..world.request() });
                    let suggestion = tuner.suggest(&world.request());
                    prop_assert_eq!(&suggestion, &again, "{}", name);
                    let Ok(Suggestion { assignment, stage }) = suggestion else {
                        prop_assert_eq!(suggestion, Err(NoSuggestion::Waiting));
                        prop_assert!(world.pending.len() >= 6, "{}: {} wait", name, world.pending.len());
                        break;
                    };
                    prop_assert_eq!(space.check(&assignment), Ok(assignment.clone()), "{}", name);
                    let Stage { fidelity, parent } = stage.unwrap();
                    let generation = LEVELS.iter().position(|level| *level == fidelity).unwrap();
                    if let Some(parent) = parent {
                        let parent = world.history.get(parent).unwrap();
                        prop_assert!(parent.outcome.loss().is_finite(), "{}: what failed goes on", name);
                        prop_assert!(!deleted.contains(&parent.index), "{}: its checkpoint was not kept", name);
                        prop_assert_eq!(parent.stage.unwrap().fidelity, LEVELS[generation - 1], "{}", name);
                    } else {
                        prop_assert_eq!(generation, 0);
                    }
                    world.ask(&*tuner).unwrap();
                    // What no trial to come can need is deleted when one begins.
                    let kept: BTreeSet<u64> = tuner.parents(&world.request(), usize::MAX).into_iter().collect();
                    deleted.extend(world.history.iter().map(|ended| ended.index).filter(|index| !kept.contains(index)));
                    for (below, level) in LEVELS.iter().enumerate().skip(1) {
                        let ok = |level: f64| world.ended(level).iter().filter(|(_, loss)| loss.is_finite()).count();
                        let failed = world.ended(*level).len() - ok(*level);
                        prop_assert!(world.at(*level) - failed <= ok(LEVELS[below - 1]), "{}: too many at {}", name, level);
                    }
                }
                world.end(*which, outcome(*kind, *value));
            }
        }
    }
}

/// Ten members side by side: eight go on, and two are replaced by copies of the best two, perturbed.
#[test]
fn the_worst_are_replaced_by_the_best() {
    let (_, space) = spaces().swap_remove(0);
    let tuner = staged("PBT", json!({"resampleProbability": 0.0}), &space, FIDELITY);
    let mut world = World::new(&space, 3);
    for _ in 0..10 {
        assert_eq!(world.ask(&*tuner).unwrap().stage.unwrap().parent, None);
    }
    assert_eq!(tuner.suggest(&world.request()), Err(NoSuggestion::Waiting));
    while let Some(trial) = world.pending.first() {
        let losses = vec![trial.index as f64];
        world.end(0, Outcome::Complete { losses });
    }
    let mut parents = Vec::new();
    for _ in 0..10 {
        let Suggestion { assignment, stage } = world.ask(&*tuner).unwrap();
        let Stage { fidelity, parent } = stage.unwrap();
        assert_eq!(fidelity, 4.0);
        let parent = world.history.get(parent.unwrap()).unwrap();
        parents.push(parent.index);
        if parents.len() <= 8 {
            assert_eq!(assignment, parent.assignment);
        } else {
            let (from, to) = (space.encode(&parent.assignment), space.encode(&assignment));
            let moved = from.iter().zip(to).all(|(a, b)| (a - b).abs() < 0.1001 && *a != b);
            assert!(moved, "{:?} {assignment:?}", parent.assignment);
        }
    }
    assert_eq!(parents[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(parents[8..].iter().all(|parent| *parent < 2), "{parents:?}");
    assert_eq!(tuner.suggest(&world.request()), Err(NoSuggestion::Waiting));
}

/// A member that fails is replaced, and not in the same way again; one that has come to the end makes room.
#[test]
fn failed_members_are_replaced() {
    let (_, space) = spaces().swap_remove(0);
    let tuner = staged("PBT", json!({"population": 2}), &space, FIDELITY);
    let mut world = World::new(&space, 3);
    let next = |world: &mut World<'_>, outcome: Outcome| {
        let suggestion = world.ask(&*tuner).unwrap();
        world.end(0, outcome);
        suggestion
    };
    let good = |loss| Outcome::Complete { losses: vec![loss] };
    next(&mut world, Outcome::Failed);
    next(&mut world, good(1.0));
    let second = next(&mut world, good(2.0));
    assert_eq!(second.stage, Some(Stage { fidelity: 2.0, parent: None }), "the first has failed");
    // Of those that have ended, a failed one among them, none of the others is among the worst.
    let continued = next(&mut world, Outcome::Failed);
    assert_eq!(continued.stage, Some(Stage { fidelity: 4.0, parent: Some(1) }));
    let other = next(&mut world, good(2.0));
    assert_eq!((other.stage.unwrap().parent, &other.assignment), (Some(2), &second.assignment));
    let again = next(&mut world, good(0.5));
    assert_eq!(again.stage, Some(Stage { fidelity: 4.0, parent: Some(1) }));
    assert_ne!(again.assignment, continued.assignment);
    for fidelity in [6.0, 6.0, 8.0, 8.0, 9.0, 9.0, 2.0] {
        assert_eq!(next(&mut world, good(0.1)).stage.unwrap().fidelity, fidelity);
    }
}

/// However many members have come to the end, the best of each generation are kept, and of the latest those that were replaced.
#[test]
fn checkpoints_of_a_population_do_not_pile_up() {
    let (_, space) = spaces().swap_remove(0);
    for slots in [1, 3, 10] {
        let tuner = staged("PBT", json!({}), &space, FIDELITY);
        let mut world = World::new(&space, 3);
        let mut most = 0;
        while world.next < 1000 {
            while world.pending.len() < slots && world.ask(&*tuner).is_ok() {}
            let losses = vec![super::super::streams::uniform_of(3, world.next, 0)];
            world.end(world.next as usize, Outcome::Complete { losses });
            most = most.max(tuner.parents(&world.request(), usize::MAX).len());
        }
        // Of four generations two that are copied, and at most ten that have not gone on.
        assert!((9..=48).contains(&most), "{most} with {slots} slots");
        let kept = tuner.parents(&world.request(), usize::MAX).len();
        assert!(kept <= 24, "{kept} with {slots} slots");
    }
}

/// A volume that holds but few of the checkpoints that may be needed still holds those that are.
#[test]
fn of_too_many_checkpoints_of_a_population_those_are_kept_that_are_needed_next() {
    let (_, space) = spaces().swap_remove(0);
    let tuner = staged("PBT", json!({}), &space, Fidelity { min: 1.0, max: 50.0, eta: 3.0 });
    let mut world = World::new(&space, 3);
    let (mut kept, mut all, mut gone_on, mut lost) = (BTreeSet::new(), 0, 0, 0);
    while world.next < 2000 {
        while world.pending.len() < 10 {
            let Ok(suggestion) = world.ask(&*tuner) else { break };
            if let Some(parent) = suggestion.stage.unwrap().parent {
                gone_on += 1;
                lost += usize::from(!kept.contains(&parent));
            }
            let needed: BTreeSet<u64> = tuner.parents(&world.request(), 130).into_iter().collect();
            all = all.max(tuner.parents(&world.request(), usize::MAX).len());
            kept.retain(|index| needed.contains(index));
        }
        let which = (super::super::streams::uniform_of(3, world.next, 1) * 10.0) as usize;
        let last = world.pending[which % world.pending.len()].index;
        let losses = vec![super::super::streams::uniform_of(3, world.next, 0)];
        world.end(which, Outcome::Complete { losses });
        kept.insert(last);
    }
    assert!(all > 190 && gone_on > 1500, "{all} {gone_on}");
    assert!(lost * 50 <= gone_on, "{lost} of {gone_on} began anew");
}

/// A schedule to find: the best rate is high at first and low at last, and what was learnt stays learnt.
#[test]
fn populations_find_schedules() {
    let space = SearchSpace::new(vec![double("rate", 1e-4, 1.0, Scale::Log)], &[]).unwrap();
    let fidelity = Fidelity { min: 1.0, max: 20.0, eta: 3.0 };
    // A step takes away most of the loss when the rate is right for how far one has come.
    let step = |loss: f64, rate: f64| {
        let away = (rate.log10() - loss.log10()).abs();
        loss * (1.0 - 0.4 * (-2.0 * away * away).exp())
    };
    let best = |name: &str, seed| {
        let tuner = staged(name, json!({}), &space, fidelity);
        let mut world = World::new(&space, seed);
        let mut losses: BTreeMap<u64, f64> = BTreeMap::new();
        while world.next < 200 {
            let Suggestion { assignment, stage } = world.ask(&*tuner).unwrap();
            let before = stage.unwrap().parent.map_or(1.0, |parent| losses[&parent]);
            let loss = step(before, assignment["rate"].as_f64().unwrap());
            losses.insert(world.next - 1, loss);
            world.end(0, Outcome::Complete { losses: vec![loss] });
        }
        losses.values().copied().fold(f64::INFINITY, f64::min)
    };
    // The best constant of many.
    let constant = (0..200).map(|at| 10_f64.powf(-4.0 * f64::from(at) / 199.0));
    let constant = constant.map(|rate| (0..20).fold(1.0, |loss, _| step(loss, rate))).fold(f64::INFINITY, f64::min);
    for name in ["PBT", "PB2"] {
        let mut found: Vec<f64> = (0..5).map(|seed| best(name, seed)).collect();
        found.sort_by(f64::total_cmp);
        assert!(found[2] < 0.5 * constant, "{name} {found:?}, the best constant {constant}");
    }
}

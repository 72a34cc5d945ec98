//! How many configurations there are, the n-th of them, and which one a configuration is.
//!
//! Parameters that share no condition are independent: their counts multiply. Within a component, the values of a parent
//! are counted by class, those that no condition tells apart; and the rest of a component is counted once for each
//! combination of classes that the rest's conditions ask for, so that a long chain or a wide tree costs no more than its
//! number of parameters.

use super::{Assignment, SearchSpace};
use std::collections::{BTreeMap, HashMap};

/// A component with more combinations of classes than this is not counted, and taken for infinite.
const MAX_COMBINATIONS: usize = 1 << 14;
/// The same for the steps that counting takes.
const MAX_STEPS: u64 = 1 << 18;

/// A class of a parent's values; the last one of a parameter may be [`Class::Others`].
enum Class {
    /// These levels, ascending.
    These(Vec<u64>),
    /// All levels but these, ascending.
    AllBut(Vec<u64>),
}

/// Parameters that conditions tie together, counted.
pub(super) struct Component {
    /// Indices of the parameters, ascending, each with its classes and their sizes.
    members: Vec<(usize, Vec<(u64, Class)>)>,
    /// For each member, positions (in `members`) of the earlier ones that it or a later one depends on.
    needs: Vec<Vec<usize>>,
    /// Configurations of the members from a position on, by the classes of those that it needs.
    counted: HashMap<(usize, Vec<usize>), u128>,
    count: u128,
}

/// Stands for the class of a parameter that is not active.
const INACTIVE: usize = usize::MAX;

impl SearchSpace {
    /// How many configurations there are, conditions counted exactly and constraints not at all (so that with
    /// constraints it is an upper bound); `None` for an infinite space, or one of more than 2^127 configurations.
    pub fn cardinality(&self) -> Option<u128> {
        self.counted().map(|(cardinality, _)| *cardinality)
    }

    /// The configuration of this rank, from 0 to `cardinality() - 1`; `None` beyond that.
    pub fn configuration(&self, rank: u128) -> Option<Assignment> {
        let (cardinality, components) = self.counted()?;
        if rank >= *cardinality {
            return None;
        }
        let mut rest = rank;
        let mut whole = Assignment::new();
        for component in components {
            component.configuration(self, rest % component.count, &mut whole)?;
            rest /= component.count;
        }
        Some(whole)
    }

    /// The rank of a configuration; `None` when it is none of this space's.
    pub fn rank(&self, assignment: &Assignment) -> Option<u128> {
        let (_, components) = self.counted()?;
        let mut rank = 0_u128;
        for component in components.iter().rev() {
            rank = rank * component.count + component.rank(self, assignment)?;
        }
        // A value between two levels has the rank of a neighbour.
        (self.configuration(rank).as_ref() == Some(assignment)).then_some(rank)
    }

    fn counted(&self) -> Option<&(u128, Vec<Component>)> {
        let count = || {
            let groups = self.groups();
            let components: Option<Vec<Component>> =
                groups.into_iter().map(|group| Component::new(self, group)).collect();
            let components = components?;
            let cardinality = components.iter().try_fold(1_u128, |product, component| {
                product.checked_mul(component.count).filter(|product| *product < 1 << 127)
            });
            Some((cardinality?, components))
        };
        self.counted.get_or_init(count).as_ref()
    }

    /// Indices of parameters that conditions tie together, each group ascending.
    fn groups(&self) -> Vec<Vec<usize>> {
        let mut group: Vec<usize> = (0..self.parameters.len()).collect();
        for (at, conditions) in self.conditions.iter().enumerate() {
            for (parent, _) in conditions {
                let (from, to) = (group[at], group[*parent]);
                group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            }
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, id) in group.into_iter().enumerate() {
            groups.entry(id).or_default().push(at);
        }
        let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
        groups.sort();
        groups
    }

    /// Classes of a parameter's levels, with their sizes: levels that the same conditions speak of are alike.
    fn classes(&self, at: usize) -> Option<Vec<(u64, Class)>> {
        let levels = self.parameters[at].domain.levels()?;
        let mut mentions: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let conditions = self.conditions.iter().flatten().filter(|(parent, _)| *parent == at);
        for (which, (_, mentioned)) in conditions.enumerate() {
            mentioned.iter().for_each(|level| mentions.entry(*level).or_default().push(which));
        }
        let mut alike: BTreeMap<&[usize], Vec<u64>> = BTreeMap::new();
        for (level, conditions) in &mentions {
            alike.entry(conditions).or_default().push(*level);
        }
        let mut classes: Vec<(u64, Class)> =
            alike.into_values().map(|levels| (levels.len() as u64, Class::These(levels))).collect();
        let others = levels.saturating_sub(mentions.len() as u64);
        if others > 0 {
            classes.push((others, Class::AllBut(mentions.into_keys().collect())));
        }
        Some(classes)
    }
}

impl Component {
    fn new(space: &SearchSpace, group: Vec<usize>) -> Option<Self> {
        let members: Option<Vec<_>> = group.iter().map(|at| Some((*at, space.classes(*at)?))).collect();
        let position = |parameter: usize| group.binary_search(&parameter).ok();
        let needs = (0..group.len())
            .map(|from| {
                let asked = group[from..].iter().flat_map(|at| &space.conditions[*at]);
                let mut needed: Vec<usize> =
                    asked.filter_map(|(parent, _)| position(*parent)).filter(|parent| *parent < from).collect();
                needed.sort_unstable();
                needed.dedup();
                needed
            })
            .collect();
        let mut component = Component { members: members?, needs, counted: HashMap::new(), count: 0 };
        component.count = component.fill(space, &mut Vec::new(), &mut 0)?;
        Some(component)
    }

    /// Counts what is left after the members with these classes.
    fn fill(&mut self, space: &SearchSpace, chosen: &mut Vec<usize>, steps: &mut u64) -> Option<u128> {
        if chosen.len() == self.members.len() {
            return Some(1);
        }
        let key = self.key(chosen);
        if let Some(count) = self.counted.get(&key) {
            return Some(*count);
        }
        let branches: Vec<(usize, u64)> = if self.active(space, chosen) {
            self.members[chosen.len()].1.iter().enumerate().map(|(class, (size, _))| (class, *size)).collect()
        } else {
            vec![(INACTIVE, 1)]
        };
        *steps += branches.len() as u64;
        if *steps > MAX_STEPS || self.counted.len() > MAX_COMBINATIONS {
            return None;
        }
        let mut total = 0_u128;
        for (class, size) in branches {
            chosen.push(class);
            let below = self.fill(space, chosen, steps);
            chosen.pop();
            total = total.checked_add(below?.checked_mul(u128::from(size))?)?;
        }
        self.counted.insert(key, total);
        Some(total)
    }

    fn key(&self, chosen: &[usize]) -> (usize, Vec<usize>) {
        let needs = self.needs.get(chosen.len()).into_iter().flatten();
        (chosen.len(), needs.map(|at| chosen[*at]).collect())
    }

    /// How many ways there are to go on after these classes.
    fn below(&self, chosen: &[usize]) -> Option<u128> {
        if chosen.len() == self.members.len() { Some(1) } else { self.counted.get(&self.key(chosen)).copied() }
    }

    /// Whether the next member is active after the members with these classes.
    fn active(&self, space: &SearchSpace, chosen: &[usize]) -> bool {
        let (parameter, _) = self.members[chosen.len()];
        space.conditions[parameter].iter().all(|(parent, levels)| {
            let Some(at) = self.members.iter().position(|(member, _)| member == parent) else { return false };
            match chosen.get(at).and_then(|class| self.members[at].1.get(*class)) {
                // All of a class are in the condition, or none is.
                Some((_, Class::These(class))) => {
                    class.first().is_some_and(|level| levels.binary_search(level).is_ok())
                }
                Some((_, Class::AllBut(_))) | None => false,
            }
        })
    }

    fn configuration(&self, space: &SearchSpace, rank: u128, assignment: &mut Assignment) -> Option<()> {
        let mut rest = rank;
        let mut chosen = Vec::with_capacity(self.members.len());
        for (parameter, classes) in &self.members {
            if !self.active(space, &chosen) {
                chosen.push(INACTIVE);
                continue;
            }
            for (which, (size, class)) in classes.iter().enumerate() {
                chosen.push(which);
                let below = self.below(&chosen)?;
                let total = below * u128::from(*size);
                if rest < total {
                    let nth = u64::try_from(rest / below).ok()?;
                    let parameter = &space.parameters[*parameter];
                    assignment.insert(parameter.name.clone(), parameter.domain.at(class.nth(nth)));
                    rest %= below;
                    break;
                }
                rest -= total;
                chosen.pop();
            }
        }
        Some(())
    }

    fn rank(&self, space: &SearchSpace, assignment: &Assignment) -> Option<u128> {
        let mut rank = 0;
        let mut chosen = Vec::with_capacity(self.members.len());
        for (parameter, classes) in &self.members {
            if !self.active(space, &chosen) {
                chosen.push(INACTIVE);
                continue;
            }
            let parameter = &space.parameters[*parameter];
            let level = parameter.domain.level(assignment.get(&parameter.name)?)?;
            for (which, (size, class)) in classes.iter().enumerate() {
                chosen.push(which);
                let below = self.below(&chosen)?;
                if let Some(nth) = class.position(level) {
                    rank += u128::from(nth) * below;
                    break;
                }
                rank += below * u128::from(*size);
                chosen.pop();
            }
        }
        Some(rank)
    }
}

impl Class {
    /// The n-th level, counted from 0.
    fn nth(&self, nth: u64) -> u64 {
        match self {
            Class::These(levels) => levels.get(nth as usize).copied().unwrap_or_default(),
            Class::AllBut(levels) => {
                levels.iter().fold(nth, |level, other| if *other <= level { level + 1 } else { level })
            }
        }
    }

    /// Which of the class a level is.
    fn position(&self, level: u64) -> Option<u64> {
        match self {
            Class::These(levels) => levels.binary_search(&level).ok().map(|at| at as u64),
            Class::AllBut(levels) => levels.binary_search(&level).err().map(|before| level - before as u64),
        }
    }
}

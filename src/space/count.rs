//! How many configurations there are, and the n-th of them.
//!
//! Parameters that share no condition are independent: their counts multiply. Within a component, the values of a parent
//! are counted by class: those that the same conditions speak of.

use super::{Assignment, Parameter, SearchSpace, Value};

/// A component with more classes than this is not counted.
const MAX_WORK: u64 = 1 << 20;

impl SearchSpace {
    /// How many configurations there are, conditions counted exactly and constraints not at all (so that with
    /// constraints it is an upper bound); `None` for an infinite space, or one of more than 2^127 configurations.
    pub fn cardinality(&self) -> Option<u128> {
        self.components().iter().try_fold(1_u128, |product, component| {
            let count = self.count(component, &mut Assignment::new(), &mut 0)?;
            product.checked_mul(count).filter(|product| *product < 1 << 127)
        })
    }

    /// The configuration of this rank, from 0 to `cardinality() - 1`; `None` beyond that.
    pub fn configuration(&self, rank: u128) -> Option<Assignment> {
        let mut rest = rank;
        let mut whole = Assignment::new();
        for component in self.components() {
            let count = self.count(&component, &mut Assignment::new(), &mut 0)?;
            if count == 0 {
                return None;
            }
            let mut part = Assignment::new();
            self.unrank(&component, rest % count, &mut part)?;
            whole.extend(part);
            rest /= count;
        }
        (rest == 0).then_some(whole)
    }

    /// Indices of parameters that conditions tie together, each component in the order of the parameters.
    fn components(&self) -> Vec<Vec<usize>> {
        let mut component: Vec<usize> = (0..self.parameters.len()).collect();
        for (at, parameter) in self.parameters.iter().enumerate() {
            for condition in &parameter.when {
                let Some(parent) = self.by_name.get(&condition.parameter) else { continue };
                let (from, to) = (component[at], component[*parent]);
                component.iter_mut().filter(|c| **c == from).for_each(|c| *c = to);
            }
        }
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (at, id) in component.into_iter().enumerate() {
            match groups.iter_mut().find(|(group, _)| *group == id) {
                Some((_, members)) => members.push(at),
                None => groups.push((id, vec![at])),
            }
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }

    fn count(&self, rest: &[usize], assignment: &mut Assignment, work: &mut u64) -> Option<u128> {
        *work += 1;
        if *work > MAX_WORK {
            return None;
        }
        let Some((first, rest)) = rest.split_first() else { return Some(1) };
        let parameter = &self.parameters[*first];
        if !self.active(parameter, assignment) {
            return self.count(rest, assignment, work);
        }
        let mut total = 0_u128;
        for (size, value) in self.classes(parameter)? {
            assignment.insert(parameter.name.clone(), value);
            let below = self.count(rest, assignment, work);
            assignment.remove(&parameter.name);
            total = total.checked_add(below?.checked_mul(u128::from(size))?)?;
        }
        Some(total)
    }

    fn unrank(&self, rest: &[usize], rank: u128, assignment: &mut Assignment) -> Option<()> {
        let Some((first, rest)) = rest.split_first() else { return (rank == 0).then_some(()) };
        let parameter = &self.parameters[*first];
        if !self.active(parameter, assignment) {
            return self.unrank(rest, rank, assignment);
        }
        let mut rank = rank;
        for (size, value) in self.classes(parameter)? {
            assignment.insert(parameter.name.clone(), value.clone());
            let below = self.count(rest, assignment, &mut 0)?;
            let total = below.checked_mul(u128::from(size))?;
            if rank < total {
                let nth = u64::try_from(rank / below).ok()?;
                assignment.insert(parameter.name.clone(), self.member(parameter, &value, nth)?);
                return self.unrank(rest, rank % below, assignment);
            }
            rank -= total;
        }
        None
    }

    /// The texts that conditions compare this parameter with.
    fn mentioned<'a>(&'a self, parameter: &'a Parameter) -> impl Iterator<Item = &'a str> {
        let conditions = self.parameters.iter().flat_map(|other| &other.when);
        conditions.filter(move |c| c.parameter == parameter.name).flat_map(|c| c.values.iter().map(String::as_str))
    }

    /// Classes of values with their size and a member: each mentioned value by itself, and all the others.
    fn classes(&self, parameter: &Parameter) -> Option<Vec<(u64, Value)>> {
        let levels = parameter.domain.levels()?;
        let special = self.special(parameter);
        let mut classes: Vec<(u64, Value)> = special.iter().map(|level| (1, parameter.domain.at(*level))).collect();
        let others = levels - special.len() as u64;
        if others > 0 {
            classes.push((others, parameter.domain.at(nth_other(&special, 0))));
        }
        Some(classes)
    }

    /// Levels that conditions mention, ascending.
    fn special(&self, parameter: &Parameter) -> Vec<u64> {
        let value = |text: &str| match &parameter.domain {
            super::Domain::Categorical { .. } => Some(Value::Text(text.to_owned())),
            _ => text.trim().parse().ok().map(Value::Double),
        };
        let levels = self.mentioned(parameter).filter_map(value).filter_map(|value| parameter.domain.level(&value));
        let mut special: Vec<u64> = levels.collect();
        special.sort_unstable();
        special.dedup();
        special
    }

    /// The n-th member of the class of this value.
    fn member(&self, parameter: &Parameter, of: &Value, nth: u64) -> Option<Value> {
        let special = self.special(parameter);
        let level = parameter.domain.level(of)?;
        if special.binary_search(&level).is_ok() {
            return Some(of.clone());
        }
        Some(parameter.domain.at(nth_other(&special, nth)))
    }
}

/// The n-th level that is not special.
fn nth_other(special: &[u64], nth: u64) -> u64 {
    special.iter().fold(nth, |level, special| if *special <= level { level + 1 } else { level })
}

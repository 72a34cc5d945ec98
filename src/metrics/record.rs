//! Numbers that come together under names, such as a JSON object or a row: which of them are observations, and of which
//! step.

use super::Observation;
use super::text::object::{self, Fields};
use super::text::step::{self, Step};
use super::wanted::{Wanted, is_time, tells};
use jiff::Timestamp;

/// The observations among the numbers of one record. One that is called epoch, step or the like is the step.
pub(super) fn observe(
    wanted: &mut Wanted,
    numbers: impl IntoIterator<Item = (String, f64)>,
    time: Timestamp,
) -> Vec<Observation> {
    let (mut said, mut found) = (Step::default(), Vec::new());
    for (name, value) in numbers {
        let rank = step::rank(&name);
        if let Some(rank) = rank {
            said.see(rank, value);
        }
        if let Some(metric) = wanted.exact(&name) {
            found.push((metric, value));
        } else if rank.is_none() && tells(&name) && !is_time(&name, value) {
            wanted.remember(&name);
            if wanted.is_all() {
                found.push((name, value));
            }
        }
    }
    let step = said.or(None);
    found.into_iter().map(|(metric, value)| Observation { metric, step, value, time }).collect()
}

/// The observations in one object, at the time that its field `timestamp`, `time` or `ts` says, else at the given one.
pub(super) fn object(wanted: &mut Wanted, fields: Fields, time: Timestamp) -> Vec<Observation> {
    let own = object::time(&fields);
    // The field that was the time is no metric.
    let values = object::values(fields).into_iter();
    let values = values.filter(|(name, _)| own.is_none() || !object::TIMES.contains(&name.as_str()));
    let mut numbers = Vec::new();
    for (name, value) in values {
        match value {
            Some(value) => numbers.push((name, value)),
            None => wanted.no_number(&name),
        }
    }
    observe(wanted, numbers, own.unwrap_or(time))
}

//! Numbers that come together under names, such as a JSON object or a row: which of them are observations, and of which
//! step.

use super::Observation;
use super::text::step::{self, Step};
use super::wanted::{Wanted, tells};
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
        } else if rank.is_none() && tells(&name) {
            wanted.remember(&name);
            if wanted.is_all() {
                found.push((name, value));
            }
        }
    }
    let step = said.or(None);
    found.into_iter().map(|(metric, value)| Observation { metric, step, value, time }).collect()
}

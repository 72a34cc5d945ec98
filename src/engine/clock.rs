//! How long an experiment has been at work: what `limits.maxDuration` counts.
//!
//! The time runs while the spec is accepted, not suspended, and the experiment has not ended. What has passed is added up
//! in the status whenever it stops.

use super::status::{later, stored};
use crate::api::ExperimentStatus;
use jiff::{SignedDuration, Timestamp};

/// How long the experiment has been at work.
pub(super) fn worked(status: &ExperimentStatus, now: Timestamp) -> SignedDuration {
    let before = SignedDuration::from_secs(status.active_seconds);
    let since = status.active_since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    before.saturating_add(since.max(SignedDuration::ZERO))
}

/// When it will have been at work for so long; `None` while the time stands still.
pub(super) fn deadline(status: &ExperimentStatus, most: SignedDuration) -> Option<Timestamp> {
    let left = most.saturating_sub(SignedDuration::from_secs(status.active_seconds));
    status.active_since.map(|since| later(since, left))
}

/// The time runs from now on.
pub(super) fn run(status: &mut ExperimentStatus, now: Timestamp) {
    status.active_since = status.active_since.or(Some(stored(now)));
}

/// The time stands still from now on.
pub(super) fn halt(status: &mut ExperimentStatus, now: Timestamp) {
    if status.active_since.is_some() {
        status.active_seconds = worked(status, now).as_secs();
        status.active_since = None;
    }
}

/// Takes off the time in which the machine was down. Doing so again changes nothing.
pub(super) fn away(status: &mut ExperimentStatus, (from, to): (Timestamp, Timestamp)) {
    if status.active_since.is_some_and(|since| since < to) {
        halt(status, from);
        status.active_since = Some(stored(to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn adds_up_the_time_at_work() {
        type Step = fn(&mut ExperimentStatus);
        let table: [(&str, &[Step], i64); 7] = [
            ("never begun", &[], 0),
            ("at work since 10", &[|s| run(s, at(10))], 90),
            ("twice told", &[|s| run(s, at(10)), |s| run(s, at(50))], 90),
            ("with a pause", &[|s| run(s, at(10)), |s| halt(s, at(30)), |s| run(s, at(90))], 30),
            (
                "the machine was down",
                &[|s| run(s, at(10)), |s| away(s, (at(20), at(80))), |s| away(s, (at(20), at(80)))],
                30,
            ),
            ("it was down before", &[|s| run(s, at(50)), |s| away(s, (at(20), at(40)))], 50),
            ("the clock went back", &[|s| run(s, at(200)), |s| halt(s, at(150)), |s| run(s, at(90))], 10),
        ];
        for (name, steps, seconds) in table {
            let mut status = ExperimentStatus::default();
            steps.iter().for_each(|step| step(&mut status));
            assert_eq!(worked(&status, at(100)).as_secs(), seconds, "{name}");
        }
    }

    #[test]
    fn nothing_overflows_at_the_ends_of_time() {
        for (from, to) in [(Timestamp::MIN, Timestamp::MAX), (Timestamp::MAX, Timestamp::MIN)] {
            for seconds in [i64::MIN, 0, i64::MAX] {
                let mut status =
                    ExperimentStatus { active_since: Some(from), active_seconds: seconds, ..Default::default() };
                worked(&status, to);
                for most in [SignedDuration::MIN, SignedDuration::MAX] {
                    deadline(&status, most);
                }
                away(&mut status, (from, to));
                halt(&mut status, to);
            }
        }
    }
}

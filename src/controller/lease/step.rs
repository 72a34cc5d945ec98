//! Who leads: the decision, apart from all I/O.
//!
//! A Lease is no fence: two processes can believe for a moment that they lead. Every write of the operator is therefore
//! safe with two writers; the Lease keeps them from working against each other.

use std::time::Duration;
use tokio::time::Instant;

/// The times of the election.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A holder that is not seen to renew for this long has lost the Lease.
    pub duration: Duration,
    /// A holder that has not managed to renew for this long stops writing. Less than `duration`.
    pub deadline: Duration,
    /// How often a holder renews.
    pub renew: Duration,
    /// How often the others look, and how soon a failed call is repeated.
    pub retry: Duration,
}

impl Timing {
    /// A holder that is not seen for so long has lost the Lease; the other times in proportion.
    #[must_use]
    pub fn of(duration: Duration) -> Self {
        Timing { duration, deadline: duration * 2 / 3, renew: duration / 3, retry: duration * 2 / 15 }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Timing::of(Duration::from_secs(15))
    }
}

/// What the Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// How long without a change before others may take it.
    pub duration: Duration,
    /// `metadata.resourceVersion`, which changes with each renewal.
    pub resource_version: String,
}

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What it said.
    pub record: Record,
    /// When this process first saw it say so, on this process's own clock. The times in the Lease are the holder's, and
    /// clocks differ.
    pub since: Instant,
}

impl Sighting {
    /// The Lease was read again.
    #[must_use]
    pub fn again(earlier: Option<Sighting>, record: Record, now: Instant) -> Self {
        match earlier {
            Some(earlier) if earlier.record == record => earlier,
            _ => Sighting { record, since: now },
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the Lease, held by us.
    Create,
    /// Take it, by a write that succeeds only if it is still as it was seen.
    Take,
    /// Renew it, likewise.
    Renew,
    /// Nothing to do for this long; then look again.
    Wait(Duration),
    /// We held it and hold it no more.
    Lost,
}

/// Decides. `renewed`: when the request that last made or kept us the holder was sent; `None` while we are not.
pub fn step(seen: Option<&Sighting>, renewed: Option<Instant>, me: &str, now: Instant, timing: Timing) -> Step {
    if let Some(renewed) = renewed {
        let age = now.saturating_duration_since(renewed);
        return match seen {
            _ if age >= timing.deadline => Step::Lost,
            None => Step::Lost,
            Some(seen) if seen.record.holder != me => Step::Lost,
            Some(_) if age >= timing.renew => Step::Renew,
            Some(_) => Step::Wait(timing.renew - age),
        };
    }
    let Some(seen) = seen else { return Step::Create };
    let left = seen.record.duration.saturating_sub(now.saturating_duration_since(seen.since));
    if seen.record.holder.is_empty() || seen.record.holder == me || left.is_zero() {
        Step::Take
    } else {
        Step::Wait(left.min(timing.retry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sighting(holder: &str, since: Instant) -> Sighting {
        let record = Record { holder: holder.into(), duration: 15 * SECOND, resource_version: "1".into() };
        Sighting { record, since }
    }

    #[test]
    fn decides() {
        let start = Instant::now();
        let at = |seconds: u32| start + seconds * SECOND;
        let wait = |seconds: u32| Step::Wait(seconds * SECOND);
        // Who is seen to hold it since when, when we renewed, now, what to do.
        let table: &[(Option<(&str, u32)>, Option<u32>, u32, Step)] = &[
            (None, None, 0, Step::Create),
            (Some(("", 0)), None, 0, Step::Take),
            (Some(("me", 0)), None, 0, Step::Take),
            (Some(("other", 0)), None, 0, wait(2)),
            (Some(("other", 0)), None, 14, wait(1)),
            (Some(("other", 0)), None, 15, Step::Take),
            (Some(("other", 10)), None, 15, wait(2)),
            (Some(("me", 0)), Some(0), 0, wait(5)),
            (Some(("me", 0)), Some(0), 3, wait(2)),
            (Some(("me", 0)), Some(0), 5, Step::Renew),
            (Some(("me", 0)), Some(0), 9, Step::Renew),
            (Some(("me", 0)), Some(0), 10, Step::Lost),
            (Some(("me", 9)), Some(0), 10, Step::Lost),
            (Some(("other", 3)), Some(0), 3, Step::Lost),
            (Some(("", 3)), Some(0), 3, Step::Lost),
            (None, Some(0), 3, Step::Lost),
        ];
        for (seen, renewed, now, expected) in table {
            let seen = seen.map(|(holder, since)| sighting(holder, at(since)));
            let got = step(seen.as_ref(), renewed.map(at), "me", at(*now), Timing::default());
            assert_eq!(&got, expected, "{seen:?} renewed {renewed:?} now {now}");
        }
    }

    #[test]
    fn a_holder_whose_record_changes_is_alive_whatever_its_clock_says() {
        let start = Instant::now();
        let first = sighting("other", start);
        let same = Sighting::again(Some(first.clone()), first.record.clone(), start + 14 * SECOND);
        assert_eq!(same.since, start, "the same record does not prove life");
        let renewed = Record { resource_version: "2".into(), ..first.record };
        let alive = Sighting::again(Some(same), renewed, start + 14 * SECOND);
        assert_eq!(alive.since, start + 14 * SECOND);
        assert_eq!(step(Some(&alive), None, "me", start + 20 * SECOND, Timing::default()), Step::Wait(2 * SECOND));
    }

    #[test]
    fn a_holder_stops_before_another_may_start() {
        let timing = Timing::default();
        assert!(timing.deadline < timing.duration);
        let start = Instant::now();
        // The other sees our renewal at the earliest when we send it.
        for seconds in 0..40 {
            let now = start + seconds * SECOND;
            let we = step(Some(&sighting("me", start)), Some(start), "me", now, timing);
            let other = step(Some(&sighting("me", start)), None, "other", now, timing);
            assert!(we == Step::Lost || other != Step::Take, "after {seconds} s");
        }
    }
}

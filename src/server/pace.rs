//! How long reports wait before they are stored.

use std::time::Duration;

/// How often a trial's reports are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Its first reports wait so long. Each further one waits as long as the trial has been reporting, so that an hour of
    /// reports costs nine writes, and a day fourteen.
    pub first: Duration,
    /// Those of a trial that is judged while it runs (`spec.earlyStopping`) wait so long, or the hundredth part of the time
    /// that it has been reporting, up to five seconds.
    pub judged: Duration,
}

/// Of a judged trial's time, and at most.
const SHARE: u32 = 100;
const LONGEST: Duration = Duration::from_secs(5);
/// So that many judged trials share what an API server takes: for each of them so much longer.
const CROWD: Duration = Duration::from_millis(10);

impl Pace {
    /// For a cluster.
    pub const CLUSTER: Pace = Pace { first: Duration::from_secs(10), judged: Duration::from_secs(1) };
    /// For one machine, whose store is its own.
    pub const LAPTOP: Pace = Pace { judged: Duration::from_millis(200), ..Pace::CLUSTER };

    /// From one store to the next, for a trial that has been `reporting` for so long. `trials`: how many report.
    pub fn wait(&self, judged: bool, reporting: Duration, trials: usize) -> Duration {
        let seldom = self.first.max(reporting);
        if !judged {
            return seldom;
        }
        let crowd = CROWD.saturating_mul(u32::try_from(trials).unwrap_or(u32::MAX));
        self.judged.max((reporting / SHARE).min(LONGEST)).max(crowd).min(seldom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_trial_reports_the_less_often_it_is_stored() {
        // judged, seconds that it has been reporting, trials that report -> milliseconds
        let table = [
            (false, 0, 1, 10_000),
            (false, 9, 1, 10_000),
            (false, 40, 1000, 40_000),
            (true, 0, 1, 1_000),
            (true, 99, 1, 1_000),
            (true, 3600, 1, 5_000),
            (true, 0, 500, 5_000),
            (true, 0, 100_000, 10_000),
        ];
        for (judged, seconds, trials, expected) in table {
            let wait = Pace::CLUSTER.wait(judged, Duration::from_secs(seconds), trials);
            assert_eq!(wait.as_millis(), expected, "{judged} {seconds} {trials}");
        }
    }
}

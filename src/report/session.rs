//! Which of a trial's agent processes is the later one.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// One agent process. As texts, later ones are greater: attempts of a trial come first, since nodes' clocks differ. Within
/// an attempt (a container that was restarted, another pod of the same Job) it is the time of the start, until the
/// operator knows better: see [`Session::follow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    attempt: u32,
    number: u64,
    process: u32,
}

impl Session {
    /// The session of a process that has started at this time, in microseconds.
    pub fn new(attempt: u32, time: u64, process: u32) -> Self {
        Session { attempt, number: time, process }
    }

    /// How many attempts of the trial came before its own.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The first session after the latest one that the operator has heard of in the same attempt; for an agent that starts
    /// on a node whose clock is behind. `None` when the latest is another attempt's, or unreadable.
    pub fn follow(&self, latest: &str) -> Option<Session> {
        let latest: Session = latest.parse().ok()?;
        (latest.attempt == self.attempt).then(|| Session { number: latest.number.saturating_add(1), ..*self })
    }
}

impl Display for Session {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:010}-{:020}-{:010}", self.attempt, self.number, self.process)
    }
}

impl FromStr for Session {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut part = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(());
        let (attempt, number, process) = (part()?, part()?, part()?);
        let bounded = |part: u64| u32::try_from(part).map_err(|_| ());
        Ok(Session { attempt: bounded(attempt)?, number, process: bounded(process)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_sessions_are_greater_whatever_the_clocks_say() {
        let text = |attempt, time, process| Session::new(attempt, time, process).to_string();
        assert!(text(1, 5, 9) > text(0, u64::MAX, u32::MAX), "attempts first");
        assert!(text(10, 0, 0) > text(9, 0, 0) && text(0, 10, 0) > text(0, 9, 0), "numbers, not digits");
        let (behind, latest) = (Session::new(3, 100, 7), text(3, 900, 8));
        assert!(behind.to_string() < latest);
        let followed = behind.follow(&latest).unwrap();
        assert!(followed.to_string() > latest && followed.to_string().len() <= 128);
        assert_eq!(followed.to_string().parse(), Ok(followed));
        for other in [text(4, 900, 8), text(2, 900, 8), String::new(), "a-b-c".into(), "99999999999-1-1".into()] {
            assert_eq!(behind.follow(&other), None, "{other}");
        }
    }
}

//! Conditions: set one, keep its transition time while its status stays.

use crate::api::Condition;
use jiff::{SignedDuration, Timestamp, Unit};

/// Longest message that is stored, in bytes; the schema allows a little more.
const MAX_MESSAGE: usize = 2048;

/// Sets the condition of this type. Its transition time moves only when its status changes.
pub(super) fn set(
    conditions: &mut Vec<Condition>,
    r#type: &str,
    status: bool,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let status = if status { "True" } else { "False" };
    let message = shorten(message.into());
    let last_transition_time = stored(now);
    match conditions.iter_mut().find(|condition| condition.r#type == r#type) {
        Some(condition) => {
            if condition.status != status {
                condition.last_transition_time = last_transition_time;
            }
            condition.status = status.into();
            condition.reason = reason.into();
            condition.message = message;
            condition.observed_generation = generation;
        }
        None => conditions.push(Condition {
            r#type: r#type.into(),
            status: status.into(),
            reason: reason.into(),
            message,
            last_transition_time,
            observed_generation: generation,
        }),
    }
}

/// Times are stored in whole milliseconds.
pub(super) fn stored(time: Timestamp) -> Timestamp {
    time.round(Unit::Millisecond).unwrap_or(time)
}

/// So much later; the end of time where there is no later.
pub(super) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

fn shorten(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str("...");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut conditions = Vec::new();
        set(&mut conditions, "Complete", false, "Running", "a", None, at(1));
        set(&mut conditions, "Complete", false, "Pending", "b", None, at(2));
        assert_eq!((conditions[0].last_transition_time, conditions[0].reason.as_str()), (at(1), "Pending"));
        set(&mut conditions, "Complete", true, "Succeeded", "", Some(3), at(3));
        assert_eq!((conditions[0].last_transition_time, conditions.len()), (at(3), 1));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Failed", true, "X", "é".repeat(3000), None, Timestamp::UNIX_EPOCH);
        assert!(conditions[0].message.len() <= MAX_MESSAGE + 3 && conditions[0].message.ends_with("..."));
    }
}

//! What an agent leaves behind when the operator could not be reached: a batch, small enough for a container's termination
//! message, and taken in like any other.

use super::{Batch, Outbox};

/// The kubelet keeps so many bytes of a container's termination message.
const MAX_LAST_WORDS: usize = 4096;

/// Everything of the outbox that is not stored, as far as it fits; `frame` says whose it is. `None`: nothing is left to say.
pub fn last_words(frame: &Batch, outbox: Outbox) -> Option<String> {
    if outbox.is_empty() {
        return None;
    }
    let text = |records: &[super::Record]| {
        let batch = Batch { records: records.to_vec(), after: None, end: true, ..frame.clone() };
        serde_json::to_string(&batch).unwrap_or_default()
    };
    let records = outbox.into_few(|records| text(records).len() <= MAX_LAST_WORDS);
    Some(text(&records)).filter(|text| text.len() <= MAX_LAST_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Observation;
    use crate::report::Body;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn frame() -> Batch {
        Batch {
            namespace: "n".repeat(63),
            trial: "t".repeat(253),
            trial_uid: "12345678-1234-1234-1234-123456789012".into(),
            attempt: 3,
            session: "s".repeat(43),
            after: None,
            records: Vec::new(),
            end: false,
        }
    }

    fn value(metric: &str, step: u64, value: f64) -> Body {
        Body::Observation(Observation { metric: metric.into(), step: Some(step), value, time: Timestamp::UNIX_EPOCH })
    }

    fn ended(tail: &str) -> Body {
        Body::Ended { exit_code: Some(0), signal: None, tail: tail.into(), left_out: 0, parse_misses: 0 }
    }

    #[test]
    fn the_extremes_the_last_values_and_the_end_fit() {
        let mut outbox = Outbox::default();
        for step in 0..3000 {
            outbox.push(value("accuracy", step, if step == 1234 { 0.99 } else { 0.5 }));
            outbox.push(value("loss", step, if step == 77 { -1.0 } else { f64::from(u32::try_from(step).unwrap()) }));
        }
        outbox.push(ended("the last line"));
        let text = last_words(&frame(), outbox).unwrap();
        assert!(text.len() <= MAX_LAST_WORDS);
        let batch: Batch = serde_json::from_str(&text).unwrap();
        assert!(batch.end && batch.records.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        let values = |name: &str| -> Vec<f64> {
            let of = |body: &Body| match body {
                Body::Observation(observation) if observation.metric == name => Some(observation.value),
                _ => None,
            };
            batch.records.iter().filter_map(|record| of(&record.body)).collect()
        };
        assert!(values("accuracy").contains(&0.99) && values("loss").contains(&-1.0));
        assert_eq!(values("loss").last(), Some(&2999.0));
        let Body::Ended { tail, left_out, .. } = &batch.records.last().unwrap().body else { panic!() };
        let kept = (values("accuracy").len() + values("loss").len()) as u64;
        assert_eq!((tail.as_str(), *left_out), ("the last line", 6000 - kept), "what is left out is counted");
        assert_eq!(last_words(&frame(), Outbox::default()), None, "all was said");
    }

    proptest! {
        #[test]
        fn whatever_was_said_the_end_survives(
            said in prop::collection::vec(("[a-z\"\u{1}é]{1,64}", -1e300..1e300_f64), 0..300),
            tail in "[a-z\n\u{1}\"]{0,2048}",
        ) {
            let mut outbox = Outbox::default();
            for (step, (metric, number)) in (0..).zip(&said) {
                outbox.push(value(metric, step, *number));
            }
            outbox.push(Body::Seen(said.iter().map(|(metric, _)| metric.clone()).collect()));
            outbox.push(ended(&tail));
            let text = last_words(&frame(), outbox).unwrap();
            prop_assert!(text.len() <= MAX_LAST_WORDS);
            let batch: Batch = serde_json::from_str(&text).unwrap();
            let is_end = matches!(batch.records.last().unwrap().body, Body::Ended { .. });
            prop_assert!(is_end);
        }
    }
}

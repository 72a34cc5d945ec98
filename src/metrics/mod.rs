//! Metrics: from what a program prints to observations, and from observations to a bounded curve.
//!
//! Pure: bytes and observations in, observations and curves out.

mod csv;
mod curve;
mod jsonl;
mod misses;
mod mlflow;
mod nearest;
mod nni;
mod prometheus;
mod promql;
mod push;
mod record;
mod source;
mod statistic;
mod summary;
mod tensorboard;
mod text;
mod wanted;

pub use csv::Csv;
pub use curve::{Curve, MAX_POINTS, NonFinite, Point};
pub use jsonl::JsonLines;
pub use misses::Misses;
pub use mlflow::{MetricFile, MetricSeries, Mlflow};
pub use nearest::nearest;
pub use nni::Nni;
pub use prometheus::{Prometheus, SelectorError};
pub use promql::{Answered, PromQl, PromQlError, answer};
pub use push::{Push, PushError};
pub use source::{Format, Source, SourceError};
pub use statistic::{Direction, Statistic};
pub use summary::{AttemptBegin, Exactly, MetricSummary};
pub use tensorboard::{EventFile, TensorBoard};
pub use text::{FilterError, LineParser};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether a name is that of a step, such as `epoch`, where values come under names.
pub fn is_step(name: &str) -> bool {
    text::step::rank(name).is_some()
}

/// The observations among numbers that come together under names, of which one may be their step.
pub fn observations(numbers: Vec<(String, f64)>, time: Timestamp) -> Vec<Observation> {
    let names = numbers.iter().map(|(name, _)| name.clone()).filter(|name| !is_step(name));
    record::observe(&mut wanted::Wanted::new(names), numbers, time)
}

/// One value of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// Name of the metric, as the program printed it.
    pub metric: String,
    /// The epoch, step or round that it belongs to, where the program said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// May be NaN or infinite, which JSON writes as a text.
    #[serde(with = "number")]
    pub value: f64,
    /// When it was seen.
    pub time: Timestamp,
}

/// An observation, and where it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The line of the text, or the record of the file, counted from 1.
    pub line: u64,
    /// What was observed.
    pub observation: Observation,
}

/// A number in JSON, with NaN and the infinities as text.
mod number {
    use super::NonFinite;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Number {
        Finite(f64),
        NonFinite(NonFinite),
    }

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        match NonFinite::of(*value) {
            Some(kind) => Number::NonFinite(kind).serialize(serializer),
            None => Number::Finite(*value).serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(match Number::deserialize(deserializer)? {
            Number::Finite(value) => value,
            Number::NonFinite(kind) => kind.value(),
        })
    }
}

//! The only room that holds a kube Client for our kinds: watches, snapshot, act, lease, events.

mod act;
mod backoff;
mod clock;
mod desk;
mod events;
mod failure;
mod index;
mod job;
mod last_words;
mod lease;
mod mutation;
mod operator;
mod patch;
mod pods;
mod queue;
mod reconcile;
mod reports;
mod shared;
mod telemetry;
mod tokens;
mod turn;
mod unreadable;
mod watch;
mod wire;
mod workers;

pub use clock::Clock;
pub use failure::{Class, Failure};
pub use lease::LeaseName;
pub use mutation::Mutation;
pub use operator::{Config, Ended, Operator, OperatorError};
pub use queue::Queue;
pub use reports::{Reports, Standing};
pub use shared::Unstored;
pub use telemetry::Telemetry;
pub use tokens::{Caller, Denied};
pub use watch::Name;

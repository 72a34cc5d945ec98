//! The report route's messages and numbering, shared by the agent (which sends) and the server (which stores).
//!
//! An agent numbers what it has to say, keeps it until the operator has said that it is stored in the Trial's status, and
//! says it again otherwise. The operator takes only numbers above the stored one, so that a repetition changes nothing.
//! Pure.

pub mod env;
mod message;
mod outbox;
mod progress;

pub use message::{Answer, Batch, Body, Record, Stop};
pub use outbox::Outbox;
pub use progress::Progress;

/// Audience of the tokens that trials present.
pub const AUDIENCE: &str = "automl.dev/report";
/// Path of the endpoint that takes a [`Batch`] and gives an [`Answer`].
pub const PATH: &str = "/v1/report";

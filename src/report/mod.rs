//! The report route's messages and numbering, shared by the agent (which sends) and the server (which stores).
//!
//! An agent numbers what it has to say, keeps it until the operator has said that it is stored in the Trial's status, and
//! says it again otherwise. The operator takes only numbers above the stored one, so that a repetition changes nothing.
//! Pure.

mod checkpoint;
pub mod env;
mod last_words;
mod message;
mod outbox;
mod progress;
mod session;
mod source;

pub use checkpoint::{Checkpoint, ParentCheckpoint};
pub use last_words::last_words;
pub use message::{Answer, Ask, Batch, Body, Called, Queried, Record, Relayed, Stop};
pub use outbox::Outbox;
pub use progress::Progress;
pub use session::Session;
pub use source::{FileFormat, Source};

/// Audience of the tokens that trials present.
pub const AUDIENCE: &str = "automl.dev/report";
/// Path of the endpoint that takes a [`Batch`] and gives an [`Answer`].
pub const PATH: &str = "/v1/report";
/// Path of the endpoint that asks Prometheus about the caller's trial, and gives a [`Queried`]. The body is empty.
pub const QUERY_PATH: &str = "/v1/query";
/// Most bytes of one [`Batch`] as JSON; the endpoint takes no more.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

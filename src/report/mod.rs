//! The report route's messages and numbering, shared by the agent (which sends) and the server (which stores).
//!
//! An agent numbers what it has to say, keeps it until the operator has said that it is stored in the Trial's status, and
//! says it again otherwise. The operator takes only numbers above the stored one, so that a repetition changes nothing.
//! An answer also says up to which number the operator holds what is not stored yet. The agent leaves that out from then on, and
//! says what it has left out (`after`): an operator that does not hold so much, since it was started anew or leads anew, takes
//! nothing and says how much it does hold, and the agent goes on from there.
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
pub use message::{Answer, Ask, Batch, Body, Called, Queried, Record, Stop};
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

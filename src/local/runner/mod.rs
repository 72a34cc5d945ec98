//! Plays the kubelet, the scheduler and the Job controller on one machine: Jobs and Pods run as local processes.
//!
//! What decides is pure: [`job`] is the Job controller, [`scheduler`] the slots, [`admit`] turns a pod into a process
//! or refuses it with a sentence, [`status`] words what has become of it. Around it lies a thin layer: [`process`]
//! starts and stops, [`restart`] clears up after a crash, and one loop in `control` takes in events and brings one Job
//! or Pod at a time forward.

pub mod admit;
mod control;
mod desk;
mod gpus;
mod handle;
pub mod job;
mod jobs;
pub mod log;
pub mod object;
mod pods;
pub mod process;
mod quantity;
pub mod restart;
pub mod scheduler;
mod start;
pub mod state;
pub mod status;
pub mod store;
pub mod sweep;
pub mod token;

pub use desk::Failure;
pub use gpus::Gpus;
pub use handle::{Now, Runner, RunnerError, Settings};
pub use quantity::Quantity;
pub use state::log_path;
pub use token::Tokens;

/// Name of the one Node.
pub const NODE_NAME: &str = "local";

//! Plays the kubelet, the scheduler and the Job controller on one machine: Jobs and Pods run as local processes.
//!
//! What decides is pure: [`job`] is the Job controller, [`scheduler`] the slots, [`admit`] turns a pod into a process
//! or refuses it with a sentence. Around it lies a thin layer that spawns, watches and kills.

pub mod admit;
pub mod job;
pub mod object;
pub mod process;
mod quantity;
pub mod restart;
pub mod scheduler;
pub mod state;
pub mod status;
pub mod sweep;
pub mod token;

/// Name of the one Node.
pub const NODE_NAME: &str = "local";

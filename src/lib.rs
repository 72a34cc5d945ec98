//! automl-operator: AutoML experiments on Kubernetes.
//!
//! `ARCHITECTURE.md` maps the rooms of this crate and says which may use which;
//! `tests/architecture.rs` refuses any other arrow.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
pub mod api;
pub mod cli;
pub mod controller;
pub mod engine;
pub mod local;
pub mod metrics;
pub mod report;
pub mod server;
pub mod space;
pub mod stopping;
pub mod tuner;

//! The embedded control plane: a small, faithful Kubernetes API server in process, and a runner that plays Jobs and
//! Pods as local processes.

pub mod apiserver;
pub mod files;
pub mod runner;

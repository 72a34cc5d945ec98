//! The embedded control plane: a small, faithful Kubernetes API server in process, and a runner that plays Jobs and
//! Pods as local processes.

#[allow(dead_code)] // validation, storage and server-side apply are being built
pub mod apiserver;
pub mod runner;

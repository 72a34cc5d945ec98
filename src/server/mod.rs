//! HTTP: the report endpoint, metrics of our own, health.

mod intake;
mod pending;
mod routes;

pub use intake::{INTERVAL, Intake, Refused};
pub use routes::router;

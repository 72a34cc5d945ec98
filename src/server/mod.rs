//! HTTP: the report endpoint, metrics of our own, health.

mod intake;
mod passing;
mod pending;
mod routes;

pub use intake::{INTERVAL, Intake, Refused};
pub use passing::Passing;
pub use routes::router;

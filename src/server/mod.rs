//! HTTP: the report endpoint, metrics of our own, health.

mod intake;
mod pace;
mod passing;
mod pending;
mod queries;
mod routes;
mod serve;

pub use intake::{Intake, Refused};
pub use pace::Pace;
pub use passing::Passing;
pub use queries::Queries;
pub use routes::{metrics_router, router};
pub use serve::serve;

//! HTTP: the report endpoint, metrics of our own, health.

mod intake;
mod observed;
mod pace;
mod passing;
mod pending;
mod queries;
mod rate;
mod routes;
mod serve;

pub use intake::{Intake, Refused};
pub use observed::{LogLevel, Observed};
pub use pace::Pace;
pub use passing::Passing;
pub use queries::Queries;
pub use routes::router;
pub use serve::serve;

//! The search space: what may vary, under which conditions, and how a choice becomes a point of the unit cube.
//!
//! Pure: no I/O, no clock; randomness comes in as a generator.

mod domain;
mod value;

pub use domain::{Condition, Domain, Parameter, Scale};
pub use value::{Assignment, Value};

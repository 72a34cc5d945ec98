//! What is wrong with a space or an assignment.

use std::fmt;

/// A problem with a field or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceError {
    /// Path of the field below `spec`, such as `parameters[2].double.min`, or name of the parameter.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl SpaceError {
    pub(super) fn new(path: impl Into<String>, what: String) -> Self {
        SpaceError { path: path.into(), what }
    }
}

impl fmt::Display for SpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl std::error::Error for SpaceError {}

/// No configuration that satisfies the constraints was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsatisfiable {
    /// There is none.
    #[error("none of the {0} configurations of the search space satisfies parameterConstraints; loosen them")]
    Never(u64),
    /// None was found among so many.
    #[error("none of {0} configurations that were looked at satisfies parameterConstraints; loosen them")]
    NotFound(u64),
}

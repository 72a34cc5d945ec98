//! One parameter: its domain and when it is active.

/// One dimension of the search space.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Unique within the space.
    pub name: String,
    /// The values it may take.
    pub domain: Domain,
    /// All must hold for the parameter to be active; empty: always active.
    pub when: Vec<Condition>,
}

/// The values a parameter may take.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// Real numbers of `[min, max]`; with a step, `min + k * step` only.
    Double {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Linear or logarithmic.
        scale: Scale,
        /// Distance of neighbours.
        step: Option<f64>,
    },
    /// Whole numbers of `[min, max]`; with a step, `min + k * step` only.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Linear or logarithmic.
        scale: Scale,
        /// Distance of neighbours; 1 when absent.
        step: Option<i64>,
    },
    /// Unordered names.
    Categorical {
        /// At least one, no two alike.
        choices: Vec<String>,
    },
    /// Ordered numbers, strictly ascending.
    Discrete {
        /// At least one.
        values: Vec<f64>,
    },
}

/// How a numeric range is laid onto the unit interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally likely.
    Linear,
    /// Equal ratios are equally likely; needs `min > 0`.
    Log,
}

/// The parameter is active only while `parameter` is active and has one of `values`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Name of another parameter, declared earlier in the list.
    pub parameter: String,
    /// Compared as text for categorical parents, as numbers otherwise.
    pub values: Vec<String>,
}

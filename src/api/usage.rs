//! What trials have used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Integers that every JSON reader keeps exactly.
const MAX: u64 = (1 << 53) - 1;

/// Time that trials have used, from when each was seen running, and what stopping some of them early has saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// How long they ran, in seconds.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub seconds: u64,
    /// The same, each times the GPUs that it took.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub gpu_seconds: u64,
    /// How much longer those that a rule of `earlyStopping` stopped would have run: an estimate, by the steps that complete
    /// trials took.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub saved_seconds: u64,
    /// The same, each times its GPUs.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub saved_gpu_seconds: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Usage) -> Usage {
        self.each(other, u64::saturating_add)
    }

    /// Without the other.
    #[must_use]
    pub fn minus(self, other: Usage) -> Usage {
        self.each(other, u64::saturating_sub)
    }

    /// Of each the larger.
    #[must_use]
    pub fn max(self, other: Usage) -> Usage {
        self.each(other, u64::max)
    }

    fn each(self, other: Usage, both: impl Fn(u64, u64) -> u64) -> Usage {
        let both = |a, b| both(a, b).min(MAX);
        Usage {
            seconds: both(self.seconds, other.seconds),
            gpu_seconds: both(self.gpu_seconds, other.gpu_seconds),
            saved_seconds: both(self.saved_seconds, other.saved_seconds),
            saved_gpu_seconds: both(self.saved_gpu_seconds, other.saved_gpu_seconds),
        }
    }
}

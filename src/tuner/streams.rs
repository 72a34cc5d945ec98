//! Numbers that look random and are functions of what they are asked with.

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014).
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number of `[0, 1)`, uniform over its three arguments.
pub(super) fn uniform_of(seed: u64, index: u64, purpose: u64) -> f64 {
    (mix(seed ^ mix(index ^ mix(purpose))) >> 11) as f64 / (1_u64 << 53) as f64
}

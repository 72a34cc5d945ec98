//! Metrics: from what a program prints to observations, and from observations to a bounded curve.
//!
//! Pure: bytes and observations in, observations and curves out.

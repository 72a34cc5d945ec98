//! The in-pod program.
fn main() {}

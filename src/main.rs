//! Parses the arguments and dispatches.
fn main() {}

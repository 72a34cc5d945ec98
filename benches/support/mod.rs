//! What the benches share: which are run, and how a figure is printed.

use std::io::Write;

/// Measures the groups that the arguments name, or all.
pub fn run(groups: &[(&str, fn())]) {
    // `cargo test --benches` runs this with --test: nothing to measure then.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (name, group) in groups {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            group();
        }
    }
}

/// Prints a line of the table.
pub fn row(figure: impl AsRef<str>, value: impl AsRef<str>) {
    println!("{:<58} {:>16}", figure.as_ref(), value.as_ref());
    let _ = std::io::stdout().flush();
}

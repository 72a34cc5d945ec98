//! The program `automl`.

use automl_operator::cli;

/// The control plane and the operator make and drop trees of JSON all the time.
#[global_allocator]
static ALLOCATOR: cli::Allocator = cli::Allocator;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os()).into()
}

//! The program `automl`.

use automl_operator::cli;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os()).into()
}

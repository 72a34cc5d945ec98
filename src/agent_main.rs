//! The program `automl-agent`.

fn main() {
    let code = automl_operator::agent::main(std::env::args_os().skip(1), &[]);
    std::process::exit(code);
}

//! The `reveille` program: see [`reveille::cli`].

fn main() -> std::process::ExitCode {
    reveille::cli::main()
}

//! The program: hands over to [`backlog_scaler::cli`].

fn main() -> std::process::ExitCode {
    backlog_scaler::cli::main()
}

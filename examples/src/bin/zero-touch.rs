//! The zero-touch provisioning tutorial in one command.

fn main() -> std::process::ExitCode {
    examples::zero_touch::main()
}

//! The zero-touch provisioning tutorial in one command.

fn main() -> std::process::ExitCode {
    zero_touch::main()
}

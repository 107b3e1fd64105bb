//! Derives a DevKit's X.509 identity on the host and writes the certificate to enrol.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut stdin = std::io::stdin().lock();
    match dps_cert_gen::run(std::env::args_os().collect(), &mut stdin, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => dps_cert_gen::fail(&error),
    }
}

//! The server: it wants a certificate below a root, and gives back what it hears.

use crate::pipe::End;
use azure_iot_tls::mbedtls::Stack;
use azure_iot_tls::mbedtls::mbedtls_rs::sys::{hook::wall_clock::MbedtlsWallClock, tm};
use azure_iot_tls::mbedtls::mbedtls_rs::{
    AuthMode, Certificate, Credentials, PrivateKey, ServerSessionConfig, Session, SessionConfig,
    SessionError, X509,
};
use core::ffi::CStr;

/// The server's time: 2026-06-15.
pub(crate) struct Fixed;

pub(crate) static CLOCK: Fixed = Fixed;

impl MbedtlsWallClock for Fixed {
    fn instant(&self) -> Option<tm> {
        Some(tm {
            tm_sec: 0,
            tm_min: 0,
            tm_hour: 0,
            tm_mday: 15,
            tm_mon: 5,
            tm_year: 126,
            tm_wday: 0,
            tm_yday: 0,
            tm_isdst: 0,
        })
    }
}

pub(crate) async fn serve(
    stack: &Stack,
    pipe: End<'_>,
    chain: &CStr,
    key: &[u8],
    clients: &'static [u8],
) -> Result<(), SessionError> {
    let config = SessionConfig::Server(ServerSessionConfig {
        ca_chain: Some(Certificate::new_no_copy(clients)?),
        auth_mode: AuthMode::Required,
        ..ServerSessionConfig::new(Credentials {
            certificate: Certificate::new(X509::PEM(chain))?,
            private_key: PrivateKey::new(X509::DER(key), None)?,
        })
    });
    let mut session = Session::new(stack.reference(), pipe, &config)?;
    session.connect().await?;
    let mut buf = [0; 512];
    loop {
        let count = session.read(&mut buf).await?;
        let mut rest = &buf[..count];
        while !rest.is_empty() {
            let written = session.write(rest).await?;
            rest = &rest[written..];
        }
        session.flush().await?;
    }
}

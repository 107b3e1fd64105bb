//! The server: it wants a certificate below a root, and gives back what it hears.

use crate::pipe::End;
use azure_iot_tls::mbedtls::Stack;
use azure_iot_tls::mbedtls::mbedtls_rs::{
    AuthMode, Certificate, Credentials, PrivateKey, ServerSessionConfig, Session, SessionConfig,
    SessionError, X509,
};
use core::ffi::CStr;

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

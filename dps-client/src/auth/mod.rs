//! How a device proves who it is.
//!
//! * **X.509**: the TLS handshake does it all; MQTT needs no password, HTTPS no `Authorization`. The leaf's common name
//!   must equal the registration id (`x509::check`, feature `x509`, says so early). With an enrolment group the
//!   device sends its whole chain up to the CA that the service knows.
//! * **Symmetric key**: a [`sas`] token as MQTT password or `Authorization` header. Needs a clock.
//! * **TPM** ([`tpm`], HTTPS only): the service sends a key that only the enrolled TPM can open; tokens are signed
//!   with it.
pub mod sas;
pub mod tpm;
#[cfg(feature = "x509")]
pub mod x509;

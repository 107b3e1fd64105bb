//! This crate's policy inside Mbed TLS's handshake.

use super::error::{self, flag};
use crate::x509::{self, BAD_SIGNATURE, Link, SignatureVerifier};
use crate::{Error, Trust};
use azure_iot_tls_mbedtls::{Found, Judge};

/// Checks the path that Mbed TLS has found, and keeps what came of it.
pub(super) struct Verdict<'t> {
    pub(super) trust: &'t Trust<'t>,
    /// `None` before there was a certificate.
    pub(super) outcome: Option<Result<(), Error>>,
    /// The last second in which all of the path is valid that was accepted.
    #[cfg(feature = "resumption")]
    pub(super) valid_until: u64,
}

impl<'t> Verdict<'t> {
    pub(super) const fn new(trust: &'t Trust<'t>) -> Self {
        Self {
            trust,
            outcome: None,
            #[cfg(feature = "resumption")]
            valid_until: 0,
        }
    }
}

impl Judge for Verdict<'_> {
    fn judge(&mut self, found: &Found<'_>) -> u32 {
        let outcome = check(self.trust, found);
        #[cfg(feature = "resumption")]
        if outcome.is_ok() {
            self.valid_until = x509::valid_until(found.path()).unwrap_or(0);
        }
        self.outcome = Some(outcome);
        outcome.map_or_else(alert_for, |()| 0)
    }
}

fn check(trust: &Trust<'_>, found: &Found<'_>) -> Result<(), Error> {
    if found.flags() & flag::NOT_TRUSTED != 0 {
        // There is no path, and Mbed TLS does not say why. If it is not for one of the rules, a signature is wrong.
        let mut presented = found.presented();
        let leaf = presented.next().ok_or(Error::NoCertificate)?;
        return x509::verify(trust, leaf, &presented, &mut Unverified).and(Err(BAD_SIGNATURE));
    }
    x509::check_path(trust, found.path())?;
    // Dates were judged by the rules, by the time that `trust` has.
    let rest = found.flags() & !(flag::EXPIRED | flag::FUTURE);
    error::flags(rest).map_or(Ok(()), Err)
}

/// Asks for no signature.
struct Unverified;

impl SignatureVerifier for Unverified {
    fn verify(&mut self, _: &Link<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// The finding by which Mbed TLS chooses a fitting alert; never 0.
fn alert_for(error: Error) -> u32 {
    match error {
        Error::UnknownCa | Error::BadSignature(_) => flag::NOT_TRUSTED,
        Error::Expired | Error::NotYetValid => flag::EXPIRED,
        Error::WrongHost => flag::CN_MISMATCH,
        Error::UnsupportedAlgorithm => flag::BAD_PK,
        _ => flag::OTHER,
    }
}

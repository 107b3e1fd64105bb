//! In the place of the module `resumption` where sessions are not resumed.

use azure_iot_tls_mbedtls::Session;

use super::verifier::Verdict;
use super::watch::Watch;
use crate::Error;
use core::marker::PhantomData;

pub(super) struct Resumption<'a>(PhantomData<&'a ()>);

#[expect(clippy::unused_self, reason = "as the other one")]
impl Resumption<'_> {
    pub(super) const NONE: Self = Self(PhantomData);

    pub(super) const fn is_wanted(&self) -> bool {
        false
    }

    pub(super) const fn offer(&self, _: &mut Session<'_>) {}

    pub(super) fn judge(&self, _: &Session<'_>, _: &Watch, verdict: &Verdict<'_>) -> Result<(), Error> {
        verdict.outcome.unwrap_or(Err(Error::NoCertificate))
    }

    pub(super) const fn explain(&self, error: Error, _: bool) -> Error {
        error
    }

    pub(super) const fn keep(&self, _: &mut Session<'_>, _: &Watch) {}
}

//! Keys behind the PSA Crypto API, where a platform has one: TF-M, Mbed TLS with a driver, a vendor's library.
//!
//! The platform's bindings implement [`Psa`], a call for a call; the status codes and the algorithm are those of the
//! PSA Certified Crypto API 1.2. A [`PsaKey`] is then a [`Signer`] of a [`ChainIdentity`](crate::ChainIdentity). Where
//! the platform signs in pieces, [`PsaInterruptible`] makes it an [`AsyncSigner`] that yields between them. This was
//! tried with a stand-in for a platform only.

use crate::{AsyncSigner, IdentityError, Signature, Signer};
use core::fmt;
use embassy_futures::yield_now;

/// `psa_key_id_t`
pub type KeyId = u32;
/// `psa_algorithm_t`
pub type Algorithm = u32;

/// `PSA_ALG_ECDSA(PSA_ALG_SHA_256)`
pub const ECDSA_SHA_256: Algorithm = 0x0600_0609;

/// A `psa_status_t` that is not `PSA_SUCCESS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub i32);

impl Status {
    /// `PSA_ERROR_NOT_PERMITTED`
    pub const NOT_PERMITTED: Self = Self(-133);
    /// `PSA_ERROR_NOT_SUPPORTED`
    pub const NOT_SUPPORTED: Self = Self(-134);
    /// `PSA_ERROR_INVALID_ARGUMENT`
    pub const INVALID_ARGUMENT: Self = Self(-135);
    /// `PSA_ERROR_INVALID_HANDLE`
    pub const INVALID_HANDLE: Self = Self(-136);
    /// `PSA_ERROR_DOES_NOT_EXIST`
    pub const DOES_NOT_EXIST: Self = Self(-140);
    /// `PSA_OPERATION_INCOMPLETE`
    pub const OPERATION_INCOMPLETE: Self = Self(-248);

    /// A key that is not there or is not for this stays so; everything else may pass.
    const fn to_identity_error(self) -> IdentityError {
        match self {
            Self::NOT_PERMITTED
            | Self::NOT_SUPPORTED
            | Self::INVALID_ARGUMENT
            | Self::INVALID_HANDLE
            | Self::DOES_NOT_EXIST => IdentityError::KeyUnusable,
            _ => IdentityError::Signer,
        }
    }
}

/// The one function of the PSA Crypto API that a TLS client's key needs.
pub trait Psa {
    /// `psa_sign_hash`: gives the length of the signature; for P-256 it is `r || s`, 64 bytes.
    ///
    /// # Errors
    /// The status.
    fn sign_hash(
        &self,
        key: KeyId,
        algorithm: Algorithm,
        hash: &[u8],
        signature: &mut [u8],
    ) -> Result<usize, Status>;
}

/// The same in pieces, each of which is short.
pub trait PsaInterruptible {
    /// `psa_sign_hash_interruptible_operation_t`; the default is one that was not started.
    type Operation: Default;

    /// `psa_sign_hash_start`
    ///
    /// # Errors
    /// The status.
    fn start(
        &self,
        operation: &mut Self::Operation,
        key: KeyId,
        algorithm: Algorithm,
        hash: &[u8],
    ) -> Result<(), Status>;

    /// `psa_sign_hash_complete`: gives the length of the signature.
    ///
    /// # Errors
    /// [`Status::OPERATION_INCOMPLETE`] if it has to be called again, or the status.
    fn complete(&self, operation: &mut Self::Operation, signature: &mut [u8]) -> Result<usize, Status>;

    /// `psa_sign_hash_abort`: called when the signature is not wanted any more, or has failed.
    fn abort(&self, operation: &mut Self::Operation);
}

/// A P-256 key of the platform's.
#[derive(Clone, Copy)]
pub struct PsaKey<P> {
    psa: P,
    id: KeyId,
}

impl<P> PsaKey<P> {
    /// The key of this number. Its policy must permit [`ECDSA_SHA_256`] with `PSA_KEY_USAGE_SIGN_HASH`.
    pub const fn new(psa: P, id: KeyId) -> Self {
        Self { psa, id }
    }
}

impl<P> fmt::Debug for PsaKey<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PsaKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<P: Psa> Signer for PsaKey<P> {
    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        let mut signature = [0; 64];
        checked(self.psa.sign_hash(self.id, ECDSA_SHA_256, digest, &mut signature), signature)
    }
}

/// Yields after each piece.
impl<P: PsaInterruptible> AsyncSigner for PsaKey<P> {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        let mut running = Running { psa: &self.psa, operation: P::Operation::default() };
        let started = self.psa.start(&mut running.operation, self.id, ECDSA_SHA_256, digest);
        started.map_err(Status::to_identity_error)?;
        let mut signature = [0; 64];
        loop {
            match self.psa.complete(&mut running.operation, &mut signature) {
                Err(Status::OPERATION_INCOMPLETE) => yield_now().await,
                outcome => break checked(outcome, signature),
            }
        }
    }
}

fn checked(outcome: Result<usize, Status>, signature: [u8; 64]) -> Result<Signature, IdentityError> {
    match outcome {
        Ok(64) => Ok(Signature::from_bytes(signature)),
        // A key of another curve.
        Ok(_) => Err(IdentityError::KeyUnusable),
        Err(status) => Err(status.to_identity_error()),
    }
}

/// An operation that ends with its future.
struct Running<'p, P: PsaInterruptible> {
    psa: &'p P,
    operation: P::Operation,
}

impl<P: PsaInterruptible> Drop for Running<'_, P> {
    fn drop(&mut self) {
        self.psa.abort(&mut self.operation); // does nothing to one that has ended
    }
}

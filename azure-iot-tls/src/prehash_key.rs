//! Keys behind the traits of the crate `signature`.

use crate::{AsyncSigner, IdentityError, Signature, Signer};
use core::fmt;
use p256::ecdsa;
use p256::ecdsa::signature::hazmat::{AsyncPrehashSigner, PrehashSigner};

/// A P-256 key behind `signature` 3: a `PrehashSigner` in a [`ChainIdentity`](crate::ChainIdentity), an
/// `AsyncPrehashSigner` in one over [`Awaited`](crate::Awaited). TLS asks for signatures of digests, so a plain
/// `Signer` is not enough.
///
/// The error of `signature` has no cause: it becomes [`IdentityError::Signer`].
///
/// ```
/// use azure_iot_tls::{Awaited, ChainIdentity, PrehashKey};
/// use p256::ecdsa::{Signature, signature::hazmat::AsyncPrehashSigner};
///
/// fn identity<K: AsyncPrehashSigner<Signature>>(
///     leaf: &[u8],
///     slot: K,
/// ) -> Result<ChainIdentity<Awaited<PrehashKey<K>>>, azure_iot_tls::IdentityError> {
///     ChainIdentity::new(&[leaf], Awaited(PrehashKey(slot)))
/// }
/// ```
#[derive(Clone, Copy)]
pub struct PrehashKey<K>(pub K);

impl<K> fmt::Debug for PrehashKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrehashKey(..)")
    }
}

fn signature(signed: Result<ecdsa::Signature, ecdsa::signature::Error>) -> Result<Signature, IdentityError> {
    signed
        .map(|signature| Signature::from_bytes(signature.to_bytes().into()))
        .map_err(|_| IdentityError::Signer)
}

impl<K: PrehashSigner<ecdsa::Signature>> Signer for PrehashKey<K> {
    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        signature(self.0.sign_prehash(digest))
    }
}

impl<K: AsyncPrehashSigner<ecdsa::Signature>> AsyncSigner for PrehashKey<K> {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        signature(self.0.sign_prehash_async(digest).await)
    }
}

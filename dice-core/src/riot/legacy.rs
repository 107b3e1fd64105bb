//! The original's signature: one constant nonce for every message of every device.

use crate::key::{P256, PublicKey, SecretKey, Signature, Signer, sign_with_public_nonce};
use crate::{Error, Result};

/// Signs as the original did, with the nonce 0x0102…1f20 for every message.
///
/// **Every signature made this way gives the private key away.** Whoever sees one certificate, which is public by
/// purpose, computes d = (s·k - z)·r⁻¹ mod n and can from then on pass for the device, on every firmware. A key that
/// ever signed with this must be treated as published.
///
/// It serves two ends only: reproducing certificates of the original tool byte for byte, so that an enrolment made
/// from one can be found and replaced, and test vectors. It is a type of its own, behind a cargo feature that nothing
/// else turns on, so that no other signature can come to be made this way.
#[derive(Debug)]
pub struct ConstantNonceSigner<'k, B: P256>(&'k SecretKey<B>);

impl<'k, B: P256> ConstantNonceSigner<'k, B> {
    /// Signs with `key`, which is public knowledge from the first signature on.
    #[must_use]
    pub const fn publishing_the_private_key(key: &'k SecretKey<B>) -> Self {
        Self(key)
    }
}

impl<B: P256> Signer for ConstantNonceSigner<'_, B> {
    type Error = Error;

    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign_sha256(&mut self, digest: &[u8; 32]) -> Result<Signature> {
        let mut nonce = [0; 32];
        nonce.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
        sign_with_public_nonce(self.0, nonce, digest)
    }
}

//! The traits of the crate `signature`, so that whatever signs and verifies through them takes this crate's keys.

use super::{P256, PublicKey, SecretKey, Signature};
use crate::Error;
use crate::hash::Sha256;
use signature::hazmat::{PrehashSigner, PrehashVerifier};
use signature::{Keypair, SignatureEncoding, Signer, Verifier};

impl SignatureEncoding for Signature {
    type Repr = [u8; Self::LEN];
}

/// The fixed form, as for [`Signature::from_slice`].
impl TryFrom<&[u8]> for Signature {
    type Error = Error;

    fn try_from(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_slice(bytes)
    }
}

impl From<Signature> for [u8; Signature::LEN] {
    fn from(signature: Signature) -> Self {
        *signature.as_bytes()
    }
}

/// Signs as [`SecretKey::sign`] does; it cannot fail.
impl<B: P256> Signer<Signature> for SecretKey<B> {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        Ok(SecretKey::sign(self, message))
    }
}

/// Signs a SHA-256 digest as [`SecretKey::sign_prehash`] does; it cannot fail.
impl<B: P256> PrehashSigner<Signature> for SecretKey<B> {
    fn sign_prehash(&self, digest: &[u8]) -> Result<Signature, signature::Error> {
        Ok(SecretKey::sign_prehash::<Sha256>(self, digest))
    }
}

impl<B: P256> Keypair for SecretKey<B> {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        *self.public_key()
    }
}

impl Verifier<Signature> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), signature::Error> {
        PublicKey::verify(self, message, signature).map_err(|_| signature::Error::new())
    }
}

impl PrehashVerifier<Signature> for PublicKey {
    fn verify_prehash(&self, digest: &[u8], signature: &Signature) -> Result<(), signature::Error> {
        PublicKey::verify_prehash(self, digest, signature).map_err(|_| signature::Error::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    /// Code that knows the traits only.
    fn signed_and_verified<K, S>(key: &K, message: &[u8]) -> [u8; 64]
    where
        K: Signer<S> + Keypair,
        K::VerifyingKey: Verifier<S>,
        S: SignatureEncoding<Repr = [u8; 64]>,
    {
        let signature = key.try_sign(message).expect("cannot fail");
        key.verifying_key().verify(message, &signature).expect("its own");
        assert!(key.verifying_key().verify(b"another message", &signature).is_err());
        signature.to_bytes()
    }

    #[test]
    fn keys_are_taken_by_code_that_knows_the_traits_only() {
        let key: SecretKey = SecretKey::from_scalar(Secret::new([7; 32])).expect("in range");
        // The same as another implementation of the traits, with the same scalar.
        let other = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("in range");
        let theirs: p256::ecdsa::Signature = Signer::sign(&other, b"message");
        let ours = signed_and_verified::<_, Signature>(&key, b"message");
        assert_eq!(ours[..], theirs.to_bytes()[..]);
        let digest = crate::hash::Hash::finalize(Sha256::default());
        let signature: Signature = PrehashSigner::sign_prehash(&key, &digest).expect("cannot fail");
        assert!(PrehashVerifier::verify_prehash(key.public_key(), &digest, &signature).is_ok());
        assert!(PrehashVerifier::verify_prehash(key.public_key(), &[1; 32], &signature).is_err());
        assert_eq!(Signature::try_from(&signature.to_bytes()[..]), Ok(signature));
        assert!(Signature::try_from(&[0; 64][..]).is_err());
    }
}

//! Signatures and keys.

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use super::commands::unexpected_length;
use crate::channel::Channel;
use crate::command::{Command, EnvelopeKeyKind, KeyMode};
use crate::curve::{Curve, PublicKey, Signature};
use crate::error::Error;
use crate::irreversible::Irreversible;
use crate::response::{parse_point, parse_signature, parse_verdict};

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> Stsafe<I2C, D, S> {
    /// Signs a digest (ECDSA) with the key in `slot`: 32 bytes for a 256-bit curve, 48 for a 384-bit one.
    ///
    /// # Errors
    /// [`InputError::ZeroDigest`](crate::error::InputError::ZeroDigest) for a digest of zeros, which hangs the chip;
    /// every [`Error`] of an exchange.
    pub async fn sign(&mut self, slot: u8, digest: &[u8]) -> Result<Signature, Error<I2C::Error>> {
        self.run(Command::GenerateSignature { slot, digest }, |data| {
            let rs = parse_signature(data)?;
            if rs.r.len() != digest.len() {
                return Err(unexpected_length(2 * (2 + digest.len()), data.len()));
            }
            Ok(Signature::new(rs.r, rs.s)?)
        })
        .await
    }

    /// Verifies a signature over a digest with a public key of the caller's.
    ///
    /// Only a host session with R-MAC makes the verdict trustworthy against somebody on the bus.
    ///
    /// # Errors
    /// [`InputError::ZeroDigest`](crate::error::InputError::ZeroDigest) for a digest of zeros;
    /// [`InputError::CurveMismatch`](crate::error::InputError::CurveMismatch) if key, signature and digest do not
    /// belong together; every [`Error`] of an exchange.
    pub async fn verify(
        &mut self,
        key: &PublicKey,
        signature: &Signature,
        digest: &[u8],
    ) -> Result<bool, Error<I2C::Error>> {
        let command = Command::VerifySignature {
            curve: key.curve(),
            key: key.point(),
            signature: signature.rs(),
            digest,
        };
        self.run(command, |data| Ok(parse_verdict(data)?)).await
    }

    /// Verifies another entity's signature over the last [`Self::challenge`] with the key of the public key slot.
    ///
    /// What exactly the chip hashes is not public; this command follows ST's host code but was never seen to succeed on
    /// a real chip by the authors.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn verify_entity(&mut self, signature: &Signature) -> Result<bool, Error<I2C::Error>> {
        self.run(Command::VerifyEntitySignature(signature.rs()), |data| Ok(parse_verdict(data)?)).await
    }

    /// Makes a key pair in `slot` and gives the public key. A key that was there is lost.
    ///
    /// `use_limit` is how often the key may be used, 0xFFFF for no limit.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn generate_key_pair(
        &mut self,
        slot: u8,
        curve: Curve,
        mode: KeyMode,
        use_limit: u16,
        _: Irreversible,
    ) -> Result<PublicKey, Error<I2C::Error>> {
        self.run(Command::GenerateKeyPair { slot, use_limit, mode, curve }, |data| {
            let point = parse_point(data)?;
            let expected = 1 + 2 * (2 + curve.field_len());
            PublicKey::new(curve, point.x, point.y).map_err(|_| unexpected_length(expected, data.len()))
        })
        .await
    }

    /// Makes a local envelope key in an empty slot. It stays for the chip's life.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn generate_envelope_key(
        &mut self,
        slot: u8,
        kind: EnvelopeKeyKind,
        _: Irreversible,
    ) -> Result<(), Error<I2C::Error>> {
        self.order(Command::GenerateEnvelopeKey { slot, kind, seed: &[] }).await
    }
}

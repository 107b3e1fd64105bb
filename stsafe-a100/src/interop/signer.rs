//! A slot's private key as the `signature` traits see one, for `ecdsa` signatures of any curve.

use ecdsa::{DigestAlgorithm, EcdsaCurve, SignatureSize};
use signature::digest::Digest as _;
use signature::hazmat::{AsyncPrehashSigner, PrehashSigner};
use signature::{AsyncSigner, Error, Signer};

use crate::channel::Channel;
use crate::curve::Signature;
use crate::{asynch, blocking};

/// The chip signs digests as long as the curve's field; the `signature` error has no room for a cause.
fn to_ecdsa<C: EcdsaCurve, E>(result: Result<Signature, E>) -> Result<ecdsa::Signature<C>, Error>
where
    SignatureSize<C>: ecdsa::elliptic_curve::array::ArraySize,
{
    let signature = result.map_err(|_| Error::new())?;
    ecdsa::Signature::from_slice(signature.to_bytes())
}

impl<I2C, D, S, C> PrehashSigner<ecdsa::Signature<C>> for blocking::SlotKey<'_, I2C, D, S>
where
    I2C: embedded_hal::i2c::I2c,
    D: embedded_hal::delay::DelayNs,
    S: Channel,
    C: EcdsaCurve,
    SignatureSize<C>: ecdsa::elliptic_curve::array::ArraySize,
{
    fn sign_prehash(&self, prehash: &[u8]) -> Result<ecdsa::Signature<C>, Error> {
        to_ecdsa(self.sign_digest(prehash))
    }
}

impl<I2C, D, S, C> Signer<ecdsa::Signature<C>> for blocking::SlotKey<'_, I2C, D, S>
where
    I2C: embedded_hal::i2c::I2c,
    D: embedded_hal::delay::DelayNs,
    S: Channel,
    C: DigestAlgorithm,
    SignatureSize<C>: ecdsa::elliptic_curve::array::ArraySize,
{
    fn try_sign(&self, message: &[u8]) -> Result<ecdsa::Signature<C>, Error> {
        to_ecdsa(self.sign_digest(&C::Digest::digest(message)))
    }
}

impl<I2C, D, S, C> AsyncPrehashSigner<ecdsa::Signature<C>> for asynch::SlotKey<'_, I2C, D, S>
where
    I2C: embedded_hal_async::i2c::I2c,
    D: embedded_hal_async::delay::DelayNs,
    S: Channel,
    C: EcdsaCurve,
    SignatureSize<C>: ecdsa::elliptic_curve::array::ArraySize,
{
    async fn sign_prehash_async(&self, prehash: &[u8]) -> Result<ecdsa::Signature<C>, Error> {
        to_ecdsa(self.sign_digest(prehash).await)
    }
}

impl<I2C, D, S, C> AsyncSigner<ecdsa::Signature<C>> for asynch::SlotKey<'_, I2C, D, S>
where
    I2C: embedded_hal_async::i2c::I2c,
    D: embedded_hal_async::delay::DelayNs,
    S: Channel,
    C: DigestAlgorithm,
    SignatureSize<C>: ecdsa::elliptic_curve::array::ArraySize,
{
    async fn sign_async(&self, message: &[u8]) -> Result<ecdsa::Signature<C>, Error> {
        to_ecdsa(self.sign_digest(&C::Digest::digest(message)).await)
    }
}

//! A private key in a slot, as something other crates can sign with.

use core::cell::RefCell;

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use crate::channel::{Channel, Plain};
use crate::curve::Signature;
use crate::error::{Error, InputError};

/// A private key of the chip, behind the signing traits of the `signature` crate: a TLS client key, for example.
///
/// The traits' error carries no cause; [`sign_digest`](Self::sign_digest) does.
pub struct SlotKey<'c, I2C, D, S = Plain> {
    chip: RefCell<&'c mut Stsafe<I2C, D, S>>,
    slot: u8,
}

impl<I2C, D, S> core::fmt::Debug for SlotKey<'_, I2C, D, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SlotKey").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl<I2C, D, S> Stsafe<I2C, D, S> {
    /// The private key in `slot`, to sign with.
    pub fn slot_key(&mut self, slot: u8) -> SlotKey<'_, I2C, D, S> {
        SlotKey { chip: RefCell::new(self), slot }
    }
}

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> SlotKey<'_, I2C, D, S> {
    /// Signs a digest as long as the curve's field.
    ///
    /// # Errors
    /// As [`Stsafe::sign`]; [`InputError::Busy`] if another signature of this key is under way.
    // A second borrow fails as `Busy` instead of panicking, so one held while waiting does no harm.
    #[allow(clippy::await_holding_refcell_ref)]
    pub async fn sign_digest(&self, digest: &[u8]) -> Result<Signature, Error<I2C::Error>> {
        let mut chip = self.chip.try_borrow_mut().map_err(|_| InputError::Busy)?;
        chip.sign(self.slot, digest).await
    }
}

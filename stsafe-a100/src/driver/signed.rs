//! Signature sessions: the chip signs the traffic between start and end, and the host knows what it signed.

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use crate::channel::{Channel, SessionDigest, Signed};
use crate::codec::len16;
use crate::command::Command;
use crate::curve::{Curve, Signature};
use crate::error::{Error, InputError, ProtocolError};
use crate::response::parse_signature;

/// What a signature session ends with. The signature is the chip's claim: verify it over the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSignature {
    /// The chip's signature.
    pub signature: Signature,
    /// What it must be a signature over: the hash of the session as this host saw it.
    pub digest: SessionDigest,
}

impl<I2C, D, S> Stsafe<I2C, D, S> {
    /// Prepares a signature session with a key of this curve. Nothing is sent; [`start`](Stsafe::start) starts it.
    pub fn signature_session(self, curve: Curve) -> Stsafe<I2C, D, Signed<S>> {
        self.map(|inner| Signed::new(inner, curve))
    }
}

impl<I2C, D, S> Stsafe<I2C, D, Signed<S>> {
    /// Leaves the signature session. If [`finish`](Stsafe::finish) was not called, the chip's side stays open until its
    /// next reset or session.
    pub fn leave(self) -> Stsafe<I2C, D, S> {
        self.map(Signed::into_inner)
    }
}

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> Stsafe<I2C, D, Signed<S>> {
    /// Starts the session with the private key in `slot`. From here every command and response is signed.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn start(&mut self, slot: u8) -> Result<(), Error<I2C::Error>> {
        self.order(Command::StartSignatureSession { slot }).await
    }

    /// Ends the session: the chip signs everything since its start and the host's `challenge` (which may be empty).
    ///
    /// # Errors
    /// [`InputError::NoSignatureSession`] if none was started, or if an exchange in it failed; every [`Error`] of an
    /// exchange.
    pub async fn finish(&mut self, challenge: &[u8]) -> Result<SessionSignature, Error<I2C::Error>> {
        if !self.channel.is_running() {
            return Err(InputError::NoSignatureSession.into());
        }
        let signature = self
            .run(Command::GetSignature { challenge }, |data| {
                let rs = parse_signature(data)?;
                Ok(Signature::new(rs.r, rs.s)?)
            })
            .await?;
        let digest = self.channel.take_digest().ok_or(InputError::NoSignatureSession)?;
        if signature.field_len() != digest.as_bytes().len() {
            return Err(ProtocolError::DataLength {
                expected: len16(2 * (2 + digest.as_bytes().len())),
                actual: len16(2 * (2 + signature.field_len())),
            }
            .into());
        }
        Ok(SessionSignature { signature, digest })
    }
}

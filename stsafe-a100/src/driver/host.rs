//! The host session: opening, closing, and the commands that exist only in it.

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use super::commands::{copy, unexpected_length};
use crate::channel::{Channel, Host, HostChannel, HostOptions, LastCommand, MaybeHost, Plain, Scope};
use crate::command::{Command, ENVELOPE_OVERHEAD};
use crate::crypto::{HostCrypto, SoftCrypto};
use crate::curve::PublicKey;
use crate::error::{Error, InputError};
use crate::mac::{Counter, HostKeys};
use crate::response::parse_shared_secret;
use crate::secret::SharedSecret;

impl<I2C, D> Stsafe<I2C, D, Plain> {
    /// Opens a host session: every command MACed both ways, AES in software. Nothing is sent; the first command asks
    /// for the counter. Any counter is taken: use [`Self::host_session_since`] where somebody may reach the bus.
    pub fn host_session(self, keys: HostKeys) -> Stsafe<I2C, D, Host> {
        self.host_session_with(keys, SoftCrypto, HostOptions::default())
    }

    /// Opens a host session with other options, or another AES.
    pub fn host_session_with<C: HostCrypto>(
        self,
        keys: HostKeys,
        crypto: C,
        options: HostOptions,
    ) -> Stsafe<I2C, D, Host<C>> {
        self.map(|Plain| Host::new(keys, crypto, options))
    }

    /// Opens a host session if there are keys, and goes on without one if not: a single type for both. `lowest` is the
    /// counter that the host has remembered for these keys ([`HostOptions::lowest`]).
    pub fn host_session_if(
        self,
        keys: Option<HostKeys>,
        lowest: Option<Counter>,
    ) -> Stsafe<I2C, D, MaybeHost> {
        let options = HostOptions { lowest, ..HostOptions::default() };
        self.map(|Plain| MaybeHost(keys.map(|keys| Host::new(keys, SoftCrypto, options))))
    }
}

impl<I2C, D, C: HostCrypto> Stsafe<I2C, D, Host<C>> {
    /// Ends the host session; its keys are wiped.
    pub fn close(self) -> Stsafe<I2C, D, Plain> {
        self.map(|_| Plain)
    }

    /// The counter the next command will take; `None` if the chip must be asked first.
    pub fn counter(&self) -> Option<Counter> {
        self.channel.counter()
    }
}

impl<I2C, D, C: HostCrypto> Stsafe<I2C, D, MaybeHost<C>> {
    /// Ends the host session, if there is one; its keys are wiped.
    pub fn close(self) -> Stsafe<I2C, D, Plain> {
        self.map(|_| Plain)
    }
}

impl<I2C, D, S: HostChannel> Stsafe<I2C, D, S> {
    /// Which commands carry MACs from now on.
    pub fn set_scope(&mut self, scope: Scope) {
        self.channel.set_scope(scope);
    }
}

#[front]
impl<I2C: I2c, D: DelayNs, S: HostChannel> Stsafe<I2C, D, S> {
    /// Asks the chip for its counter and tells what became of the last command, for use after an error whose
    /// [`outcome_unknown`](Error::outcome_unknown) is set.
    ///
    /// The counter is not authenticated: somebody on the bus can make the answer wrong, or hold the command back and
    /// have it executed afterwards. [`Self::settle`] gives an answer that holds.
    ///
    /// # Errors
    /// [`CryptoError`](crate::error::CryptoError) if the chip has no host keys or its counter is used up; every
    /// [`Error`] of an exchange.
    pub async fn resync(&mut self) -> Result<LastCommand, Error<I2C::Error>> {
        let slot = self.read_counter().await?;
        Ok(self.channel.resync(slot)?)
    }

    /// Tells what became of the last command, for good: asks for the counter as [`Self::resync`] does, and then sends
    /// an echo with MACs. When its answer is there, the counter the chip told was the real one, and a command that was
    /// made with it or before can never be executed any more.
    ///
    /// # Errors
    /// As [`Self::resync`]. Then nothing is proven.
    pub async fn settle(&mut self) -> Result<LastCommand, Error<I2C::Error>> {
        let last = self.resync().await?;
        self.echo(&[0x55]).await?;
        Ok(last)
    }

    /// Encrypts `data` under the local envelope key in `slot` and gives the envelope's length, 8 bytes more. The data
    /// travel encrypted.
    ///
    /// # Errors
    /// [`InputError::Length`] unless `data` is 16 to 480 bytes and a multiple of 8 (pad before);
    /// [`InputError::TooLong`] if the envelope does not fit into `envelope`; every [`Error`] of an exchange.
    pub async fn wrap(
        &mut self,
        slot: u8,
        data: &[u8],
        envelope: &mut [u8],
    ) -> Result<usize, Error<I2C::Error>> {
        self.wrap_envelope(slot, data, envelope).await
    }

    /// Decrypts an envelope with the local envelope key in `slot` and gives the content's length, 8 bytes less. The
    /// content travels encrypted.
    ///
    /// # Errors
    /// [`InputError::Length`] if no envelope is that long; [`InputError::TooLong`] if the content does not fit into
    /// `data`; every [`Error`] of an exchange.
    pub async fn unwrap(
        &mut self,
        slot: u8,
        envelope: &[u8],
        data: &mut [u8],
    ) -> Result<usize, Error<I2C::Error>> {
        self.unwrap_envelope(slot, envelope, data).await
    }

    /// Computes the ECDH secret of the key in `slot` and the peer's key. It travels encrypted.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn establish_key(
        &mut self,
        slot: u8,
        peer: &PublicKey,
    ) -> Result<SharedSecret, Error<I2C::Error>> {
        let expected = peer.curve().field_len();
        self.run(Command::EstablishKey { slot, peer: peer.point() }, |data| {
            let secret = parse_shared_secret(data)?;
            if secret.len() != expected {
                return Err(unexpected_length(2 + expected, data.len()));
            }
            Ok(SharedSecret::new(secret))
        })
        .await
    }
}

/// What needs a host session, for those who know that there is one.
#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> Stsafe<I2C, D, S> {
    pub(crate) async fn wrap_envelope(
        &mut self,
        slot: u8,
        data: &[u8],
        envelope: &mut [u8],
    ) -> Result<usize, Error<I2C::Error>> {
        let len = data.len() + ENVELOPE_OVERHEAD;
        let out = window(envelope, len)?;
        self.run(Command::WrapLocalEnvelope { slot, data }, |envelope| copy(envelope, out)).await?;
        Ok(len)
    }

    pub(crate) async fn unwrap_envelope(
        &mut self,
        slot: u8,
        envelope: &[u8],
        data: &mut [u8],
    ) -> Result<usize, Error<I2C::Error>> {
        let len = envelope.len().saturating_sub(ENVELOPE_OVERHEAD);
        let out = window(data, len)?;
        self.run(Command::UnwrapLocalEnvelope { slot, envelope }, |data| copy(data, out)).await?;
        Ok(len)
    }
}

/// The first `len` bytes of the caller's buffer.
fn window(out: &mut [u8], len: usize) -> Result<&mut [u8], InputError> {
    let max = crate::codec::len16(out.len());
    out.get_mut(..len).ok_or(InputError::TooLong { max })
}

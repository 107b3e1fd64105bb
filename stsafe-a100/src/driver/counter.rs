//! The host's memory of the C-MAC counter.

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use crate::channel::{Channel, Host, HostOptions, Plain, Protection};
use crate::crypto::SoftCrypto;
use crate::mac::{Counter, HostKeys};

/// Non-volatile memory of the host for the C-MAC counter of its chip.
///
/// The chip tells its counter without a MAC. A host that takes any can be shown a session that was recorded before,
/// without a chip on the bus. One that remembers the counter after the last command whose response it has checked, and
/// refuses a lower one, cannot.
///
/// Forget what is stored when the host keys change: a new chip begins at zero.
#[front]
#[allow(async_fn_in_trait, reason = "drivers are used on single-core executors")]
pub trait CounterStore {
    /// Why it cannot be read or written.
    type Error;

    /// The lowest counter the chip may tell; `None` if nothing was stored for these host keys yet.
    ///
    /// # Errors
    /// The memory's own. Then do not open a session: without the counter it is not protected against replay.
    async fn lowest(&mut self) -> Result<Option<Counter>, Self::Error>;

    /// Stores a lowest counter, so that it survives a power cut when this returns. Interrupted, the one before counts,
    /// or this one; never a higher one, which would lock the chip out.
    ///
    /// # Errors
    /// The memory's own.
    async fn raise(&mut self, lowest: Counter) -> Result<(), Self::Error>;
}

impl<I2C, D, S: Protection> Stsafe<I2C, D, S> {
    /// The counter after the last command whose response was checked, or what the session began with: what a later
    /// session may not go below. `None` outside a host session, and before its first command if nothing was remembered.
    pub fn lowest_counter(&self) -> Option<Counter> {
        self.channel().lowest_counter()
    }
}

#[front]
impl<I2C: I2c, D: DelayNs> Stsafe<I2C, D, Plain> {
    /// Opens a host session that accepts no counter below the stored one. Nothing is sent.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn host_session_since<M: CounterStore>(
        self,
        keys: HostKeys,
        store: &mut M,
    ) -> Result<Stsafe<I2C, D, Host>, M::Error> {
        let options = HostOptions { lowest: store.lowest().await?, ..HostOptions::default() };
        Ok(self.host_session_with(keys, SoftCrypto, options))
    }
}

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel + Protection> Stsafe<I2C, D, S> {
    /// Stores the counter, if this session has brought it forward. Call it before acting on what was read, and before
    /// reporting what was changed: recordings of the session up to here are worthless then.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn save_counter<M: CounterStore>(&self, store: &mut M) -> Result<(), M::Error> {
        let stored = store.lowest().await?;
        match self.lowest_counter() {
            Some(lowest) if stored.is_none_or(|stored| stored < lowest) => store.raise(lowest).await,
            _ => Ok(()),
        }
    }
}

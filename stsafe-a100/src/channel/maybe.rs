//! A host session or none, decided while the program runs: one driver, compiled once, serves both.

use super::host::HostPending;
use super::{Channel, Fault, Host, Plain, Protection, Scope, sealed};
use crate::crypto::{HostCrypto, SoftCrypto};
use crate::error::CryptoError;
use crate::frame::CrcMode;
use crate::mac::Counter;
use crate::response::HostKeySlot;
use crate::rules::Rule;
use crate::zone::MAX_UPDATE_MACED;

/// A host session, or none yet. Its keys are wiped when it ends.
///
/// For firmware that learns only at start-up whether its chip is paired. What a host session alone can do (wrap,
/// unwrap, establish a key) is not offered in this state; a vault uses it where it has keys.
#[derive(Debug)]
pub struct MaybeHost<C: HostCrypto = SoftCrypto>(pub(crate) Option<Host<C>>);

impl<C: HostCrypto> sealed::Sealed for MaybeHost<C> {}

impl<C: HostCrypto> Channel for MaybeHost<C> {
    /// `None` for a command without MACs.
    type Pending = Option<HostPending<C>>;

    const MAX_UPDATE: usize = MAX_UPDATE_MACED;

    fn wants_counter(&self, rule: Rule) -> bool {
        self.0.as_ref().is_some_and(|host| host.wants_counter(rule))
    }

    fn set_counter(&mut self, slot: HostKeySlot) -> Result<(), CryptoError> {
        self.0.as_mut().map_or(Ok(()), |host| host.set_counter(slot))
    }

    fn seal(
        &mut self,
        rule: Rule,
        frame: &mut [u8],
        len: usize,
        crc: CrcMode,
    ) -> Result<(usize, Self::Pending), Fault> {
        match &mut self.0 {
            Some(host) => host.seal(rule, frame, len, crc),
            None => Plain.seal(rule, frame, len, crc).map(|(len, ())| (len, None)),
        }
    }

    fn not_sent(&mut self, pending: Self::Pending) {
        if let Some(host) = &mut self.0 {
            host.not_sent(pending);
        }
    }

    fn sent(&mut self, _: &[u8]) {}

    fn received(&mut self, _: u8, _: &[u8]) {}

    fn open(
        &mut self,
        pending: Self::Pending,
        rule: Rule,
        frame: &mut [u8],
        crc: CrcMode,
    ) -> Result<usize, Fault> {
        match &mut self.0 {
            Some(host) => host.open(pending, rule, frame, crc),
            None => Plain.open((), rule, frame, crc),
        }
    }
}

impl<C: HostCrypto> Protection for MaybeHost<C> {
    fn is_sealed(&self) -> bool {
        self.0.is_some()
    }

    fn set_scope(&mut self, scope: Scope) {
        if let Some(host) = &mut self.0 {
            Protection::set_scope(host, scope);
        }
    }

    fn lowest_counter(&self) -> Option<Counter> {
        self.0.as_ref().and_then(Protection::lowest_counter)
    }
}

//! The host session: C-MAC on every command in scope, R-MAC on its response, encryption where the chip's rules
//! demand it.

use super::{Channel, Fault, HostChannel, Protection, open_plain, sealed};
use crate::code::Code;
use crate::crypto::{HostCrypto, SoftCrypto};
use crate::error::{CryptoError, InputError, ProtocolError};
use crate::frame::{CrcMode, Header, Mac, ResponseFrame, seal_command};
use crate::mac::{Counter, Direction, HostKeys, ResponseMac, c_mac, decrypt, encrypt};
use crate::response::HostKeySlot;
use crate::rules::Rule;
use crate::zone::MAX_UPDATE_MACED;

/// Which commands carry MACs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Scope {
    /// Every command.
    #[default]
    All,
    /// All but Read and Query (unless the chip demands it of them, too): what changes something, what is encrypted,
    /// random numbers. For data that carry their own proof, such as a vault's envelopes; it spends far fewer values of
    /// the counter. What Read and Query answer is not authenticated then.
    Changes,
    /// Only those the chip refuses without: wrap, unwrap, establish key, on an A110 what its table says. Zones travel
    /// unprotected, as the original AZ3166 firmware does it.
    Encrypted,
}

/// Where the C-MAC counter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CounterPolicy {
    /// Asked for once and counted along; asked for again after an exchange with an unknown outcome or a refused MAC.
    #[default]
    Cached,
    /// Asked for before every MACed command: one exchange more each.
    ReadEach,
}

/// How a host session behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HostOptions {
    /// Whether responses must carry an R-MAC. Without it responses are not authenticated.
    pub r_mac: bool,
    /// Which commands carry MACs.
    pub scope: Scope,
    /// Where the C-MAC counter comes from.
    pub policy: CounterPolicy,
    /// The counter, if known from before; otherwise the chip is asked.
    pub counter: Option<Counter>,
    /// The lowest counter the chip may tell: see [`CounterStore`](crate::blocking::CounterStore). Without it a session
    /// that somebody recorded can be replayed to this one.
    pub lowest: Option<Counter>,
}

impl Default for HostOptions {
    /// Everything MACed both ways, counter asked for once.
    fn default() -> Self {
        Self { r_mac: true, scope: Scope::All, policy: CounterPolicy::Cached, counter: None, lowest: None }
    }
}

/// What became of the last MACed command, as told by the chip's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LastCommand {
    /// Its response was seen and checked, or there was no command.
    Settled,
    /// The counter stands where it stood: the chip did not accept it.
    NotAccepted,
    /// The counter has moved by one: the chip accepted its C-MAC. Whether it then refused the command is not known.
    Accepted,
    /// The counter stands elsewhere: somebody else uses the host keys.
    Unknown,
}

/// What is known of the chip's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// Nothing.
    Unknown,
    /// A command was made with this counter and its outcome is not known.
    InDoubt(Counter),
    /// The next command takes this counter; `None` if there is none left.
    Known(Option<Counter>),
}

/// A host session with the keys in it. The keys are wiped when it ends.
#[derive(Debug)]
pub struct Host<C: HostCrypto = SoftCrypto> {
    keys: HostKeys,
    crypto: C,
    r_mac: bool,
    scope: Scope,
    policy: CounterPolicy,
    sync: Sync,
    /// The counter after the last command whose response was checked, or what the host remembers of it: the chip may
    /// never tell a lower one.
    lowest: Option<Counter>,
}

impl<C: HostCrypto> Host<C> {
    pub(crate) fn new(keys: HostKeys, crypto: C, options: HostOptions) -> Self {
        let HostOptions { r_mac, scope, policy, counter, lowest } = options;
        let sync = counter.map_or(Sync::Unknown, |counter| Sync::Known(Some(counter)));
        Self { keys, crypto, r_mac, scope, policy, sync, lowest }
    }

    /// The counter the next command will take; `None` if the chip must be asked first.
    #[must_use]
    pub fn counter(&self) -> Option<Counter> {
        match self.sync {
            Sync::Known(counter) => counter,
            Sync::Unknown | Sync::InDoubt(_) => None,
        }
    }

    fn covers(&self, rule: Rule) -> bool {
        rule.needs_host()
            || match self.scope {
                Scope::All => true,
                Scope::Changes => !matches!(rule.code, Code::Read | Code::Query),
                Scope::Encrypted => false,
            }
    }

    fn accept(&mut self, slot: HostKeySlot) -> Result<Counter, CryptoError> {
        match slot {
            HostKeySlot::Empty => Err(CryptoError::NoHostKeys),
            HostKeySlot::Present { counter } => {
                let counter = counter.ok_or(CryptoError::CounterExhausted)?;
                if self.lowest.is_some_and(|lowest| counter < lowest) {
                    return Err(CryptoError::CounterWentBack);
                }
                self.sync = Sync::Known(Some(counter));
                Ok(counter)
            }
        }
    }
}

/// A MACed command under way.
pub struct HostPending<C: HostCrypto> {
    n: Counter,
    r_mac: Option<ResponseMac<C>>,
}

impl<C: HostCrypto> core::fmt::Debug for HostPending<C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HostPending").field("n", &self.n).finish_non_exhaustive()
    }
}

impl<C: HostCrypto> sealed::Sealed for Host<C> {}

impl<C: HostCrypto> Channel for Host<C> {
    /// `None` for a command out of scope.
    type Pending = Option<HostPending<C>>;

    const MAX_UPDATE: usize = MAX_UPDATE_MACED;

    fn wants_counter(&self, rule: Rule) -> bool {
        self.covers(rule) && (self.policy == CounterPolicy::ReadEach || !matches!(self.sync, Sync::Known(_)))
    }

    fn set_counter(&mut self, slot: HostKeySlot) -> Result<(), CryptoError> {
        self.accept(slot).map(|_| ())
    }

    fn seal(
        &mut self,
        rule: Rule,
        frame: &mut [u8],
        len: usize,
        crc: CrcMode,
    ) -> Result<(usize, Self::Pending), Fault> {
        if !self.covers(rule) {
            return Ok((seal_command(frame, Header::plain(rule.code.bits()), len, None, crc)?, None));
        }
        let Sync::Known(Some(n)) = self.sync else {
            return Err(CryptoError::CounterExhausted.into());
        };
        let header = Header::host(rule.code.bits(), self.r_mac);
        let too_long = InputError::TooLong { max: 0 };
        let room = frame.get_mut(1..).ok_or(too_long)?;
        let len = if rule.encryption.command {
            encrypt(&mut self.crypto, &self.keys, n, Direction::Command, room, len)?
        } else {
            len
        };
        let data = room.get(..len).ok_or(too_long)?;
        let mac = c_mac(&mut self.crypto, &self.keys, n, header, data);
        let r_mac = self.r_mac.then(|| ResponseMac::start(&mut self.crypto, &self.keys, n, header, data));
        let total = seal_command(frame, header, len, Some(mac), crc)?;
        self.sync = Sync::InDoubt(n);
        Ok((total, Some(HostPending { n, r_mac })))
    }

    fn not_sent(&mut self, pending: Self::Pending) {
        if let Some(pending) = pending {
            self.sync = Sync::Known(Some(pending.n));
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
        let Some(HostPending { n, r_mac }) = pending else {
            return open_plain(frame, crc);
        };
        let response = ResponseFrame::parse(frame, crc)?;
        match (r_mac, response.mac) {
            (Some(expected), Some(mac)) => {
                let expected: Mac = expected.finish(&mut self.crypto, response.header_byte(), response.data);
                if expected != mac {
                    return Err(CryptoError::ResponseMac.into());
                }
            }
            (None, Some(_)) => return Err(ProtocolError::UnexpectedMac.into()),
            (Some(_), None) if response.status.is_ok() => return Err(ProtocolError::MissingMac.into()),
            (_, None) => {}
        }
        let (status, len) = (response.status, response.data.len());
        if response.mac.is_some() {
            self.lowest = n.next().or(Some(n));
        }
        self.sync = if status.is_frame_refused() { Sync::Unknown } else { Sync::Known(n.next()) };
        if !status.is_ok() {
            return Err(Fault::Device(status));
        }
        if !rule.encryption.response {
            return Ok(len);
        }
        let data = frame.get_mut(3..3 + len).ok_or(CryptoError::Padding)?;
        Ok(decrypt(&mut self.crypto, &self.keys, n, Direction::Response, data)?)
    }
}

impl<C: HostCrypto> Protection for Host<C> {
    fn is_sealed(&self) -> bool {
        true
    }

    fn set_scope(&mut self, scope: Scope) {
        self.scope = scope;
    }

    fn lowest_counter(&self) -> Option<Counter> {
        self.lowest
    }
}

impl<C: HostCrypto> HostChannel for Host<C> {
    fn resync(&mut self, slot: HostKeySlot) -> Result<LastCommand, CryptoError> {
        let before = self.sync;
        let now = self.accept(slot)?;
        Ok(match before {
            Sync::InDoubt(n) if now == n => LastCommand::NotAccepted,
            Sync::InDoubt(n) if Some(now) == n.next() => LastCommand::Accepted,
            Sync::Known(Some(n)) if now == n => LastCommand::Settled,
            Sync::InDoubt(_) | Sync::Known(_) => LastCommand::Unknown,
            Sync::Unknown => LastCommand::Settled,
        })
    }

    fn set_scope(&mut self, scope: Scope) {
        self.scope = scope;
    }
}

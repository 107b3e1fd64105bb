//! The host keys of the secure channel, and the channel's counter, kept in a flash area of their own.
//!
//! Pairing cannot be undone: a chip whose host keys are lost keeps what is sealed in it to itself for good. So the
//! keys are written, read back and compared before the chip gets them. The area is a log of records; nothing is erased
//! until it is full and new keys are to be kept. Records of 64 bytes:
//!
//! | bytes | host keys | state | counters |
//! |---|---|---|---|
//! | 0..4 | `SAHK` | `SAST` | `SACN` |
//! | 4..36 | the keys for MACs and for encryption | the state, and zeros | 4..8: zeros |
//! | 36..44 | zeros | zeros | 8..64: seven counters as they come, 8 bytes each: |
//! | 44..48 | CRC-32 of all before, little-endian | the same | the counter and its complement, little-endian |
//! | 48..64 | erased, or the note | erased | |
//!
//! The note: the chip has the keys, and all settings are sealed. States: 1, settings are being unsealed; 2, they are
//! in clear; 3, the keys are given up.
//!
//! The last whole record of host keys counts, with the state and the highest counter behind it. When the power fails
//! while a record or a counter is written, its checksum or complement is wrong and the one before counts. When it
//! fails later, the next start asks the chip whether it has keys: if so, it finishes the pairing; if not, the device
//! is not paired.
//!
//! The counter is how a replayed session is recognised (see `stsafe_a100::asynch::CounterStore`). Every start writes
//! one, and every change of a setting, until only [`SPARE`] records are left: those are for changes.
//!
//! What this does not do: whoever reads the flash (a debugger on a microcontroller without read protection, RDP) has
//! the keys; whoever erases the area makes the sealed settings unreadable.

use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use stsafe_a100::asynch::CounterStore;
use stsafe_a100::session::{Counter, HostKeys};
use zeroize::Zeroizing;

/// Bytes of a record: the flash area has room for at least one.
pub const RECORD_LEN: usize = 64;
/// Records that starts leave to changes.
pub const SPARE: usize = 8;
/// Bytes of it that are written first.
const BODY_LEN: usize = 48;
/// Where in a record it says that the chip has the keys: behind what is written first.
const NOTE: u32 = 48;
/// What the records begin with.
const KEYS: [u8; 4] = *b"SAHK";
const STATE: [u8; 4] = *b"SAST";
const COUNTERS: [u8; 8] = *b"SACN\0\0\0\0";
/// Bytes of a counter.
const COUNTER_LEN: usize = 8;
/// How often another place is tried when a counter reads back differently.
const ATTEMPTS: usize = 4;
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// How the settings in the chip are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Sealed, or about to be.
    Sealed,
    /// They are being stored in clear again.
    Unsealing,
    /// In clear, although the chip has the keys.
    Clear,
}

/// Host keys as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKeys {
    /// The keys.
    pub keys: HostKeys,
    /// Whether the chip is known to have them, and to have sealed everything. Otherwise a pairing was interrupted.
    pub paired: bool,
    /// Whether the settings are sealed.
    pub sealing: Sealing,
    /// The lowest counter the chip may report.
    pub lowest: Option<Counter>,
}

/// Why host keys cannot be read or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKeyError {
    /// This device has no flash area for them, or it is full.
    NoRoom,
    /// The flash fails.
    Flash(NorFlashErrorKind),
    /// What was written reads back differently.
    NotWritten,
}

impl HostKeyError {
    /// The text for the user.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoRoom => "the device has no storage for the key of the secure channel",
            Self::Flash(_) => "the flash memory with the key of the secure channel cannot be accessed",
            Self::NotWritten => "the key of the secure channel reads back differently",
        }
    }
}

impl fmt::Display for HostKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for HostKeyError {}

/// Host keys in a flash area that nothing else uses.
#[derive(Debug)]
pub struct HostKeyStore<F>(F);

/// What is in the area.
struct Found {
    /// The last whole record of keys with what was found behind it, and where it is.
    newest: Option<(u32, StoredKeys)>,
    /// Where the next record goes; `None` if the area is full.
    free: Option<u32>,
    /// Where the next counter goes, if there is room for one in the last record.
    next_counter: Option<u32>,
}

impl<F: NorFlash> HostKeyStore<F> {
    /// The store in this area. Its length is a multiple of what is erased at once; a record is written 8 bytes at a
    /// time or in smaller steps.
    pub const fn new(flash: F) -> Self {
        const { assert!(8 % F::WRITE_SIZE == 0 && 8 % F::READ_SIZE == 0) };
        Self(flash)
    }

    /// The keys, if there are any.
    ///
    /// # Errors
    /// [`HostKeyError::Flash`].
    pub async fn read(&mut self) -> Result<Option<StoredKeys>, HostKeyError> {
        Ok(self.find().await?.newest.map(|(_, stored)| stored))
    }

    /// Keeps keys that the chip is going to get. Keys from before are superseded: ask the chip first whether it has
    /// some.
    ///
    /// # Errors
    /// [`HostKeyError`]; the keys from before then count, unless the area was full.
    pub async fn keep(&mut self, keys: &HostKeys) -> Result<(), HostKeyError> {
        let length = self.0.capacity();
        if length < RECORD_LEN {
            return Err(HostKeyError::NoRoom);
        }
        let found = self.find().await?;
        let is_fresh = |stored: &StoredKeys| !stored.paired && stored.lowest.is_none();
        if found.newest.is_some_and(|(_, stored)| stored.keys == *keys && is_fresh(&stored)) {
            return Ok(());
        }
        if found.free.is_none() {
            self.0.erase(0, u32::try_from(length).unwrap_or(u32::MAX)).await.map_err(failed)?;
        }
        let at = found.free.unwrap_or(0);
        self.0.write(at, &*keys_body(keys)).await.map_err(failed)?;
        let record = self.record(at).await?;
        match parse(&record) {
            Record::Keys(stored) if stored.keys == *keys && !stored.paired => Ok(()),
            _ => Err(HostKeyError::NotWritten),
        }
    }

    /// Notes that the chip has the keys, and that everything in it is sealed.
    ///
    /// # Errors
    /// [`HostKeyError::Flash`]. The keys stay.
    pub async fn confirm(&mut self) -> Result<(), HostKeyError> {
        match self.find().await?.newest {
            Some((at, stored)) if !stored.paired => {
                self.0.write(at.saturating_add(NOTE), &[0; RECORD_LEN - BODY_LEN]).await.map_err(failed)
            }
            _ => Ok(()),
        }
    }

    /// Notes that the settings are being unsealed, or are in clear.
    ///
    /// # Errors
    /// [`HostKeyError`].
    pub async fn set_sealing(&mut self, sealing: Sealing) -> Result<(), HostKeyError> {
        if self.read().await?.is_some_and(|stored| stored.sealing == sealing) {
            return Ok(());
        }
        match sealing {
            // What keys begin with.
            Sealing::Sealed => Ok(()),
            Sealing::Unsealing => self.append_state(1).await,
            Sealing::Clear => self.append_state(2).await,
        }
    }

    /// Gives the keys up. What is sealed under them can never be read again.
    ///
    /// # Errors
    /// [`HostKeyError`].
    pub async fn forget(&mut self) -> Result<(), HostKeyError> {
        if self.read().await?.is_none() { Ok(()) } else { self.append_state(3).await }
    }

    /// Whether so little room is left that starts should not write their counter any more.
    ///
    /// # Errors
    /// [`HostKeyError::Flash`].
    pub async fn is_almost_full(&mut self) -> Result<bool, HostKeyError> {
        let spare = SPARE * RECORD_LEN;
        let free = self.find().await?.free.map_or(self.0.capacity(), |at| at as usize);
        Ok(free + spare > self.0.capacity())
    }

    async fn append_state(&mut self, state: u8) -> Result<(), HostKeyError> {
        let at = self.find().await?.free.ok_or(HostKeyError::NoRoom)?;
        let mut body = Zeroizing::new([0; BODY_LEN]);
        body.iter_mut().zip(STATE.into_iter().chain([state])).for_each(|(to, from)| *to = from);
        add_checksum(&mut body);
        self.0.write(at, &*body).await.map_err(failed)?;
        match parse(&*self.record(at).await?) {
            Record::State(found) if found == state => Ok(()),
            _ => Err(HostKeyError::NotWritten),
        }
    }

    async fn append_counter(&mut self, counter: Counter) -> Result<(), HostKeyError> {
        let bytes = counter_bytes(counter);
        for _ in 0..ATTEMPTS {
            let found = self.find().await?;
            let at = match (found.next_counter, found.free) {
                (Some(at), _) => at,
                (None, Some(at)) => {
                    self.0.write(at, &COUNTERS).await.map_err(failed)?;
                    at.saturating_add(8)
                }
                (None, None) => return Err(HostKeyError::NoRoom),
            };
            self.0.write(at, &bytes).await.map_err(failed)?;
            let mut written = [0; COUNTER_LEN];
            self.0.read(at, &mut written).await.map_err(failed)?;
            // A cell that is worn out spoils one place; the next one is tried.
            if written == bytes && self.read().await?.is_some_and(|stored| stored.lowest == Some(counter)) {
                return Ok(());
            }
        }
        Err(HostKeyError::NotWritten)
    }

    async fn find(&mut self) -> Result<Found, HostKeyError> {
        let mut found = Found { newest: None, free: None, next_counter: None };
        for at in
            (0..self.0.capacity() / RECORD_LEN).map_while(|index| u32::try_from(index * RECORD_LEN).ok())
        {
            let record = self.record(at).await?;
            if record.iter().all(|byte| *byte == 0xFF) {
                found.free = Some(at);
                return Ok(found);
            }
            found.next_counter = None;
            match (parse(&record), &mut found.newest) {
                (Record::Keys(stored), newest) => *newest = Some((at, stored)),
                (Record::State(1), Some((_, stored))) => stored.sealing = Sealing::Unsealing,
                (Record::State(2), Some((_, stored))) => stored.sealing = Sealing::Clear,
                (Record::State(3), newest) => *newest = None,
                (Record::Counters, Some((_, stored))) => {
                    let highest = counters(&record).max();
                    stored.lowest = stored.lowest.max(highest);
                    found.next_counter = next_counter(&record).map(|offset| at.saturating_add(offset));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    async fn record(&mut self, at: u32) -> Result<Zeroizing<[u8; RECORD_LEN]>, HostKeyError> {
        let mut record = Zeroizing::new([0; RECORD_LEN]);
        self.0.read(at, &mut *record).await.map_err(failed)?;
        Ok(record)
    }
}

impl<F: NorFlash> CounterStore for HostKeyStore<F> {
    type Error = HostKeyError;

    async fn lowest(&mut self) -> Result<Option<Counter>, HostKeyError> {
        Ok(self.read().await?.and_then(|stored| stored.lowest))
    }

    async fn raise(&mut self, lowest: Counter) -> Result<(), HostKeyError> {
        self.append_counter(lowest).await
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn failed(error: impl NorFlashError) -> HostKeyError {
    HostKeyError::Flash(error.kind())
}

fn keys_body(keys: &HostKeys) -> Zeroizing<[u8; BODY_LEN]> {
    let mut body = Zeroizing::new([0; BODY_LEN]);
    let bytes = KEYS.iter().chain(keys.mac()).chain(keys.cipher());
    body.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    add_checksum(&mut body);
    body
}

fn add_checksum(body: &mut [u8; BODY_LEN]) {
    let (text, sum) = body.split_at_mut(BODY_LEN - 4);
    sum.copy_from_slice(&CRC.checksum(text).to_le_bytes());
}

/// What a record is.
enum Record {
    Keys(StoredKeys),
    State(u8),
    Counters,
    /// Not whole, or nothing of ours.
    Unknown,
}

fn parse(record: &[u8; RECORD_LEN]) -> Record {
    if record.starts_with(&COUNTERS) {
        return Record::Counters;
    }
    parse_checked(record).unwrap_or(Record::Unknown)
}

fn parse_checked(record: &[u8; RECORD_LEN]) -> Option<Record> {
    let (body, rest) = record.split_first_chunk::<BODY_LEN>()?;
    let (text, sum) = body.split_last_chunk::<4>()?;
    if CRC.checksum(text) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (mark, text) = text.split_first_chunk::<4>()?;
    if *mark == STATE {
        return text.first().map(|state| Record::State(*state));
    }
    if *mark != KEYS {
        return None;
    }
    let (mac, text) = text.split_first_chunk::<16>()?;
    let cipher = text.first_chunk::<16>()?;
    Some(Record::Keys(StoredKeys {
        keys: HostKeys::new(*mac, *cipher),
        paired: rest.iter().any(|byte| *byte != 0xFF),
        sealing: Sealing::Sealed,
        lowest: None,
    }))
}

fn counter_bytes(counter: Counter) -> [u8; COUNTER_LEN] {
    let mut bytes = [0; COUNTER_LEN];
    let value = counter.get();
    let parts = value.to_le_bytes().into_iter().chain((!value).to_le_bytes());
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    bytes
}

/// The whole counters of a record. One that was half written when the power failed is not equal to its complement.
fn counters(record: &[u8; RECORD_LEN]) -> impl Iterator<Item = Counter> {
    let (places, _) = record.get(COUNTERS.len()..).unwrap_or_default().as_chunks::<COUNTER_LEN>();
    places.iter().filter_map(|place| {
        let (value, complement) = place.split_first_chunk::<4>()?;
        let (value, complement) =
            (u32::from_le_bytes(*value), u32::from_le_bytes(*complement.first_chunk()?));
        Counter::new(value).filter(|_| value == !complement)
    })
}

/// Where in a record the next counter goes.
fn next_counter(record: &[u8; RECORD_LEN]) -> Option<u32> {
    let (places, _) = record.get(COUNTERS.len()..).unwrap_or_default().as_chunks::<COUNTER_LEN>();
    let used = places.iter().rposition(|place| *place != [0xFF; COUNTER_LEN]).map_or(0, |last| last + 1);
    let offset = COUNTERS.len() + used * COUNTER_LEN;
    u32::try_from(offset).ok().filter(|_| offset < RECORD_LEN)
}

/// For boards that have no flash for host keys: they cannot be paired.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFlash;

impl ErrorType for NoFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for NoFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, _: u32, _: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::OutOfBounds)
    }

    fn capacity(&self) -> usize {
        0
    }
}

impl NorFlash for NoFlash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 1;

    async fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::OutOfBounds)
    }

    async fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::OutOfBounds)
    }
}

//! The host keys of the secure channel, kept in a flash area of their own.
//!
//! Pairing cannot be undone: a chip whose host keys are lost keeps what is sealed in it to itself for good. So the keys are
//! written, read back and compared before the chip gets them. The area is a log of records; the last whole one counts, and
//! nothing is erased until it is full. A record:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `SAHK` |
//! | 4..20, 20..36 | the keys for MACs and for encryption |
//! | 36..44 | 0 |
//! | 44..48 | CRC-32 of all before, little-endian |
//! | 48..64 | erased: the chip may not have the keys yet. Otherwise it has them, and all settings are sealed |
//!
//! When the power fails while a record is written, its checksum is wrong and the one before counts. When it fails later, the
//! next start asks the chip whether it has keys: if so, it finishes the pairing; if not, the device is not paired.
//!
//! What this does not do: whoever reads the flash (a debugger on a microcontroller without read protection, RDP) has the
//! keys; whoever erases the area makes the sealed settings unreadable.

use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use stsafe_a100::mac::HostKeys;
use zeroize::Zeroizing;

/// Bytes of a record: the flash area has room for at least one.
pub const RECORD_LEN: usize = 64;
/// Bytes of it that are written first.
const BODY_LEN: usize = 48;
/// Where in a record it says that the chip has the keys: behind what is written first.
const NOTE: u32 = 48;
/// What a record begins with.
const MARK: [u8; 4] = *b"SAHK";
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Host keys as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKeys {
    /// The keys.
    pub keys: HostKeys,
    /// Whether the chip is known to have them, and to have sealed everything. Otherwise a pairing was interrupted.
    pub paired: bool,
}

/// Why host keys cannot be read or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKeyError {
    /// This device has no flash area for them.
    NoRoom,
    /// The flash fails.
    Flash(NorFlashErrorKind),
    /// What was written reads back differently.
    NotWritten,
}

impl HostKeyError {
    /// What the user is told.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoRoom => "the device cannot keep the key",
            Self::Flash(_) => "the flash with the key fails",
            Self::NotWritten => "the key reads back differently",
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
    /// The last whole record, and where it is.
    newest: Option<(u32, KeptKeys)>,
    /// Where the next one goes; `None` if the area is full.
    free: Option<u32>,
}

impl<F: NorFlash> HostKeyStore<F> {
    /// The store in this area. Its length is a multiple of what is erased at once; a record is written 16 bytes at a time or
    /// in smaller steps.
    pub const fn new(flash: F) -> Self {
        const { assert!(16 % F::WRITE_SIZE == 0 && 16 % F::READ_SIZE == 0) };
        Self(flash)
    }

    /// The keys, if there are any.
    ///
    /// # Errors
    /// [`HostKeyError::Flash`].
    pub async fn read(&mut self) -> Result<Option<KeptKeys>, HostKeyError> {
        Ok(self.find().await?.newest.map(|(_, kept)| kept))
    }

    /// Keeps keys that the chip is going to get. Keys from before are superseded: ask the chip first whether it has some.
    ///
    /// # Errors
    /// [`HostKeyError`]; the keys from before then count, unless the area was full.
    pub async fn keep(&mut self, keys: &HostKeys) -> Result<(), HostKeyError> {
        let length = self.0.capacity();
        if length < RECORD_LEN {
            return Err(HostKeyError::NoRoom);
        }
        let found = self.find().await?;
        if found.newest.is_some_and(|(_, kept)| kept.keys == *keys && !kept.paired) {
            return Ok(());
        }
        if found.free.is_none() {
            self.0.erase(0, u32::try_from(length).unwrap_or(u32::MAX)).await.map_err(failed)?;
        }
        let at = found.free.unwrap_or(0);
        self.0.write(at, &*body(keys)).await.map_err(failed)?;
        let record = self.record(at).await?;
        match parse(&record) {
            Some(kept) if kept.keys == *keys && !kept.paired => Ok(()),
            _ => Err(HostKeyError::NotWritten),
        }
    }

    /// Notes that the chip has the keys, and that everything in it is sealed.
    ///
    /// # Errors
    /// [`HostKeyError::Flash`]. The keys stay.
    pub async fn confirm(&mut self) -> Result<(), HostKeyError> {
        match self.find().await?.newest {
            Some((at, kept)) if !kept.paired => {
                self.0.write(at.saturating_add(NOTE), &[0; RECORD_LEN - BODY_LEN]).await.map_err(failed)
            }
            _ => Ok(()),
        }
    }

    async fn find(&mut self) -> Result<Found, HostKeyError> {
        let mut newest = None;
        for at in
            (0..self.0.capacity() / RECORD_LEN).map_while(|index| u32::try_from(index * RECORD_LEN).ok())
        {
            let record = self.record(at).await?;
            if record.iter().all(|byte| *byte == 0xFF) {
                return Ok(Found { newest, free: Some(at) });
            }
            newest = parse(&record).map(|kept| (at, kept)).or(newest);
        }
        Ok(Found { newest, free: None })
    }

    async fn record(&mut self, at: u32) -> Result<Zeroizing<[u8; RECORD_LEN]>, HostKeyError> {
        let mut record = Zeroizing::new([0; RECORD_LEN]);
        self.0.read(at, &mut *record).await.map_err(failed)?;
        Ok(record)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn failed(error: impl NorFlashError) -> HostKeyError {
    HostKeyError::Flash(error.kind())
}

fn body(keys: &HostKeys) -> Zeroizing<[u8; BODY_LEN]> {
    let mut body = Zeroizing::new([0; BODY_LEN]);
    let (text, sum) = body.split_at_mut(BODY_LEN - 4);
    let bytes = MARK.iter().chain(keys.mac()).chain(keys.cipher());
    text.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    sum.copy_from_slice(&CRC.checksum(text).to_le_bytes());
    body
}

/// `None` if the record is not whole.
fn parse(record: &[u8; RECORD_LEN]) -> Option<KeptKeys> {
    let (body, rest) = record.split_first_chunk::<BODY_LEN>()?;
    let (text, sum) = body.split_last_chunk::<4>()?;
    let (mark, text_rest) = text.split_first_chunk::<4>()?;
    if *mark != MARK || CRC.checksum(text) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (mac, text_rest) = text_rest.split_first_chunk::<16>()?;
    let cipher = text_rest.first_chunk::<16>()?;
    Some(KeptKeys { keys: HostKeys::new(*mac, *cipher), paired: rest.iter().any(|byte| *byte != 0xFF) })
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

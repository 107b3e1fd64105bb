//! Credentials in flash: a key and the chain for it, the old one beside the new one until that has worked.
//!
//! The area is cut into as many slots of equal length as credentials are kept, each of one or more whole erase
//! blocks. A slot holds one credential:
//!
//! | bytes | |
//! |---|---|
//! | 0..4 | `AICR` |
//! | 4 | version of this table: 1 |
//! | 5 | what the key is: the caller's word |
//! | 6, 7 | length of the key; 0 |
//! | 8..10 | length of the chain, little-endian |
//! | 10..12 | 0 |
//! | 12..16 | number of the credential, little-endian: the highest one is the newest |
//! | 16..28 | 0 |
//! | 28..32 | CRC-32 (ISO-HDLC) of bytes 0..28, key and chain, little-endian |
//! | 32..64 | erased, or the note that the credential has worked |
//! | 64.. | key, chain |
//!
//! # Power cuts
//! A slot counts if its checksum is right, which is written last. A new credential is written to a slot that does not
//! hold the newest one that has worked (or, if none has, the newest one), so that one stays whatever happens to the
//! write. The note is written after the first connection, and only then the other slots are erased. So at any moment
//! there is a credential that the service takes, if there was one before; a test cuts the power at every byte.
//!
//! # Secrets
//! Keys lie in the flash as they are; who reads it has them. A key that is not needed any more is erased with its slot,
//! not only marked. That, and that records never move, is why this is a table of slots and no general store of keys and
//! values. A key in a secure element has only its handle here.

use crate::Error;
use core::fmt;
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage_async::nor_flash::{NorFlash, NorFlashError};
use heapless::Vec;
use zeroize::Zeroize;

/// What is written at once: a multiple of every flash's unit.
const UNIT: usize = 32;
/// Where the note begins, and where key and chain begin.
const NOTE: usize = UNIT;
const BODY: usize = 2 * UNIT;
const MARK: [u8; 4] = *b"AICR";
const VERSION: u8 = 1;
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// A key as it is stored: a word for what it is, and its bytes (a scalar, or a handle of a key elsewhere).
#[derive(Clone, Copy)]
pub struct KeyBytes<'k> {
    /// The caller's word: curve, place, whatever tells keys apart.
    pub kind: u8,
    /// The bytes, 255 at most.
    pub bytes: &'k [u8],
}

impl fmt::Debug for KeyBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyBytes").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A credential in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    /// Its number; it is given once.
    pub number: u32,
    /// Whether a connection has worked with it.
    pub confirmed: bool,
    slot: usize,
    key_kind: u8,
    key_len: usize,
    chain_len: usize,
}

impl Entry {
    /// Bytes of key and chain.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.key_len + self.chain_len
    }

    /// Whether there is neither key nor chain in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A credential, read into the caller's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Credential<'b> {
    /// The key.
    pub key: KeyBytes<'b>,
    /// The certificates in DER, one behind the other, the leaf first.
    pub chain: &'b [u8],
}

/// Credentials in a flash area that nothing else uses; `SLOTS` of them, two at least.
#[derive(Debug)]
pub struct CredentialStore<F, const SLOTS: usize = 2> {
    flash: F,
    slot_len: usize,
}

impl<F: NorFlash, const SLOTS: usize> CredentialStore<F, SLOTS> {
    /// The store in this area. What is in it is kept.
    ///
    /// # Errors
    /// [`Error::NoRoom`] if a slot would be smaller than one erase block, or hold nothing.
    pub fn new(flash: F) -> Result<Self, Error> {
        const {
            assert!(SLOTS >= 2, "the old credential stays beside the new one");
            assert!(UNIT.is_multiple_of(F::WRITE_SIZE) && UNIT.is_multiple_of(F::READ_SIZE));
        }
        let slot_len = flash.capacity() / SLOTS / F::ERASE_SIZE * F::ERASE_SIZE;
        if slot_len <= BODY { Err(Error::NoRoom { room: 0 }) } else { Ok(Self { flash, slot_len }) }
    }

    /// Bytes of key and chain that fit in a slot.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.slot_len.saturating_sub(BODY)
    }

    /// Takes the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// The credentials, in the order in which they are to be tried: the newest first.
    ///
    /// # Errors
    /// [`Error::Flash`].
    pub async fn entries(&mut self) -> Result<Vec<Entry, SLOTS>, Error> {
        let mut entries: Vec<Entry, SLOTS> = Vec::new();
        for slot in 0..SLOTS {
            if let Some(entry) = self.entry(slot).await? {
                // There are as many places as slots.
                let _ = entries.push(entry);
            }
        }
        entries.sort_unstable_by_key(|entry| core::cmp::Reverse(entry.number));
        Ok(entries)
    }

    /// Reads a credential into `out`, which the caller wipes: there is a key in it.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::NotFound`] if it has been erased since; [`Error::Flash`].
    pub async fn load<'b>(&mut self, entry: &Entry, out: &'b mut [u8]) -> Result<Credential<'b>, Error> {
        let needed = entry.len().next_multiple_of(UNIT);
        let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })?;
        self.read(entry.slot, BODY, out).await?;
        // It may have been confirmed since.
        let found = self.entry(entry.slot).await?;
        if found.map(|found| Entry { confirmed: entry.confirmed, ..found }) != Some(*entry) {
            out.zeroize();
            return Err(Error::NotFound);
        }
        let (key, rest) = out.split_at(entry.key_len);
        let chain = rest.get(..entry.chain_len).unwrap_or_default();
        Ok(Credential { key: KeyBytes { kind: entry.key_kind, bytes: key }, chain })
    }

    /// Keeps a new credential, beside the newest one that has worked. Its number comes back; it is the first to be
    /// tried from now on.
    ///
    /// # Errors
    /// [`Error::NoRoom`]; [`Error::Flash`] and [`Error::NotWritten`]. What has worked stays then.
    pub async fn add(&mut self, key: KeyBytes<'_>, chain: &[u8]) -> Result<u32, Error> {
        let room = self.room();
        let key_len = u8::try_from(key.bytes.len()).map_err(|_| Error::NoRoom { room })?;
        let chain_len = u16::try_from(chain.len()).map_err(|_| Error::NoRoom { room })?;
        if (key.bytes.len() + chain.len()).next_multiple_of(UNIT) > room {
            return Err(Error::NoRoom { room });
        }
        let entries = self.entries().await?;
        let number = entries.first().map_or(1, |newest| newest.number.saturating_add(1));
        let slot = free_slot::<SLOTS>(&entries);

        let mut header = [0; UNIT];
        let fields = MARK
            .into_iter()
            .chain([VERSION, key.kind, key_len, 0])
            .chain(chain_len.to_le_bytes())
            .chain([0, 0])
            .chain(number.to_le_bytes());
        header.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        let mut digest = CRC.digest();
        digest.update(header.get(..UNIT - 4).unwrap_or_default());
        digest.update(key.bytes);
        digest.update(chain);
        if let Some(sum) = header.last_chunk_mut() {
            *sum = digest.finalize().to_le_bytes();
        }

        self.erase(slot).await?;
        let mut bytes = key.bytes.iter().chain(chain).copied().peekable();
        let mut at = BODY;
        while bytes.peek().is_some() {
            let mut unit = [0xFF; UNIT];
            unit.iter_mut().zip(&mut bytes).for_each(|(to, from)| *to = from);
            let written = self.write(slot, at, &unit).await;
            unit.zeroize();
            written?;
            at += UNIT;
        }
        // Only now it counts.
        self.write(slot, 0, &header).await?;
        match self.entry(slot).await? {
            Some(entry) if entry.number == number && !entry.confirmed => Ok(number),
            _ => Err(Error::NotWritten),
        }
    }

    /// Notes that a connection has worked with this credential, and erases the others, keys and all.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Flash`], [`Error::NotWritten`]. The credential stays in any case.
    pub async fn confirm(&mut self, number: u32) -> Result<(), Error> {
        let entries = self.entries().await?;
        let entry = entries.iter().find(|entry| entry.number == number).ok_or(Error::NotFound)?;
        if !entry.confirmed {
            self.write(entry.slot, NOTE, &[0; UNIT]).await?;
            if self.entry(entry.slot).await?.is_none_or(|entry| !entry.confirmed) {
                return Err(Error::NotWritten);
            }
        }
        for slot in (0..SLOTS).filter(|slot| *slot != entry.slot) {
            if !self.is_blank(slot).await? {
                self.erase(slot).await?;
            }
        }
        Ok(())
    }

    /// Erases all credentials: the device has to register again.
    ///
    /// # Errors
    /// [`Error::Flash`].
    pub async fn clear(&mut self) -> Result<(), Error> {
        for slot in 0..SLOTS {
            self.erase(slot).await?;
        }
        Ok(())
    }

    /// The credential in a slot, if a whole one is there.
    async fn entry(&mut self, slot: usize) -> Result<Option<Entry>, Error> {
        let mut unit = [0; UNIT];
        self.read(slot, 0, &mut unit).await?;
        let header = unit;
        let Some((mut entry, sum)) = self.parse(slot, &header) else { return Ok(None) };
        self.read(slot, NOTE, &mut unit).await?;
        entry.confirmed = unit.iter().any(|byte| *byte != 0xFF);
        let mut digest = CRC.digest();
        digest.update(header.get(..UNIT - 4).unwrap_or_default());
        let mut left = entry.len();
        let mut at = BODY;
        while left > 0 {
            self.read(slot, at, &mut unit).await?;
            let part = left.min(UNIT);
            digest.update(unit.get(..part).unwrap_or_default());
            left -= part;
            at += UNIT;
        }
        unit.zeroize();
        Ok((digest.finalize() == sum).then_some(entry))
    }

    /// The fields of a header, if it is one, and its checksum.
    fn parse(&self, slot: usize, header: &[u8; UNIT]) -> Option<(Entry, u32)> {
        let (mark, rest) = header.split_first_chunk::<4>()?;
        let ([version, key_kind, key_len, 0], rest) = rest.split_first_chunk::<4>()? else { return None };
        let (chain_len, rest) = rest.split_first_chunk::<2>()?;
        let ([0, 0], rest) = rest.split_first_chunk::<2>()? else { return None };
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let sum = u32::from_le_bytes(*rest.last_chunk()?);
        let entry = Entry {
            number: u32::from_le_bytes(*number),
            confirmed: false,
            slot,
            key_kind: *key_kind,
            key_len: (*key_len).into(),
            chain_len: u16::from_le_bytes(*chain_len).into(),
        };
        let fits = entry.len().next_multiple_of(UNIT) <= self.room();
        (*mark == MARK && *version == VERSION && fits).then_some((entry, sum))
    }

    async fn is_blank(&mut self, slot: usize) -> Result<bool, Error> {
        let mut unit = [0; UNIT];
        for at in (0..self.slot_len).step_by(UNIT) {
            self.read(slot, at, &mut unit).await?;
            if unit.iter().any(|byte| *byte != 0xFF) {
                unit.zeroize();
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read(&mut self, slot: usize, at: usize, out: &mut [u8]) -> Result<(), Error> {
        self.flash.read(self.offset(slot, at), out).await.map_err(failed)
    }

    async fn write(&mut self, slot: usize, at: usize, unit: &[u8; UNIT]) -> Result<(), Error> {
        self.flash.write(self.offset(slot, at), unit).await.map_err(failed)
    }

    async fn erase(&mut self, slot: usize) -> Result<(), Error> {
        let (from, to) = (self.offset(slot, 0), self.offset(slot, self.slot_len));
        self.flash.erase(from, to).await.map_err(failed)
    }

    fn offset(&self, slot: usize, at: usize) -> u32 {
        u32::try_from(slot * self.slot_len + at).unwrap_or(u32::MAX)
    }
}

/// The slot for a new credential: never that of the newest one that has worked, or of the newest one if none has; a
/// free one, or else that of the oldest.
fn free_slot<const SLOTS: usize>(entries: &[Entry]) -> usize {
    let keep = entries.iter().find(|entry| entry.confirmed).or(entries.first()).map(|entry| entry.slot);
    let number =
        |slot: usize| entries.iter().find(|entry| entry.slot == slot).map_or(0, |entry| entry.number);
    (0..SLOTS).filter(|slot| Some(*slot) != keep).min_by_key(|slot| number(*slot)).unwrap_or(0)
}

#[allow(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn failed(error: impl NorFlashError) -> Error {
    Error::Flash(error.kind())
}

/// Several credentials tried in order: the one in hand, and which is next when the service refuses it.
#[derive(Clone, Debug)]
pub struct Candidates<const SLOTS: usize = 2> {
    entries: Vec<Entry, SLOTS>,
    at: usize,
}

impl<const SLOTS: usize> Candidates<SLOTS> {
    /// From the [entries](CredentialStore::entries) of a store, in their order.
    #[must_use]
    pub const fn new(entries: Vec<Entry, SLOTS>) -> Self {
        Self { entries, at: 0 }
    }

    /// The one to show now; `None` when all were refused, or there is none: register with what the device has for that.
    #[must_use]
    pub fn current(&self) -> Option<&Entry> {
        self.entries.get(self.at)
    }

    /// The service refuses the present one, or it has expired. Gives the next.
    pub fn refused(&mut self) -> Option<&Entry> {
        self.at = self.at.saturating_add(1).min(self.entries.len());
        self.current()
    }

    /// From the first on again: after a failed registration, for example.
    pub fn start_over(&mut self) {
        self.at = 0;
    }
}

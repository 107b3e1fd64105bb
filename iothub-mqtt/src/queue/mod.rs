//! Telemetry that waits in flash until the hub has it (feature `queue`).
//!
//! [`TelemetryQueue`] keeps messages over resets and power cuts, in the order in which they came, in an area of any
//! flash that implements [`MultiwriteNorFlash`]; the records are kept by `sequential-storage`, which uses the pages in
//! turn, so that all wear alike. A message is removed when the hub has acknowledged it. A power cut between the two
//! leaves it there, so that it is sent again: **at least once**. Every message has an id (`$.mid`), of its own or of
//! the queue's, which is the same each time: a receiver that drops what it has seen gets each exactly once.
//!
//! `runner::Queued` (feature `dps`) sends what is in a queue beside what an application sends itself. Without the
//! runner: [`load`](TelemetryQueue::load) the oldest, [send](crate::Client::send) it, and
//! [`remove`](TelemetryQueue::remove) it when its ticket is [delivered](crate::HubEvent::Delivered).
//!
//! ```
//! use iothub_mqtt::queue::{TelemetryQueue, WhenFull};
//! use iothub_mqtt::{Error, Telemetry};
//! # use embedded_storage_async::nor_flash::MultiwriteNorFlash;
//!
//! # async fn main_(flash: impl MultiwriteNorFlash, random: u64) -> Result<(), Error> {
//! let mut buffer = [0; 512]; // the largest record
//! let area = 0x000C_0000..0x0010_0000;
//! let mut queue = TelemetryQueue::open(flash, area, WhenFull::DropOldest, random, &mut buffer).await?;
//! queue.push(&Telemetry::json(br#"{"temperature":21.5}"#).with_properties(&[("room", "4")])).await?;
//!
//! let mut record = [0; 512];
//! if let Some(stored) = queue.load(&[], &mut record).await? {
//!     let message = stored.message()?;
//!     // client.send(&message.telemetry()).await?, and when the hub has acknowledged it:
//!     queue.remove(message.id()).await?;
//! }
//! # Ok(())
//! # }
//! ```

mod flash;
mod record;

pub use record::{MAX_PROPERTIES, Message, RecordId, Stored};

use crate::{Error, Telemetry};
use core::ops::Range;
use embedded_storage_async::nor_flash::{MultiwriteNorFlash, NorFlashError, NorFlashErrorKind};
use flash::Words;
use record::Record;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::queue::{QueueConfig, QueueStorage};

type Storage<F> = QueueStorage<F, Cache<Uncached, Uncached, Uncached>>;

/// What a full queue does with another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WhenFull {
    /// It drops the oldest ones, as many as there are on one page of the flash.
    DropOldest,
    /// It does not take the new one: [`Error::QueueFull`].
    DropNewest,
}

fn failed<E: NorFlashError>(error: sequential_storage::Error<E>) -> Error {
    use sequential_storage::Error as E;
    match error {
        E::Storage { value, .. } => Error::Flash(value.kind()),
        E::FullStorage => Error::QueueFull,
        E::BufferTooSmall(needed) => Error::BufferTooSmall { needed },
        E::ItemTooBig | E::BufferTooBig => Error::TooLarge,
        _ => Error::QueueCorrupted,
    }
}

/// What was found when room was made.
#[derive(Clone, Copy)]
enum Passed {
    Some,
    Nothing,
}

/// Messages in flash. See the [module](self).
///
/// Dropping a future of its methods half-way is like a power cut: a message that was being stored or removed may or may
/// not be there, and nothing else is touched.
pub struct TelemetryQueue<'b, F: MultiwriteNorFlash> {
    storage: Storage<Words<F>>,
    area: Range<u32>,
    when_full: WhenFull,
    buffer: &'b mut [u8],
    start: u64,
    number: u32,
    /// What follows is known.
    mounted: bool,
    waiting: u32,
    dropped: u32,
    /// A record tells that so many were dropped.
    noted: u32,
}

impl<'b, F: MultiwriteNorFlash> TelemetryQueue<'b, F> {
    /// The queue in this area of the flash, `area` in bytes from its beginning: whole pages, two at least. An erased
    /// area is an empty queue.
    ///
    /// `start` is a random number, another one after every reset: ids of messages begin with it. `buffer` holds one
    /// record: the message with its properties and about 40 bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an area that does not fit the flash; [`Error::BufferTooSmall`] if a record in the flash
    /// is larger than `buffer`; [`Error::QueueCorrupted`] if the area holds something else: [`erase`](Self::erase) it;
    /// [`Error::Flash`].
    pub async fn open(
        flash: F,
        area: Range<u32>,
        when_full: WhenFull,
        start: u64,
        buffer: &'b mut [u8],
    ) -> Result<Self, Error> {
        let invalid = |at| Error::Invalid { what: "flash area", at };
        let config = QueueConfig::try_new(area.clone()).map_err(|_| invalid(0))?;
        let end = usize::try_from(area.end).unwrap_or(usize::MAX);
        if end > flash.capacity() || area.len() < F::ERASE_SIZE.saturating_mul(2) {
            return Err(invalid(end));
        }
        let storage = QueueStorage::new(Words(flash), config, Cache::new_uncached());
        let mut queue = Self {
            storage,
            area,
            when_full,
            buffer,
            start,
            number: 0,
            mounted: false,
            waiting: 0,
            dropped: 0,
            noted: 0,
        };
        queue.mount().await?;
        Ok(queue)
    }

    /// Erases an area, whatever is in it.
    ///
    /// # Errors
    /// [`Error::Flash`].
    pub async fn erase(flash: &mut F, area: Range<u32>) -> Result<(), Error> {
        flash.erase(area.start, area.end).await.map_err(|e| Error::Flash(e.kind()))
    }

    /// Looks through the flash, unless what is there is known.
    async fn mount(&mut self) -> Result<(), Error> {
        if self.mounted {
            return Ok(());
        }
        flash::repair(self.storage.flash(), &self.area, self.buffer).await?;
        (self.waiting, self.noted) = (0, 0);
        let mut records = self.storage.iter().await.map_err(failed)?;
        while let Some(entry) = records.next(self.buffer).await.map_err(failed)? {
            let told = match Record::decode(&entry) {
                Some(Record::Message(message)) => Some((1, message.dropped, 0)),
                Some(Record::Dropped(dropped)) => Some((0, dropped, dropped)),
                None => None,
            };
            if let Some((messages, dropped, noted)) = told {
                self.waiting = self.waiting.saturating_add(messages);
                self.dropped = self.dropped.max(dropped);
                self.noted = self.noted.max(noted);
            } else {
                // Of another firmware: it would wait for ever.
                entry.pop().await.map_err(failed)?;
                self.dropped = self.dropped.saturating_add(1);
            }
        }
        self.mounted = true;
        Ok(())
    }

    /// Stores a message. It is in the flash when this returns.
    ///
    /// Its QoS does not matter: what is stored is sent at least once. A message without an id gets one.
    ///
    /// # Errors
    /// [`Error::QueueFull`] if it was dropped; [`Error::TooLarge`] if it does not fit the buffer or a page of the
    /// flash, or has more than [`MAX_PROPERTIES`]; [`Error::Invalid`] as
    /// [`Telemetry::topic`]; [`Error::Flash`].
    pub async fn push(&mut self, telemetry: &Telemetry<'_>) -> Result<(), Error> {
        self.mount().await?;
        let id = RecordId { start: self.start, number: self.number };
        let mut passed = None;
        loop {
            let record = Record::Message(Message::new(telemetry, id, self.dropped)?);
            let length = record.encode(self.buffer)?;
            let bytes = self.buffer.get(..length).unwrap_or_default();
            self.mounted = false;
            let pushed = self.storage.push(bytes, false).await.map_err(failed);
            self.mounted = matches!(pushed, Ok(()) | Err(Error::QueueFull | Error::TooLarge));
            match pushed {
                Ok(()) => break,
                Err(Error::QueueFull) => self.make_room(&mut passed).await?,
                Err(error) => return Err(error),
            }
        }
        self.number = self.number.wrapping_add(1);
        self.waiting = self.waiting.saturating_add(1);
        Ok(())
    }

    /// Another try may find room after this; the first time only because of what was removed long ago.
    async fn make_room(&mut self, before: &mut Option<Passed>) -> Result<(), Error> {
        self.mounted = false;
        let mut records = self.storage.iter().await.map_err(failed)?;
        // Passing over what is removed erases its pages.
        let oldest = records.next(self.buffer).await.map_err(failed)?;
        let now = if oldest.is_some() { Passed::Some } else { Passed::Nothing };
        match (before.replace(now), oldest) {
            (None, _) | (Some(Passed::Some), None) => {}
            (Some(Passed::Nothing), _) => return Err(Error::QueueCorrupted),
            (Some(Passed::Some), Some(entry)) => {
                let is_note = matches!(Record::decode(&entry), Some(Record::Dropped(_)));
                if !is_note && self.when_full == WhenFull::DropNewest {
                    self.dropped = self.dropped.saturating_add(1);
                    self.mounted = true;
                    return Err(Error::QueueFull);
                }
                entry.pop().await.map_err(failed)?;
                if is_note {
                    // The message that gets its room tells it, too.
                    self.noted = 0;
                } else {
                    self.dropped = self.dropped.saturating_add(1);
                    self.waiting = self.waiting.saturating_sub(1);
                }
            }
        }
        self.mounted = true;
        Ok(())
    }

    /// Reads the oldest message that is none of `except` (those that are on their way) into `out`; `None` if there is
    /// none. `out` has to be as large as the queue's buffer.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::Flash`]; [`Error::QueueCorrupted`].
    pub async fn load<'o>(
        &mut self,
        except: &[RecordId],
        out: &'o mut [u8],
    ) -> Result<Option<Stored<'o>>, Error> {
        self.mount().await?;
        if self.waiting == 0 {
            return Ok(None);
        }
        self.mounted = false;
        let mut records = self.storage.iter().await.map_err(failed)?;
        let found = loop {
            let Some(entry) = records.next(&mut *out).await.map_err(failed)? else { break None };
            if matches!(Record::decode(&entry), Some(Record::Message(m)) if !except.contains(&m.id)) {
                break Some(entry.len());
            }
        };
        self.mounted = true;
        Ok(found.and_then(|length| out.get(..length)).map(Stored))
    }

    /// Removes a message; `false` if it is not there (any more).
    ///
    /// # Errors
    /// [`Error::Flash`]; [`Error::QueueCorrupted`]. It may be there then.
    pub async fn remove(&mut self, id: RecordId) -> Result<bool, Error> {
        self.mount().await?;
        self.mounted = false;
        if self.waiting == 1 && self.dropped > self.noted {
            // No message is left to tell how many were dropped.
            let length = Record::Dropped(self.dropped).encode(self.buffer)?;
            let note = self.buffer.get(..length).unwrap_or_default();
            match self.storage.push(note, false).await.map_err(failed) {
                Ok(()) => self.noted = self.dropped,
                // It is told by the next message.
                Err(Error::QueueFull) => {}
                Err(error) => return Err(error),
            }
        }
        let mut found = false;
        let mut records = self.storage.iter().await.map_err(failed)?;
        while let Some(entry) = records.next(self.buffer).await.map_err(failed)? {
            if matches!(Record::decode(&entry), Some(Record::Message(m)) if m.id == id) {
                entry.pop().await.map_err(failed)?;
                self.waiting = self.waiting.saturating_sub(1);
                found = true;
                break;
            }
        }
        self.mounted = true;
        Ok(found)
    }

    /// Removes a message that cannot be sent, and counts it as dropped.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn discard(&mut self, id: RecordId) -> Result<bool, Error> {
        self.mount().await?;
        self.dropped = self.dropped.saturating_add(1);
        let found = self.remove(id).await?;
        if !found {
            self.dropped = self.dropped.saturating_sub(1);
        }
        Ok(found)
    }

    /// How many messages wait, those on their way included.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.waiting
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// How many messages were dropped since the area was erased: because the queue was full, because the hub or this
    /// client could not take them, or because they were of another firmware.
    ///
    /// The number is stored with the next message, and with the removal of the last one; those dropped between that and
    /// a reset are not counted.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Length in bytes of the buffer for records.
    #[must_use]
    pub fn record_len(&self) -> usize {
        self.buffer.len()
    }

    /// The flash, as it is left.
    pub fn into_flash(self) -> F {
        self.storage.destroy().0.0
    }
}

impl<F: MultiwriteNorFlash> core::fmt::Debug for TelemetryQueue<'_, F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { area, when_full, waiting, dropped, .. } = self;
        f.debug_struct("TelemetryQueue")
            .field("area", area)
            .field("when_full", when_full)
            .field("waiting", waiting)
            .field("dropped", dropped)
            .finish_non_exhaustive()
    }
}

/// Whether trying again may help.
pub(crate) fn is_retriable(kind: NorFlashErrorKind) -> bool {
    kind == NorFlashErrorKind::Other
}

//! The flash area of a queue: what `sequential-storage` needs of it beyond the trait, and the end of erasures that a
//! power cut has interrupted.
//!
//! `sequential-storage` takes for granted that an erasure begins at the begin of a page and goes on to its end. In fact
//! all cells of a page are erased together, and an interrupted erasure leaves anything. So this looks at the pages
//! before it does, in the format of its version 8.

use super::{Storage, failed};
use crate::Error;
use core::ops::Range;
use crc::{Algorithm, Crc, NoTable};
use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, ReadNorFlash,
};
use sequential_storage::cache::Cache;
use sequential_storage::queue::{QueueConfig, QueueStorage};

/// What is read at once while looking for bits that are not erased.
const CHUNK: usize = 64;
/// More zeros than this at the begin or end of a page are its mark.
const UNMARKED: u32 = 3;

/// The check of an item's length.
const LENGTH_CHECK: Crc<u16, NoTable> = Crc::<u16, NoTable>::new(&Algorithm {
    width: 16,
    poly: 0x7458,
    init: 0xFFFF,
    refin: true,
    refout: true,
    xorout: 0xFFFF,
    check: 0,
    residue: 0,
});

/// Flash with words of at least eight bytes.
///
/// `sequential-storage` begins every item with a header of eight bytes. In smaller words a power cut can leave half of
/// one, which the next item may complete to something that looks like an item. In one word there is no half.
#[derive(Debug)]
pub(super) struct Words<F>(pub(super) F);

impl<F: ErrorType> ErrorType for Words<F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for Words<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.0.read(offset, bytes).await
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for Words<F> {
    const WRITE_SIZE: usize = if F::WRITE_SIZE < 8 { 8 } else { F::WRITE_SIZE };
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.erase(from, to).await
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.write(offset, bytes).await
    }
}

impl<F: MultiwriteNorFlash> MultiwriteNorFlash for Words<F> {}

/// How `sequential-storage` sees a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Open,
    Partial,
    Closed,
    /// Half erased.
    Torn,
}

async fn marked<F: NorFlash>(flash: &mut F, at: u32) -> Result<bool, Error> {
    let mut bytes = [0xFF; 32];
    let mark = bytes.get_mut(..F::READ_SIZE).ok_or(Error::Invalid { what: "flash", at: F::READ_SIZE })?;
    flash.read(at, mark).await.map_err(|e| Error::Flash(e.kind()))?;
    Ok(bytes.iter().map(|byte| byte.count_zeros()).sum::<u32>() > UNMARKED)
}

async fn is_blank<F: NorFlash>(flash: &mut F, page: Range<u32>) -> Result<bool, Error> {
    let mut bytes = [0; CHUNK];
    for at in page.clone().step_by(CHUNK) {
        let left = usize::try_from(page.end.saturating_sub(at)).unwrap_or(CHUNK);
        let piece = bytes.get_mut(..left.min(CHUNK)).unwrap_or_default();
        flash.read(at, piece).await.map_err(|e| Error::Flash(e.kind()))?;
        if piece.iter().any(|byte| *byte != 0xFF) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The pages of an area.
fn pages<F: NorFlash>(area: &Range<u32>) -> impl Iterator<Item = Range<u32>> + use<F> {
    let size = u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
    area.clone().step_by(F::ERASE_SIZE.max(1)).map(move |start| start..start.saturating_add(size))
}

async fn state<F: NorFlash>(flash: &mut F, page: &Range<u32>) -> Result<Page, Error> {
    let last = u32::try_from(F::READ_SIZE).unwrap_or_default();
    let begin = marked(flash, page.start).await?;
    let end = marked(flash, page.end.saturating_sub(last)).await?;
    Ok(match (begin, end) {
        (false, false) => Page::Open,
        (true, false) => Page::Partial,
        (true, true) => Page::Closed,
        (false, true) => Page::Torn,
    })
}

/// Whether a page that is being filled looks as one does: its mark whole, one record behind the other, and nothing
/// after the last.
async fn is_clean<F: NorFlash>(flash: &mut Words<F>, page: &Range<u32>) -> Result<bool, Error> {
    let word = u32::try_from(Words::<F>::WRITE_SIZE).unwrap_or(u32::MAX);
    let end = page.end.saturating_sub(word);
    let mut bytes = [0; 32];
    let header = bytes.get_mut(..Words::<F>::WRITE_SIZE).unwrap_or_default();
    flash.read(page.start, header).await.map_err(|e| Error::Flash(e.kind()))?;
    if header.iter().any(|byte| *byte != 0) {
        return Ok(false);
    }
    let mut at = page.start.saturating_add(word);
    while at.saturating_add(word) <= end {
        flash.read(at, header).await.map_err(|e| Error::Flash(e.kind()))?;
        if header.iter().all(|byte| *byte == 0xFF) {
            return is_blank(flash, at..end).await;
        }
        let &mut [_, _, _, _, low, high, check_low, check_high, ..] = header else { return Ok(false) };
        let check = match LENGTH_CHECK.checksum(&[low, high]) {
            0xFFFF => 0xFFFE,
            check => check,
        };
        if check != u16::from_le_bytes([check_low, check_high]) {
            return Ok(false);
        }
        let length = u32::from(u16::from_le_bytes([low, high]));
        at = at.saturating_add(word).saturating_add(length.next_multiple_of(word));
    }
    Ok(true)
}

/// Whether a page has a record that is not removed.
async fn has_records<F: NorFlash>(
    flash: &mut Words<F>,
    page: Range<u32>,
    buffer: &mut [u8],
) -> Result<bool, Error> {
    let config = QueueConfig::try_new(page).map_err(|_| Error::QueueCorrupted)?;
    let mut alone: Storage<&mut Words<F>> = QueueStorage::new(flash, config, Cache::new_uncached());
    let mut records = alone.iter().await.map_err(failed)?;
    Ok(records.next(buffer).await.map_err(failed)?.is_some())
}

/// Erases the pages whose erasure was interrupted.
///
/// A page is erased only when all of its records are removed, but a half erased one can look like any other: like an
/// open one with something in it already, or like the one that is being filled.
pub(super) async fn repair<F: NorFlash>(
    flash: &mut Words<F>,
    area: &Range<u32>,
    buffer: &mut [u8],
) -> Result<(), Error> {
    let (mut closed, mut partial, mut misplaced) = (0, 0, 0);
    let mut before = Page::Open;
    for page in pages::<F>(area) {
        before = state(flash, &page).await?;
    }
    for page in pages::<F>(area) {
        let mut now = state(flash, &page).await?;
        if now == Page::Torn || (now == Page::Open && !is_blank(flash, page.clone()).await?) {
            flash.erase(page.start, page.end).await.map_err(|e| Error::Flash(e.kind()))?;
            now = Page::Open;
        }
        closed += u32::from(now == Page::Closed);
        partial += u32::from(now == Page::Partial);
        misplaced += u32::from(now == Page::Partial && before != Page::Closed);
        before = now;
    }
    // One page is being filled, the one after those that are full.
    let misplaced = partial > 1 || (misplaced > 0 && closed > 0);
    for page in pages::<F>(area) {
        if state(flash, &page).await? == Page::Partial
            && (misplaced || !is_clean(flash, &page).await?)
            && !has_records(flash, page.clone(), buffer).await?
        {
            flash.erase(page.start, page.end).await.map_err(|e| Error::Flash(e.kind()))?;
        }
    }
    Ok(())
}

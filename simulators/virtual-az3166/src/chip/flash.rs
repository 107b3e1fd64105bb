//! The flash interface (RM0402 §3): unlocking, programming in units of the chosen size, erasing sectors. Code runs from
//! the same flash, so the processor stands still until an operation ends; times are the data sheet's typical ones.
//!
//! Option bytes, write protection and mass erase are not there: no sector is protected, and `MER` does nothing.

use std::ops::Range;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::time::{CORE_HZ, Cycles};

const ACR: u32 = 0x00;
const KEYR: u32 = 0x04;
const SR: u32 = 0x0C;
const CR: u32 = 0x10;

/// In this order they unlock the control register.
const KEYS: [u32; 2] = [0x4567_0123, 0xCDEF_89AB];

/// Bits of the control register.
const PG: u32 = 1;
const SER: u32 = 1 << 1;
const STRT: u32 = 1 << 16;
const EOPIE: u32 = 1 << 24;
const LOCK: u32 = 1 << 31;

/// Bits of the status register.
const EOP: u32 = 1;
const PGAERR: u32 = 1 << 5;
const PGPERR: u32 = 1 << 6;
const PGSERR: u32 = 1 << 7;
const BSY: u32 = 1 << 16;

/// A unit of any size, in microseconds.
const PROGRAM_US: u64 = 16;

/// What is being done.
struct Operation {
    range: Range<usize>,
    /// What is written; `None` to erase.
    bytes: Option<Vec<u8>>,
    begun: Cycles,
    ends: Cycles,
}

/// The registers, and the operation in progress.
pub(crate) struct Flash {
    access: u32,
    control: u32,
    status: u32,
    /// Keys of the sequence that have come.
    keys: usize,
    /// A wrong key locks it until the next reset.
    barred: bool,
    operation: Option<Operation>,
    /// Operations that have changed contents.
    changes: u64,
    noise: SmallRng,
}

impl Flash {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            access: 0,
            control: LOCK,
            status: 0,
            keys: 0,
            barred: false,
            operation: None,
            changes: 0,
            noise: SmallRng::seed_from_u64(seed),
        }
    }

    /// After a reset. An operation must have been [broken off](Self::break_off) before.
    pub(crate) fn reset(&mut self) {
        (self.access, self.control, self.status, self.keys, self.barred) = (0, LOCK, 0, 0, false);
    }

    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            ACR => self.access,
            SR => self.status | if self.operation.is_some() { BSY } else { 0 },
            CR => self.control,
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) {
        match offset {
            ACR => self.access = value,
            KEYR => self.key(value),
            SR => self.status &= !value,
            CR if self.control & LOCK == 0 && self.operation.is_none() => {
                if value & LOCK != 0 {
                    self.keys = 0;
                }
                self.control = value & !STRT;
                if value & (STRT | SER | PG) == STRT | SER {
                    self.erase(value >> 3 & 0xF, now);
                }
            }
            _ => {}
        }
    }

    fn key(&mut self, key: u32) {
        if self.control & LOCK == 0 {
            return;
        }
        if self.barred || KEYS.get(self.keys) != Some(&key) {
            self.barred = true;
            return;
        }
        self.keys += 1;
        if self.keys == KEYS.len() {
            self.control &= !LOCK;
        }
    }

    fn erase(&mut self, sector: u32, now: Cycles) {
        let Some((range, class)) = sector_range(sector) else {
            self.status |= PGSERR;
            return;
        };
        // Sectors of 16, 64 and 128 KiB, in milliseconds, by the size of what is programmed at once.
        let [x8, x16, x32] = [[400, 1200, 2000], [300, 700, 1300], [250, 550, 1000]];
        let ms = [x8, x16, x32, x32][(self.control >> 8 & 3) as usize][class];
        self.begin(range, None, now, ms * 1000);
    }

    /// The processor writes to the flash at this offset. Gives whether an operation has begun.
    pub(crate) fn program(&mut self, offset: usize, size: usize, value: u64, now: Cycles) -> bool {
        let unit = 1 << (self.control >> 8 & 3);
        let error = match () {
            () if self.control & (LOCK | PG | SER) != PG => PGSERR,
            () if size != unit => PGPERR,
            () if !offset.is_multiple_of(size) => PGAERR,
            () => 0,
        };
        self.status |= error;
        if error == 0 {
            self.begin(offset..offset + size, Some(value.to_le_bytes()[..size].to_vec()), now, PROGRAM_US);
        }
        error == 0
    }

    fn begin(&mut self, range: Range<usize>, bytes: Option<Vec<u8>>, now: Cycles, us: u64) {
        self.operation = Some(Operation { range, bytes, begun: now, ends: now + us * CORE_HZ / 1_000_000 });
    }

    /// When the operation ends, if there is one.
    pub(crate) fn ends_at(&self) -> Option<Cycles> {
        self.operation.as_ref().map(|operation| operation.ends)
    }

    /// Ends the operation; gives what has changed.
    pub(crate) fn finish(&mut self, cells: &mut [u8]) -> Option<Range<usize>> {
        let operation = self.operation.take()?;
        if self.control & EOPIE != 0 {
            self.status |= EOP;
        }
        self.apply(operation, cells, 1.0)
    }

    /// Power or clock go in the midst of the operation: some bits have changed by then, others have not.
    pub(crate) fn break_off(&mut self, cells: &mut [u8], now: Cycles) -> Option<Range<usize>> {
        let operation = self.operation.take()?;
        let [done, whole] = [now.saturating_sub(operation.begun), operation.ends - operation.begun];
        #[allow(clippy::cast_precision_loss, reason = "a share of a second")]
        let share = (done as f64 / whole as f64).min(1.0);
        self.apply(operation, cells, share)
    }

    fn apply(&mut self, operation: Operation, cells: &mut [u8], share: f64) -> Option<Range<usize>> {
        self.changes += 1;
        let Operation { range, bytes, .. } = operation;
        for (index, cell) in cells.get_mut(range.clone())?.iter_mut().enumerate() {
            let new = bytes.as_ref().map_or(0xFF, |bytes| *cell & bytes[index]);
            let differ = *cell ^ new;
            for bit in (0..8).filter(|bit| differ >> bit & 1 == 1) {
                // The generator is not asked when nothing is random.
                if share >= 1.0 || self.noise.random_bool(share) {
                    *cell ^= 1 << bit;
                }
            }
        }
        Some(range)
    }

    /// Whether a sector is being erased.
    pub(crate) fn is_erasing(&self) -> bool {
        self.operation.as_ref().is_some_and(|operation| operation.bytes.is_none())
    }

    /// How often contents have changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }
}

/// Where a sector lies, and whether it has 16, 64 or 128 KiB.
fn sector_range(sector: u32) -> Option<(Range<usize>, usize)> {
    const KIB: usize = 1 << 10;
    let (start, len, class) = match sector as usize {
        sector @ 0..4 => (16 * sector, 16, 0),
        4 => (64, 64, 1),
        sector @ 5..12 => (128 * (sector - 4), 128, 2),
        _ => return None,
    };
    Some((start * KIB..(start + len) * KIB, class))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X32: u32 = 2 << 8;

    fn unlocked() -> (Flash, Vec<u8>) {
        let mut flash = Flash::new(1);
        for key in KEYS {
            flash.write(KEYR, key, 0);
        }
        (flash, vec![0xFF; 1 << 20])
    }

    #[test]
    fn locked_it_takes_nothing_and_a_wrong_key_bars_it_until_the_reset() {
        let mut flash = Flash::new(1);
        flash.write(CR, PG | X32, 0);
        assert!(!flash.program(0, 4, 0, 0));
        assert_eq!((flash.read(CR), flash.read(SR)), (LOCK, PGSERR));
        flash.write(KEYR, KEYS[1], 0);
        for key in KEYS {
            flash.write(KEYR, key, 0);
        }
        assert_eq!(flash.read(CR), LOCK);
        flash.reset();
        for key in KEYS {
            flash.write(KEYR, key, 0);
        }
        assert_eq!(flash.read(CR), 0);
        flash.write(CR, LOCK, 0);
        flash.write(CR, SER | STRT, 0);
        assert_eq!((flash.read(CR), flash.ends_at()), (LOCK, None));
        for key in KEYS {
            flash.write(KEYR, key, 0);
        }
        assert_eq!(flash.read(CR), 0, "it can be unlocked again");
    }

    #[test]
    fn programming_clears_bits_and_takes_its_time() {
        let (mut flash, mut cells) = unlocked();
        flash.write(CR, PG | X32, 0);
        assert!(flash.program(0xC_0004, 4, 0x1234_00FF, 100));
        assert_eq!((flash.read(SR), flash.ends_at()), (BSY, Some(100 + 16 * 96)));
        assert_eq!(flash.finish(&mut cells), Some(0xC_0004..0xC_0008));
        assert_eq!((flash.read(SR), &cells[0xC_0004..0xC_000A]), (0, &[0xFF, 0, 0x34, 0x12, 0xFF, 0xFF][..]));
        assert!(flash.program(0xC_0004, 4, 0xFFFF_FF0F, 0));
        flash.finish(&mut cells);
        assert_eq!(cells[0xC_0004..0xC_0006], [0x0F, 0], "nothing sets a bit");
    }

    #[test]
    fn what_is_wrong_is_reported_and_changes_nothing() {
        let (mut flash, _) = unlocked();
        assert!(!flash.program(0, 4, 0, 0));
        assert_eq!(flash.read(SR), PGSERR, "without PG");
        flash.write(SR, PGSERR, 0);
        flash.write(CR, PG | X32, 0);
        assert!(!flash.program(0, 1, 0, 0) && flash.read(SR) == PGPERR);
        assert!(!flash.program(2, 4, 0, 0) && flash.read(SR) == PGPERR | PGAERR);
        flash.write(SR, u32::MAX, 0);
        flash.write(CR, SER | STRT | 12 << 3, 0);
        assert_eq!((flash.read(SR), flash.ends_at()), (PGSERR, None), "no such sector");
    }

    #[test]
    fn erasing_sets_one_sector() {
        for (sector, range, ms) in
            [(2, 0x8000..0xC000, 400), (4, 0x1_0000..0x2_0000, 1200), (10, 0xC_0000..0xE_0000, 2000)]
        {
            let (mut flash, mut cells) = unlocked();
            cells.fill(0);
            flash.write(CR, SER | EOPIE | sector << 3, 0);
            flash.write(CR, SER | EOPIE | STRT | sector << 3, 7);
            assert_eq!(flash.ends_at(), Some(7 + ms * CORE_HZ / 1000));
            assert_eq!(flash.finish(&mut cells), Some(range.clone()));
            assert_eq!(flash.read(SR), EOP);
            assert!(cells.iter().enumerate().all(|(at, cell)| (*cell == 0xFF) == range.contains(&at)));
        }
    }

    #[test]
    fn what_is_broken_off_is_half_done() {
        let (mut flash, mut cells) = unlocked();
        cells.fill(0);
        flash.write(CR, SER | STRT | 11 << 3, 0);
        flash.break_off(&mut cells, CORE_HZ);
        let set: u32 = cells[0xE_0000..].iter().map(|cell| cell.count_ones()).sum();
        assert!((500_000..550_000).contains(&set), "half of the bits: {set}");
        assert!(cells[..0xE_0000].iter().all(|cell| *cell == 0));
        assert_eq!((flash.ends_at(), flash.changes()), (None, 1));
    }
}

//! The SDIO controller (RM0402 §28), without DMA, with the radio's card behind it. Commands are answered at once; data
//! take the time of the bus, and a FIFO that is not served in time runs over or dry.

use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};

use peripherals::{SdioCard, Shared};

use crate::time::{Cycles, duration};

const POWER: u32 = 0x00;
const CLKCR: u32 = 0x04;
const ARG: u32 = 0x08;
const CMD: u32 = 0x0C;
const RESPCMD: u32 = 0x10;
const RESP1: u32 = 0x14;
const DTIMER: u32 = 0x24;
const DLEN: u32 = 0x28;
const DCTRL: u32 = 0x2C;
const DCOUNT: u32 = 0x30;
const STA: u32 = 0x34;
const ICR: u32 = 0x38;
const FIFO: u32 = 0x80;

const CCRCFAIL: u32 = 1;
const DCRCFAIL: u32 = 1 << 1;
const CTIMEOUT: u32 = 1 << 2;
const DTIMEOUT: u32 = 1 << 3;
const TXUNDERR: u32 = 1 << 4;
const RXOVERR: u32 = 1 << 5;
const CMDREND: u32 = 1 << 6;
const CMDSENT: u32 = 1 << 7;
const DATAEND: u32 = 1 << 8;
const DBCKEND: u32 = 1 << 10;
/// Flags that stay until they are cleared.
const STATIC: u32 = 0x00C0_07FF;

/// Words of the FIFO.
const DEPTH: usize = 32;
/// Cycles of the core in one of the controller's kernel clock: 96 to 48 MHz.
const KERNEL: Cycles = 2;
/// The least divider for a clock of at most 400 kHz.
const SLOW: u32 = 118;

/// Data on their way.
enum Transfer {
    /// Words from the card that are not in the FIFO yet.
    Read(VecDeque<u32>),
    /// Bytes for the card that have left the FIFO.
    Write(Vec<u8>),
}

/// The controller.
pub(crate) struct Sdio {
    card: Shared<SdioCard>,
    card_in_reset: bool,
    power: u32,
    clock: u32,
    argument: u32,
    response: u32,
    response_index: u32,
    timer: u32,
    len: u32,
    control: u32,
    status: u32,
    fifo: VecDeque<u32>,
    transfer: Option<Transfer>,
    /// When the next word moves; none while the controller waits for the first one.
    next_word: Option<Cycles>,
    /// Up to when the card knows time.
    card_time: Cycles,
    /// How often the FIFO ran over or dry, and the most words that waited in it.
    fifo_faults: u64,
    fullest: usize,
}

impl Sdio {
    pub(crate) fn new(card: Shared<SdioCard>) -> Self {
        Self {
            card,
            card_in_reset: true,
            power: 0,
            clock: 0,
            argument: 0,
            response: 0,
            response_index: 0,
            timer: 0,
            len: 0,
            control: 0,
            status: 0,
            fifo: VecDeque::new(),
            transfer: None,
            next_word: None,
            card_time: 0,
            fifo_faults: 0,
            fullest: 0,
        }
    }

    /// A reset, in which the pins let go of the card's reset line, too.
    pub(crate) fn reset(&mut self) {
        self.set_card_reset(true);
        let Self { card_time, fifo_faults, fullest, .. } = *self;
        *self = Self { card_time, fifo_faults, fullest, ..Self::new(self.card.clone()) };
    }

    /// The card, which has seen the time pass.
    fn card(&mut self, now: Cycles) -> MutexGuard<'_, SdioCard> {
        let passed = duration(now.saturating_sub(self.card_time));
        self.card_time = now.max(self.card_time);
        let mut card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        card.elapse(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX));
        card
    }

    /// Whether the radio drives its own interrupt pin high.
    pub(crate) fn interrupt_pin(&mut self, now: Cycles) -> bool {
        !self.card_in_reset && self.card(now).interrupt_pin()
    }

    /// The radio's reset line: the card is silent while it is low, and new afterwards.
    pub(crate) fn set_card_reset(&mut self, reset: bool) {
        if reset && !self.card_in_reset {
            self.card.lock().unwrap_or_else(PoisonError::into_inner).power_cycle();
        }
        self.card_in_reset = reset;
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycles) -> u32 {
        self.advance(now);
        match offset {
            POWER => self.power,
            CLKCR => self.clock,
            ARG => self.argument,
            RESPCMD => self.response_index,
            RESP1 => self.response,
            DTIMER => self.timer,
            DLEN => self.len,
            DCTRL => self.control,
            DCOUNT => match &self.transfer {
                Some(Transfer::Read(words)) => u32::try_from(words.len() * 4).unwrap_or_default(),
                Some(Transfer::Write(bytes)) => self.len - u32::try_from(bytes.len()).unwrap_or_default(),
                None => 0,
            },
            STA => self.status | self.dynamic(),
            FIFO..0x100 if self.control & 2 != 0 => self.fifo.pop_front().unwrap_or_default(),
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) {
        self.advance(now);
        match offset {
            POWER => self.power = value & 3,
            CLKCR => self.clock = value,
            ARG => self.argument = value,
            CMD if value & 1 << 10 != 0 => self.command(value, now),
            DTIMER => self.timer = value,
            DLEN => self.len = value & 0x01FF_FFFF,
            DCTRL => {
                self.control = value;
                self.transfer = None;
                self.fifo.clear();
                if value & 3 == 1 {
                    (self.transfer, self.next_word) = (Some(Transfer::Write(Vec::new())), None);
                }
            }
            ICR => self.status &= !(value & STATIC),
            FIFO..0x100 if matches!(self.transfer, Some(Transfer::Write(_))) && self.fifo.len() < DEPTH => {
                self.fifo.push_back(value);
                self.next_word = self.next_word.or(Some(now + self.word()));
            }
            _ => {}
        }
    }

    /// Cycles in which a word moves.
    fn word(&self) -> Cycles {
        let clock = KERNEL * Cycles::from((self.clock & 0xFF) + 2);
        clock * if self.is_wide() { 8 } else { 32 }
    }

    fn is_wide(&self) -> bool {
        self.clock >> 11 & 3 == 1
    }

    /// Flags that follow from the FIFO and the transfer.
    fn dynamic(&self) -> u32 {
        let level = self.fifo.len();
        let (reads, writes) = match self.transfer {
            Some(Transfer::Read(_)) => (true, false),
            Some(Transfer::Write(_)) => (false, true),
            None => (false, false),
        };
        let receives = reads || self.control & 2 != 0;
        [
            (writes, 1 << 12),
            (reads, 1 << 13),
            (writes && level <= DEPTH - 8, 1 << 14),
            (receives && level >= 8, 1 << 15),
            (writes && level == DEPTH, 1 << 16),
            (receives && level == DEPTH, 1 << 17),
            (!receives && level == 0, 1 << 18),
            (receives && level == 0, 1 << 19),
            (!receives && level > 0, 1 << 20),
            (receives && level > 0, 1 << 21),
        ]
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(0, |flags, (_, flag)| flags | flag)
    }

    fn command(&mut self, value: u32, now: Cycles) {
        let index = value & 0x3F;
        let waits = value >> 6 & 3;
        let is_on = self.power == 3 && self.clock & 1 << 8 != 0;
        let too_fast = matches!(index, 0 | 3 | 5 | 7) && self.clock & 0xFF < SLOW;
        let argument = self.argument;
        let answer = if is_on && !too_fast && !self.card_in_reset {
            self.card(now).command(u8::try_from(index).unwrap_or_default(), argument)
        } else {
            None
        };
        self.status |= match answer {
            _ if waits & 1 == 0 => CMDSENT,
            None => CTIMEOUT,
            Some(answer) => {
                self.response = answer;
                // R4 has ones where its checksum would be, and no index.
                self.response_index = if index == 5 { 0x3F } else { index };
                if index == 5 { CCRCFAIL } else { CMDREND }
            }
        };
        if index == 53 && answer.is_some() && self.control & 3 == 3 {
            self.begin_read(now);
        }
    }

    /// The data path was waiting when the card had data to send.
    fn begin_read(&mut self, now: Cycles) {
        let wide = self.is_wide();
        let len = self.len as usize;
        let block = 1_usize << (self.control >> 4 & 0xF);
        let mut card = self.card(now);
        let fits = card.announced() == Some((len, false)) && len.is_multiple_of(block);
        let data = card.read_data().filter(|_| fits && wide == card.is_wide());
        drop(card);
        let Some(mut data) = data else {
            self.status |= if fits { DCRCFAIL } else { DTIMEOUT };
            return;
        };
        data.resize(len.next_multiple_of(4), 0);
        let words = data.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        self.transfer = Some(Transfer::Read(words.collect()));
        self.next_word = Some(now + self.word());
    }

    /// Moves the words whose time has come.
    fn advance(&mut self, now: Cycles) {
        let word = self.word();
        while let Some(at) = self.next_word.filter(|at| *at <= now) {
            let Some(transfer) = &mut self.transfer else {
                self.next_word = None;
                return;
            };
            match transfer {
                Transfer::Read(words) => match words.pop_front() {
                    Some(_) if self.fifo.len() == DEPTH => self.fail(RXOVERR),
                    Some(word) => {
                        self.fifo.push_back(word);
                        self.fullest = self.fullest.max(self.fifo.len());
                    }
                    None => self.end(DATAEND | DBCKEND),
                },
                Transfer::Write(bytes) => match self.fifo.pop_front() {
                    None => self.fail(TXUNDERR),
                    Some(word) => {
                        bytes.extend(word.to_le_bytes());
                        if bytes.len() >= self.len as usize {
                            self.finish_write(at);
                        }
                    }
                },
            }
            self.next_word = self.transfer.is_some().then_some(at + word);
        }
    }

    fn finish_write(&mut self, now: Cycles) {
        let Some(Transfer::Write(mut bytes)) = self.transfer.take() else { return };
        bytes.truncate(self.len as usize);
        let wide = self.is_wide();
        let mut card = self.card(now);
        let taken = wide == card.is_wide() && card.write_data(&bytes);
        drop(card);
        self.end(if taken { DATAEND | DBCKEND } else { DCRCFAIL });
    }

    fn end(&mut self, flags: u32) {
        self.status |= flags;
        self.transfer = None;
    }

    /// How often the FIFO ran over or dry, and the most words that waited in it, since this was last asked.
    pub(crate) fn take_fifo(&mut self) -> (u64, usize) {
        (std::mem::take(&mut self.fifo_faults), std::mem::take(&mut self.fullest))
    }

    fn fail(&mut self, flag: u32) {
        self.fifo_faults += 1;
        self.end(flag);
        self.fifo.clear();
    }
}

#[cfg(test)]
mod tests {
    use peripherals::shared;

    use super::*;

    const MILLISECOND: Cycles = 96_000;

    fn send(sdio: &mut Sdio, index: u32, argument: u32, now: Cycles) -> u32 {
        sdio.write(ICR, STATIC, now);
        sdio.write(ARG, argument, now);
        sdio.write(CMD, 1 << 10 | 1 << 6 | index, now);
        sdio.read(STA, now) & 0x7FF
    }

    /// A selected card with a block size of 64 in its common registers' function; the bus wide at 12 MHz.
    fn selected() -> (Sdio, Cycles) {
        let mut sdio = Sdio::new(shared(SdioCard::new()));
        assert_eq!(send(&mut sdio, 5, 0, 0), CTIMEOUT, "without power");
        sdio.write(POWER, 3, 0);
        sdio.write(CLKCR, 1 << 8, 0);
        sdio.set_card_reset(false);
        assert_eq!(send(&mut sdio, 5, 0, 0), CTIMEOUT, "too fast");
        sdio.write(CLKCR, 1 << 8 | SLOW, 0);
        sdio.set_card_reset(true);
        assert_eq!(send(&mut sdio, 5, 0, 0), CTIMEOUT, "in reset");
        sdio.set_card_reset(false);
        assert_eq!(send(&mut sdio, 5, 0x0030_0000, 0), CCRCFAIL);
        let now = 10 * MILLISECOND;
        assert_eq!(send(&mut sdio, 5, 0x0030_0000, now), CCRCFAIL);
        assert_eq!((sdio.read(RESP1, now) >> 31, sdio.read(RESPCMD, now)), (1, 0x3F));
        assert_eq!(send(&mut sdio, 3, 0, now), CMDREND);
        let address = sdio.read(RESP1, now);
        assert_eq!(send(&mut sdio, 7, address, now), CMDREND);
        for (register, value) in [(0x07, 2), (0x10, 64)] {
            assert_eq!(send(&mut sdio, 52, 1 << 31 | register << 9 | value, now), CMDREND);
        }
        sdio.write(CLKCR, 1 << 8 | 1 << 11 | 2, now);
        (sdio, now)
    }

    /// CMD53 for one block of 64 bytes of the common registers.
    const BLOCK: u32 = 1 << 27 | 1 << 26 | 1;

    #[test]
    fn a_block_is_read_word_by_word() {
        let (mut sdio, mut now) = selected();
        sdio.write(DLEN, 64, now);
        sdio.write(DCTRL, 3 | 6 << 4, now);
        assert_eq!(send(&mut sdio, 53, BLOCK, now), CMDREND);
        assert_eq!(sdio.read(STA, now) & 1 << 21, 0, "not at once");
        let mut words = Vec::new();
        while words.len() < 16 {
            now += 10;
            if sdio.read(STA, now) & 1 << 21 != 0 {
                words.push(sdio.read(FIFO, now));
            }
        }
        assert_eq!(words[0] & 0xFF, 0x32);
        assert_eq!(sdio.read(STA, now + 100) & 0x7FF, CMDREND | DATAEND | DBCKEND);
        // Nobody takes the words of eight blocks.
        sdio.write(DLEN, 512, now);
        sdio.write(DCTRL, 3 | 6 << 4, now);
        send(&mut sdio, 53, BLOCK + 7, now);
        assert_eq!(sdio.read(STA, now + MILLISECOND) & 0x7FF, CMDREND | RXOVERR);
        assert_eq!((sdio.take_fifo(), sdio.take_fifo()), ((1, DEPTH), (0, 0)));
        // Another length than the card's.
        sdio.write(DLEN, 128, now);
        sdio.write(DCTRL, 3 | 6 << 4, now);
        send(&mut sdio, 53, BLOCK, now);
        assert_eq!(sdio.read(STA, now) & DTIMEOUT, DTIMEOUT);
    }

    #[test]
    fn a_block_is_written_word_by_word() {
        let (mut sdio, mut now) = selected();
        let write = 1 << 31 | 0x110 << 9 | 1 << 26 | 4;
        assert_eq!(send(&mut sdio, 53, write, now), CMDREND);
        sdio.write(DLEN, 4, now);
        sdio.write(DCTRL, 1 | 2 << 4, now);
        // It waits for the first word.
        now += MILLISECOND;
        assert_eq!(sdio.read(STA, now) & 0x7FF, CMDREND);
        sdio.write(FIFO, 64, now);
        now += 100;
        assert_eq!(sdio.read(STA, now) & 0x7FF, CMDREND | DATAEND | DBCKEND);
        send(&mut sdio, 52, 0x110 << 9, now);
        assert_eq!(sdio.read(RESP1, now) & 0xFF, 64);
        // Words that come too late.
        send(&mut sdio, 53, 1 << 31 | BLOCK, now);
        sdio.write(DLEN, 64, now);
        sdio.write(DCTRL, 1 | 6 << 4, now);
        sdio.write(FIFO, 0, now);
        assert_eq!(sdio.read(STA, now + MILLISECOND) & 0x7FF, CMDREND | TXUNDERR);
        // Two ends that do not agree on the width.
        send(&mut sdio, 53, write, now);
        sdio.write(CLKCR, 1 << 8 | 2, now);
        sdio.write(DLEN, 4, now);
        sdio.write(DCTRL, 1 | 2 << 4, now);
        sdio.write(FIFO, 64, now);
        assert_eq!(sdio.read(STA, now + MILLISECOND) & 0x7FF, CMDREND | DCRCFAIL);
    }
}

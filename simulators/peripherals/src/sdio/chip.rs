//! What is behind the backplane function: clocks, the window, cores in their wrappers, and memory.

use super::fault::Faults;
use super::model::RadioModel;

/// First of the function's own registers.
const OWN_REGISTERS: u32 = 0x1_0000;
const WINDOW_ADDRESS: u32 = 0x1_000A;
const CLOCK: u32 = 0x1_000E;

/// Aborts a frame's transfer.
const FRAME_CONTROL: u32 = 0x1_000D;
/// Keeps the chip awake.
const SLEEP: u32 = 0x1_001F;

const FORCE_ALP: u8 = 0x01;
const FORCE_HT: u8 = 0x02;
const ALP_REQUEST: u8 = 0x08;
const HT_REQUEST: u8 = 0x10;
const IGNORE_CHIP: u8 = 0x20;
const ALP_AVAILABLE: u8 = 0x40;
const HT_AVAILABLE: u8 = 0x80;

/// Nanoseconds until the crystal is stable.
const CRYSTAL_NS: u64 = 3_000_000;
/// Nanoseconds the firmware takes to start.
const FIRMWARE_NS: u64 = 50_000_000;

const ARM: usize = 0;
const MEMORY: usize = 1;
const CLOCK_ENABLE: u32 = 0x01;
const FORCE_GATED_CLOCK: u32 = 0x02;
const HALT: u32 = 0x20;

/// Whether an address is one of the function's own registers.
pub(super) const fn is_own_register(address: u32) -> bool {
    address >= OWN_REGISTERS
}

/// A core's wrapper.
#[derive(Clone, Copy, Debug)]
struct Wrapper {
    control: u32,
    in_reset: bool,
}

impl Wrapper {
    const fn is_running(self) -> bool {
        self.control & (CLOCK_ENABLE | FORCE_GATED_CLOCK | HALT) == CLOCK_ENABLE && !self.in_reset
    }
}

/// The SDIO side of the chip, as the backplane sees it.
mod sdio_core {
    pub(super) const BASE: u32 = 0x1800_2000;
    pub(super) const STATUS: u32 = BASE + 0x20;
    pub(super) const MASK: u32 = BASE + 0x24;
    pub(super) const FUNCTION_MASK: u32 = BASE + 0x34;
    pub(super) const MAILBOX: u32 = BASE + 0x40;
    pub(super) const MAILBOX_DATA: u32 = BASE + 0x4C;
}

/// Interrupts between firmware and host.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    status: u32,
    mask: u32,
    function_mask: u32,
    message: u32,
    /// What the host has written since it was looked at.
    pub(super) from_host: u32,
    /// Which transfers the host has given up since it was looked at.
    pub(super) aborted: u8,
}

impl Mailbox {
    /// There is a frame for the host.
    pub(super) fn announce_frame(&mut self) {
        self.status |= 0x40;
    }

    /// There is a message for the host.
    pub(super) fn announce(&mut self, message: u32) {
        self.message = message;
        self.status |= 0x80;
    }

    /// Whether the host is to be interrupted.
    pub(super) fn interrupts(&self) -> bool {
        self.status & self.mask != 0 && self.function_mask & 2 != 0
    }
}

#[derive(Debug)]
pub(super) struct Chip {
    model: RadioModel,
    pub(super) mailbox: Mailbox,
    pub(super) now_ns: u64,
    pub(super) started_with: Option<Vec<u8>>,
    memory: Vec<u8>,
    window: u32,
    clock: u8,
    clock_since: u64,
    was_clocked: bool,
    others: [u8; 0x20],
    wrappers: [Wrapper; 2],
    started_at: Option<u64>,
}

impl Chip {
    pub(super) fn new(model: RadioModel) -> Self {
        Self {
            model,
            mailbox: Mailbox::default(),
            now_ns: 0,
            started_with: None,
            // What memory holds after power-up is nothing to rely on.
            memory: (0_u32..)
                .map(|at| at.wrapping_mul(0x9E37_79B1).to_be_bytes()[0])
                .take(model.ram())
                .collect(),
            window: 0x1800_0000,
            clock: 0,
            clock_since: 0,
            was_clocked: false,
            others: [0; 0x20],
            wrappers: [
                Wrapper { control: CLOCK_ENABLE, in_reset: false },
                Wrapper { control: 0, in_reset: true },
            ],
            started_at: None,
        }
    }

    /// The card was reset: clocks and window are as after power-up, and the processor runs from its ROM.
    pub(super) fn reset(&mut self) {
        let memory = core::mem::take(&mut self.memory);
        *self = Self { now_ns: self.now_ns, memory, ..Self::new(self.model) };
    }

    pub(super) fn has_crystal_clock(&self) -> bool {
        // Once it runs, the chip itself wants it, if that counts.
        let by_chip = self.clock & IGNORE_CHIP == 0 && self.was_clocked;
        let wanted = by_chip || self.clock & (FORCE_ALP | ALP_REQUEST | FORCE_HT | HT_REQUEST) != 0;
        (wanted || self.started_at.is_some()) && self.now_ns >= self.clock_since + CRYSTAL_NS
    }

    fn has_fast_clock(&self) -> bool {
        let by_chip = self.clock & IGNORE_CHIP == 0;
        (by_chip || self.clock & (FORCE_HT | HT_REQUEST) != 0) && self.serves_frames()
    }

    /// Whether a firmware has been running long enough.
    pub(super) fn serves_frames(&self) -> bool {
        self.started_at.is_some_and(|since| self.now_ns >= since + FIRMWARE_NS)
    }

    pub(super) fn read(
        &mut self,
        address: u32,
        len: usize,
        faults: &Faults,
        violations: &mut Vec<String>,
    ) -> Vec<u8> {
        if is_own_register(address) {
            return (address..).take(len).map(|address| self.own_register(address, faults)).collect();
        }
        let at = self.behind_window(address, len, violations);
        if let Some(cells) = self.memory_at(at, len, violations) {
            return cells.to_vec();
        }
        let value = self.register(at, faults);
        let bytes = value.to_le_bytes();
        match (len, address & 0x8000) {
            (4, 0x8000) => bytes.to_vec(),
            // Eight and sixteen bits wide: those in their place.
            (1 | 2, _) if (at as usize).is_multiple_of(len) => {
                bytes.iter().copied().skip((at & 3) as usize).take(len).collect()
            }
            _ => {
                violations.push(format!("register {at:#x} read in {len} bytes without 32-bit access"));
                vec![bytes[(at & 3) as usize]; len]
            }
        }
    }

    pub(super) fn write(&mut self, address: u32, data: &[u8], faults: &Faults, violations: &mut Vec<String>) {
        if is_own_register(address) {
            for (address, byte) in (address..).zip(data) {
                self.set_own_register(address, *byte);
            }
            return;
        }
        let at = self.behind_window(address, data.len(), violations);
        if let Some(cells) = self.memory_at(at, data.len(), violations) {
            cells.copy_from_slice(data);
            if let Some((flipped, mask)) = faults.flip()
                && let Some(cell) = flipped.checked_sub(at as usize).and_then(|within| cells.get_mut(within))
            {
                *cell ^= mask;
            }
            return;
        }
        match <[u8; 4]>::try_from(data) {
            Ok(value) if address & 0x8000 != 0 => self.set_register(at, u32::from_le_bytes(value), faults),
            _ => match data {
                [byte] if at.is_multiple_of(4) => self.set_register(at, u32::from(*byte), faults),
                _ => violations.push(format!("register {at:#x} written in {} bytes", data.len())),
            },
        }
    }

    /// The address on the backplane. A transfer that runs out of the window goes on at its start.
    fn behind_window(&self, address: u32, len: usize, violations: &mut Vec<String>) -> u32 {
        let offset = address & 0x7FFF;
        if offset as usize + len > 0x8000 {
            violations.push(format!("{len} bytes at {address:#x} leave the window"));
        }
        self.window | offset
    }

    fn memory_at(&mut self, at: u32, len: usize, violations: &mut Vec<String>) -> Option<&mut [u8]> {
        let at = at as usize;
        let is_running = self.wrappers[MEMORY].is_running();
        let cells = self.memory.get_mut(at..at + len)?;
        if !is_running {
            violations.push(format!("memory at {at:#x} used while it is in reset"));
        }
        Some(cells)
    }

    fn own_register(&self, address: u32, faults: &Faults) -> u8 {
        match address {
            CLOCK => {
                let crystal = self.has_crystal_clock() && !faults.has_no_crystal_clock();
                let fast = self.has_fast_clock() && !faults.has_no_fast_clock();
                self.clock | if crystal { ALP_AVAILABLE } else { 0 } | if fast { HT_AVAILABLE } else { 0 }
            }
            WINDOW_ADDRESS..=0x1_000C => {
                let [_, bytes @ ..] = self.window.to_le_bytes();
                bytes.get((address - WINDOW_ADDRESS) as usize).copied().unwrap_or_default()
            }
            SLEEP if !self.model.has_keep_awake() => 0,
            _ => self.others.get((address & 0x1F) as usize).copied().unwrap_or_default(),
        }
    }

    fn set_own_register(&mut self, address: u32, value: u8) {
        match address {
            CLOCK => {
                if self.has_crystal_clock() {
                    self.was_clocked = true;
                } else {
                    self.clock_since = self.now_ns;
                    self.was_clocked = false;
                }
                self.clock = value & !(ALP_AVAILABLE | HT_AVAILABLE);
            }
            WINDOW_ADDRESS..=0x1_000C => {
                let mut bytes = self.window.to_le_bytes();
                if let Some(byte) = bytes.get_mut((address - WINDOW_ADDRESS + 1) as usize) {
                    *byte = value;
                }
                self.window = u32::from_le_bytes(bytes) & !0x7FFF;
            }
            FRAME_CONTROL => self.mailbox.aborted |= value,
            _ => {
                if let Some(cell) = self.others.get_mut((address & 0x1F) as usize) {
                    *cell = value;
                }
            }
        }
    }

    fn register(&self, at: u32, faults: &Faults) -> u32 {
        match (at & !3, wrapper(at)) {
            (0x1800_0000, _) => faults.chip_id().unwrap_or(self.model.chip_id()),
            (sdio_core::STATUS, _) => self.mailbox.status,
            (sdio_core::MASK, _) => self.mailbox.mask,
            (sdio_core::FUNCTION_MASK, _) => self.mailbox.function_mask,
            (sdio_core::MAILBOX_DATA, _) => self.mailbox.message,
            (_, Some((core, 0x408))) => self.wrappers[core].control,
            (_, Some((core, 0x800))) => self.wrappers[core].in_reset.into(),
            _ => 0,
        }
    }

    fn set_register(&mut self, at: u32, value: u32, faults: &Faults) {
        match at {
            sdio_core::STATUS => self.mailbox.status &= !value,
            sdio_core::MASK => self.mailbox.mask = value,
            sdio_core::FUNCTION_MASK => self.mailbox.function_mask = value,
            sdio_core::MAILBOX => self.mailbox.from_host |= value,
            _ => {}
        }
        match wrapper(at) {
            Some((core, 0x408)) => self.wrappers[core].control = value,
            Some((core, 0x800)) if !faults.is_stuck(core == ARM) => {
                self.wrappers[core].in_reset = value & 1 != 0;
            }
            _ => return,
        }
        if !self.wrappers[ARM].is_running() {
            self.started_at = None;
        } else if self.started_at.is_none() {
            self.boot();
        }
    }

    /// The processor begins at address 0. With a firmware and settings it will get somewhere.
    fn boot(&mut self) {
        let word = |at: usize| {
            let bytes = self.memory.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        let ram = self.memory.len();
        let token = word(ram - 4);
        let words = token & 0xFFFF;
        let has_token = token >> 16 == !words & 0xFFFF && words > 0;
        let settings = (ram - 4).checked_sub(4 * words as usize);
        // A firmware begins with its vectors: none of the first two is nothing.
        let has_vectors = [word(0), word(4)].iter().all(|vector| !matches!(*vector, 0 | u32::MAX));
        let has_settings = settings
            .and_then(|settings| self.memory.get(settings..ram - 4))
            .is_some_and(|bytes| bytes.contains(&b'='));
        if has_token && has_vectors && has_settings && self.wrappers[MEMORY].is_running() {
            self.started_at = Some(self.now_ns);
            self.started_with = Some(self.memory.clone());
        }
    }
}

/// The core whose wrapper an address is in, and the register.
fn wrapper(at: u32) -> Option<(usize, u32)> {
    match at & !0xFFF {
        0x1810_3000 => Some((ARM, at & 0xFFC)),
        0x1810_4000 => Some((MEMORY, at & 0xFFC)),
        _ => None,
    }
}

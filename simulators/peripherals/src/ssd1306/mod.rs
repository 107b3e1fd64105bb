//! The display: an SSD1306 with its 128x64 panel, mounted so that segment remap and reversed scan show the memory
//! upright.
//!
//! Memory, addressing modes, windows, remaps, start line, offset, multiplex ratio and inversion are modelled. Contrast
//! and timing are taken and ignored, and so is scrolling: no frame of it is ever seen here. The picture is dark unless
//! the display is on and its charge pump, the panel's only supply, too.

mod picture;

pub use picture::Picture;

use crate::bus::I2cSlave;

const WIDTH: usize = Picture::WIDTH;
const PAGES: usize = Picture::HEIGHT / 8;

/// How the address moves after a data byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressing {
    /// To the next column of the window; at its end to the next page.
    Horizontal,
    /// To the next page of the window; at its end to the next column.
    Vertical,
    /// To the next column of the page, and around.
    Page,
}

/// Where in its stream of bytes a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A control byte.
    Control,
    /// One byte, then a control byte again.
    One(Kind),
    /// This to the end.
    Rest(Kind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Command,
    Data,
}

/// First and last, both included.
#[derive(Clone, Copy, Debug)]
struct Window {
    first: usize,
    last: usize,
}

impl Window {
    /// The position behind `at`, and whether that was around the end.
    const fn after(self, at: usize, size: usize) -> (usize, bool) {
        if at == self.last { (self.first, true) } else { ((at + 1) % size, false) }
    }
}

/// The display controller and its panel.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "the controller's own switches")]
pub struct Ssd1306 {
    /// By page, then segment: the remap takes place when a byte is written.
    memory: [[u8; WIDTH]; PAGES],
    expect: Expect,
    /// A command and its arguments so far.
    command: Vec<u8>,
    addressing: Addressing,
    columns: Window,
    pages: Window,
    column: usize,
    page: usize,
    segment_remap: bool,
    reversed_scan: bool,
    start_line: usize,
    offset: usize,
    multiplex: usize,
    on: bool,
    charge_pump: bool,
    inverse: bool,
    all_on: bool,
    unknown: Vec<u8>,
}

impl Default for Ssd1306 {
    fn default() -> Self {
        Self {
            memory: [[0; WIDTH]; PAGES],
            expect: Expect::Control,
            command: Vec::new(),
            addressing: Addressing::Page,
            columns: Window { first: 0, last: WIDTH - 1 },
            pages: Window { first: 0, last: PAGES - 1 },
            column: 0,
            page: 0,
            segment_remap: false,
            reversed_scan: false,
            start_line: 0,
            offset: 0,
            multiplex: Picture::HEIGHT,
            on: false,
            charge_pump: false,
            inverse: false,
            all_on: false,
            unknown: Vec::new(),
        }
    }
}

impl Ssd1306 {
    /// The 7-bit address.
    pub const ADDRESS: u8 = 0x3C;

    /// A display after its reset: dark, its memory cleared.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is switched on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on && self.charge_pump
    }

    /// Commands that the controller does not have: signs of a defective driver.
    #[must_use]
    pub fn unknown_commands(&self) -> &[u8] {
        &self.unknown
    }

    /// What is to be seen.
    #[must_use]
    pub fn picture(&self) -> Picture {
        Picture::from_fn(|x, y| self.is_lit(x, y))
    }

    /// Whether a pixel of the panel shines.
    fn is_lit(&self, x: usize, y: usize) -> bool {
        // The panel is mounted upside down.
        let (segment, common) = (WIDTH - 1 - x, Picture::HEIGHT - 1 - y);
        if !self.is_on() || common >= self.multiplex {
            return false;
        }
        let output = if self.reversed_scan { self.multiplex - 1 - common } else { common };
        let row = (output + self.offset + self.start_line) % Picture::HEIGHT;
        let byte = self.memory.get(row / 8).and_then(|page| page.get(segment)).copied().unwrap_or_default();
        self.all_on || (byte >> (row % 8) & 1 != 0) != self.inverse
    }

    fn data(&mut self, byte: u8) {
        let segment = if self.segment_remap { WIDTH - 1 - self.column } else { self.column };
        if let Some(cell) = self.memory.get_mut(self.page).and_then(|page| page.get_mut(segment)) {
            *cell = byte;
        }
        match self.addressing {
            Addressing::Page => self.column = (self.column + 1) % WIDTH,
            Addressing::Horizontal => {
                let (column, around) = self.columns.after(self.column, WIDTH);
                self.column = column;
                if around {
                    self.page = self.pages.after(self.page, PAGES).0;
                }
            }
            Addressing::Vertical => {
                let (page, around) = self.pages.after(self.page, PAGES);
                self.page = page;
                if around {
                    self.column = self.columns.after(self.column, WIDTH).0;
                }
            }
        }
    }

    /// A byte of a command; carries it out when it was the last.
    fn command(&mut self, byte: u8) {
        self.command.push(byte);
        let Some(arguments) = self.command.first().and_then(|code| arguments(*code)) else {
            self.unknown.append(&mut self.command);
            return;
        };
        if self.command.len() > arguments {
            let command = core::mem::take(&mut self.command);
            self.execute(&command);
        }
    }

    fn execute(&mut self, command: &[u8]) {
        match *command {
            [low @ 0x00..=0x0F] if self.addressing == Addressing::Page => {
                self.column = self.column & 0x70 | usize::from(low);
            }
            [high @ 0x10..=0x1F] if self.addressing == Addressing::Page => {
                self.column = self.column & 0x0F | usize::from(high & 7) << 4;
            }
            [0x20, mode] => match mode & 3 {
                0 => self.addressing = Addressing::Horizontal,
                1 => self.addressing = Addressing::Vertical,
                2 => self.addressing = Addressing::Page,
                _ => self.unknown.extend_from_slice(command),
            },
            [0x21, first, last] => {
                self.columns = Window { first: usize::from(first & 0x7F), last: usize::from(last & 0x7F) };
                self.column = self.columns.first;
            }
            [0x22, first, last] => {
                self.pages = Window { first: usize::from(first & 7), last: usize::from(last & 7) };
                self.page = self.pages.first;
            }
            [line @ 0x40..=0x7F] => self.start_line = usize::from(line & 0x3F),
            [0x8D, pump] => self.charge_pump = pump & 4 != 0,
            [remap @ 0xA0..=0xA1] => self.segment_remap = remap & 1 != 0,
            [all @ 0xA4..=0xA5] => self.all_on = all & 1 != 0,
            [inverse @ 0xA6..=0xA7] => self.inverse = inverse & 1 != 0,
            // Ratios below 16 are not allowed.
            [0xA8, ratio] if ratio & 0x3F >= 15 => self.multiplex = usize::from(ratio & 0x3F) + 1,
            [0xA8, _] => self.unknown.extend_from_slice(command),
            [on @ 0xAE..=0xAF] => self.on = on & 1 != 0,
            [page @ 0xB0..=0xB7] if self.addressing == Addressing::Page => {
                self.page = usize::from(page & 7);
            }
            [scan @ 0xC0..=0xCF] => self.reversed_scan = scan & 8 != 0,
            [0xD3, offset] => self.offset = usize::from(offset & 0x3F),
            // Contrast, timing, pin configuration, scrolling; page addresses in other modes.
            _ => {}
        }
    }
}

/// How many arguments a command has; `None` if there is no such command.
const fn arguments(code: u8) -> Option<usize> {
    match code {
        0x00..=0x1F
        | 0x2E
        | 0x2F
        | 0x40..=0x7F
        | 0xA0
        | 0xA1
        | 0xA4..=0xA7
        | 0xAE..=0xB7
        | 0xC0..=0xCF
        | 0xE3 => Some(0),
        0x20 | 0x81 | 0x8D | 0xA8 | 0xD3 | 0xD5 | 0xD9..=0xDB => Some(1),
        0x21 | 0x22 | 0xA3 => Some(2),
        0x29 | 0x2A => Some(5),
        0x26 | 0x27 => Some(6),
        _ => None,
    }
}

impl I2cSlave for Ssd1306 {
    fn start(&mut self, _read: bool) -> bool {
        self.expect = Expect::Control;
        true
    }

    fn write(&mut self, byte: u8) -> bool {
        let kind = match self.expect {
            Expect::Control => {
                let kind = if byte & 0x40 == 0 { Kind::Command } else { Kind::Data };
                self.expect = if byte & 0x80 == 0 { Expect::Rest(kind) } else { Expect::One(kind) };
                return true;
            }
            Expect::One(kind) => {
                self.expect = Expect::Control;
                kind
            }
            Expect::Rest(kind) => kind,
        };
        match kind {
            Kind::Command => self.command(byte),
            Kind::Data => self.data(byte),
        }
        true
    }

    fn read(&mut self) -> u8 {
        // The status: bit 6 while the display is off.
        u8::from(!self.on) << 6
    }

    fn stop(&mut self) {}
}

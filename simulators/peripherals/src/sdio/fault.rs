//! What goes wrong with the card.

/// A fault of the card or of the wires to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdioFault {
    /// From this command on, counted from 1, so many are not answered and not carried out.
    Silence {
        /// The first.
        from: u64,
        /// How many.
        count: u64,
    },
    /// After so many transfers whose data pass, this many have data with a wrong checksum.
    SpoiltData {
        /// How many pass.
        after: u64,
        /// How many do not.
        count: u64,
    },
    /// After so many CMD52 and CMD53 that pass, one is refused with these bits of R5.
    Refusal {
        /// How many pass.
        after: u64,
        /// The bits.
        flags: u8,
    },
    /// A byte of the memory takes other bits whenever it is written.
    FlipMemory {
        /// The address.
        at: usize,
        /// The bits.
        mask: u8,
    },
    /// The card never powers up.
    NeverPowersUp,
    /// It says it has so many functions.
    Functions(u32),
    /// A function never gets ready.
    NeverReady(u8),
    /// The crystal never gets stable.
    NoCrystalClock,
    /// The fast clock never runs.
    NoFastClock,
    /// Another value of the chip's id register.
    ChipId(u32),
    /// The processor does not leave its reset, or does not enter it.
    StuckProcessor,
    /// The memory does not leave its reset.
    StuckMemory,
    /// A frame of the radio's firmware, counted from 1 in each direction, is lost.
    LostFrame(Direction, u64),
    /// One arrives twice.
    DoubleFrame(Direction, u64),
    /// One to the host comes later, by so many nanoseconds.
    LateFrame(u64, u64),
    /// One has other bits at a place, which is taken as within it.
    DamagedFrame {
        /// Which way it goes.
        direction: Direction,
        /// Which one.
        number: u64,
        /// The byte.
        at: usize,
        /// The bits.
        mask: u8,
    },
    /// For a span of time the host gets no new credit.
    NoCredit {
        /// The first, in nanoseconds.
        from: u64,
        /// The other.
        until: u64,
    },
    /// For a span of time the host has to send no data.
    NoData {
        /// The first, in nanoseconds.
        from: u64,
        /// The other.
        until: u64,
    },
    /// For a span of time the radio's firmware neither sends nor receives.
    SilentRadio {
        /// The first, in nanoseconds.
        from: u64,
        /// The other.
        until: u64,
    },
    /// From this moment on, in nanoseconds, the radio's firmware has stopped, and says so.
    HaltedFirmware(u64),
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the radio to the host.
    ToHost,
    /// From the host to the radio.
    FromHost,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameFate {
    Arrives,
    IsLost,
    ComesTwice,
    IsLate(u64),
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    all: Vec<SdioFault>,
    transfers: u64,
    accesses: u64,
    frames: [u64; 2],
    has_damaged: bool,
    withheld: bool,
    has_halted: bool,
}

impl Faults {
    pub(super) fn add(&mut self, fault: SdioFault) {
        self.all.push(fault);
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Counts a frame of so many bytes; what becomes of it, and the byte and bits of it that are spoilt.
    pub(super) fn fate(&mut self, direction: Direction, len: usize) -> (FrameFate, Option<(usize, u8)>) {
        let count = &mut self.frames[direction as usize];
        *count += 1;
        let this = (direction, *count);
        let (mut fate, mut spoilt) = (FrameFate::Arrives, None);
        for fault in &self.all {
            match *fault {
                SdioFault::LostFrame(direction, number) if this == (direction, number) => {
                    fate = FrameFate::IsLost;
                }
                SdioFault::DoubleFrame(direction, number) if this == (direction, number) => {
                    fate = FrameFate::ComesTwice;
                }
                SdioFault::LateFrame(number, ns) if this == (Direction::ToHost, number) => {
                    fate = FrameFate::IsLate(ns);
                }
                SdioFault::DamagedFrame { direction, number, at, mask } if this == (direction, number) => {
                    spoilt = Some((at % len.max(1), mask));
                    self.has_damaged = true;
                }
                _ => {}
            }
        }
        (fate, spoilt)
    }

    /// Frames so far, each way: to the host, and from it.
    pub(super) fn frames(&self) -> [u64; 2] {
        self.frames
    }

    /// Whether a frame was damaged: what the host seems to do wrong may be that.
    pub(super) fn has_damaged(&self) -> bool {
        self.has_damaged
    }

    fn is_between(&self, now: u64, pick: impl Fn(&SdioFault) -> Option<(u64, u64)>) -> bool {
        self.all.iter().filter_map(pick).any(|(from, until)| (from..until).contains(&now))
    }

    pub(super) fn withholds_credit(&mut self, now: u64) -> bool {
        let withholds = self.is_between(now, |fault| match *fault {
            SdioFault::NoCredit { from, until } => Some((from, until)),
            _ => None,
        });
        self.withheld |= withholds;
        withholds
    }

    /// Whether the host is to be told that it may go on.
    pub(super) fn ends_withholding(&mut self, now: u64) -> bool {
        let (was_withheld, was_stopped) = (self.withheld, self.withholds_credit(now) || self.stops_data(now));
        if was_withheld && !was_stopped {
            self.withheld = false;
        }
        was_withheld && !was_stopped
    }

    pub(super) fn stops_data(&mut self, now: u64) -> bool {
        let stops = self.is_between(now, |fault| match *fault {
            SdioFault::NoData { from, until } => Some((from, until)),
            _ => None,
        });
        self.withheld |= stops;
        stops
    }

    pub(super) fn is_radio_silent(&self, now: u64) -> bool {
        self.is_between(now, |fault| match *fault {
            SdioFault::SilentRadio { from, until } => Some((from, until)),
            SdioFault::HaltedFirmware(from) => Some((from, u64::MAX)),
            _ => None,
        })
    }

    /// Whether the firmware has stopped just now.
    pub(super) fn halts(&mut self, now: u64) -> bool {
        let is_halted =
            self.all.iter().any(|fault| matches!(*fault, SdioFault::HaltedFirmware(from) if now >= from));
        is_halted && !core::mem::replace(&mut self.has_halted, is_halted)
    }

    fn has(&self, fault: SdioFault) -> bool {
        self.all.contains(&fault)
    }

    fn find<T>(&self, pick: impl Fn(&SdioFault) -> Option<T>) -> Option<T> {
        self.all.iter().find_map(pick)
    }

    pub(super) fn is_silent(&self, command: u64) -> bool {
        self.all.iter().any(|fault| match *fault {
            SdioFault::Silence { from, count } => (from..from.saturating_add(count)).contains(&command),
            _ => false,
        })
    }

    /// Counts a transfer's data; whether they are spoilt.
    pub(super) fn spoils_data(&mut self) -> bool {
        self.transfers += 1;
        self.all.iter().any(|fault| match *fault {
            SdioFault::SpoiltData { after, count } => {
                self.transfers > after && self.transfers <= after.saturating_add(count)
            }
            _ => false,
        })
    }

    /// Counts an access; the bits it is refused with, or 0.
    pub(super) fn take_refusal(&mut self) -> u8 {
        self.accesses += 1;
        let accesses = self.accesses;
        self.find(|fault| match *fault {
            SdioFault::Refusal { after, flags } => (accesses == after + 1).then_some(flags),
            _ => None,
        })
        .unwrap_or_default()
    }

    pub(super) fn flip(&self) -> Option<(usize, u8)> {
        self.find(
            |fault| if let SdioFault::FlipMemory { at, mask } = *fault { Some((at, mask)) } else { None },
        )
    }

    pub(super) fn never_powers_up(&self) -> bool {
        self.has(SdioFault::NeverPowersUp)
    }

    pub(super) fn functions(&self) -> Option<u32> {
        self.find(|fault| if let SdioFault::Functions(count) = *fault { Some(count & 7) } else { None })
    }

    pub(super) fn is_never_ready(&self, function: u8) -> bool {
        self.has(SdioFault::NeverReady(function))
    }

    pub(super) fn has_no_crystal_clock(&self) -> bool {
        self.has(SdioFault::NoCrystalClock)
    }

    pub(super) fn has_no_fast_clock(&self) -> bool {
        self.has(SdioFault::NoFastClock)
    }

    pub(super) fn chip_id(&self) -> Option<u32> {
        self.find(|fault| if let SdioFault::ChipId(id) = *fault { Some(id) } else { None })
    }

    /// Whether a core's reset does not move: the processor's or the memory's.
    pub(super) fn is_stuck(&self, processor: bool) -> bool {
        self.has(if processor { SdioFault::StuckProcessor } else { SdioFault::StuckMemory })
    }
}

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
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    all: Vec<SdioFault>,
    transfers: u64,
    accesses: u64,
}

impl Faults {
    pub(super) fn add(&mut self, fault: SdioFault) {
        self.all.push(fault);
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

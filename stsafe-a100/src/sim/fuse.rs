//! Where the power goes: a count of everything that happens byte by byte, and the point at which it stops.

/// What a blown fuse does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// The power is gone until it is switched on again.
    PowerCut,
    /// The reset pin, or a dip of the supply: the chip starts again at once.
    Reset,
}

/// What an interrupted write leaves in the memory cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Torn {
    /// The bytes before the cut are new, the others old.
    #[default]
    Clean,
    /// The byte at the cut reads neither old nor new.
    Byte,
    /// The whole page of this many bytes that holds the cut reads as erased (0xFF), bytes beside the written range
    /// included. Atomic writes are not torn.
    Page(u16),
}

/// The marker of an interrupted operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blown(pub(super) Outage);

/// Counts steps: each byte on the bus, address bytes included, each byte written to memory, each memory commit.
#[derive(Debug, Default)]
pub(super) struct Fuse {
    steps: u64,
    blows: Option<(u64, Outage)>,
    pub(super) torn: Torn,
}

impl Fuse {
    /// Blows before step number `after`, counted from now.
    pub(super) fn arm(&mut self, after: u64, outage: Outage) {
        self.blows = Some((self.steps + after, outage));
    }

    pub(super) fn disarm(&mut self) {
        self.blows = None;
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// One step, unless the fuse blows before it.
    pub(super) fn step(&mut self) -> Result<(), Blown> {
        if let Some((at, outage)) = self.blows
            && self.steps >= at
        {
            self.blows = None;
            return Err(Blown(outage));
        }
        self.steps += 1;
        Ok(())
    }
}

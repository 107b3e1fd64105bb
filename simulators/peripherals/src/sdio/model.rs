//! Which chip the card has.

/// A chip of the family. They speak alike; what differs is what a driver has to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RadioModel {
    /// The AZ3166's: 240 KiB, no bit that keeps it awake, superframes until they are switched off.
    #[default]
    Bcm43362,
    /// A younger relative that published drivers know: 512 KiB, a bit that keeps it awake, and a table of countries to
    /// be loaded.
    Cyw43439,
}

impl RadioModel {
    /// Bytes of memory.
    pub(super) const fn ram(self) -> usize {
        match self {
            Self::Bcm43362 => 0x3_C000,
            Self::Cyw43439 => 0x8_0000,
        }
    }

    /// Number, revision 1, cores in AXI wrappers.
    pub(super) const fn chip_id(self) -> u32 {
        match self {
            Self::Bcm43362 => 0x1001_A962,
            Self::Cyw43439 => 0x1001_A9AF,
        }
    }

    /// Whether there is a bit that keeps the chip awake.
    pub(super) const fn has_keep_awake(self) -> bool {
        matches!(self, Self::Cyw43439)
    }
}

//! The properties a chip can be asked for.

use crate::codec::Reader;
use crate::error::ProtocolError;

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Query {
    /// 0x07: which local envelope key slots hold a key.
    EnvelopeKeyTable = 0x07,
    /// 0x08: the life-cycle state.
    LifeCycle = 0x08,
    /// 0x0A: the I2C parameters.
    I2cParameters = 0x0A,
    /// 0x0B: the public key slot (A100).
    PublicKeySlot = 0x0B,
    /// 0x11: mask id, serial number, sizes.
    ProductData = 0x11,
    /// 0x12: the partition table.
    DataPartition = 0x12,
    /// 0x14: the private key slots.
    PrivateKeyTable = 0x14,
    /// 0x17: whether host keys are present, and the C-MAC counter.
    HostKeySlot = 0x17,
    /// 0x24: which commands want a host session or encryption (A110).
    CommandAuthorisation = 0x24,
}

impl Query {
    /// Every query.
    pub const ALL: [Self; 9] = [
        Self::EnvelopeKeyTable,
        Self::LifeCycle,
        Self::I2cParameters,
        Self::PublicKeySlot,
        Self::ProductData,
        Self::DataPartition,
        Self::PrivateKeyTable,
        Self::HostKeySlot,
        Self::CommandAuthorisation,
    ];

    /// The tag on the wire.
    #[must_use]
    pub const fn tag(self) -> u8 {
        self as u8
    }

    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let tag = r.u8()?;
        Self::ALL.into_iter().find(|query| query.tag() == tag).ok_or_else(|| r.bad(tag))
    }
}

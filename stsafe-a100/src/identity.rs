//! Who the chip at the address is, and how far it was put into service.

use crate::command::{EnvelopeKeyKind, LifeCycle};
use crate::error::Unsuitable;
use crate::response::{Family, HostKeySlot, ProductData};

/// What [`detect`](crate::blocking::Stsafe::detect) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Identity {
    /// Mask identification, serial number, sizes.
    pub product: ProductData,
    /// The life-cycle state: operational.
    pub life_cycle: LifeCycle,
    /// The host keys.
    pub host_keys: HostKeySlot,
    /// The key in local envelope slot 0, which a vault uses.
    pub envelope_key: Option<EnvelopeKeyKind>,
}

/// How far a chip was paired with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pairing {
    /// Neither host keys nor an envelope key: as delivered.
    None,
    /// An envelope key and no host keys: pairing was interrupted, and can be done again.
    EnvelopeKeyOnly,
    /// Host keys and no envelope key: host sessions are possible, envelopes are not.
    HostKeysOnly,
    /// Both. Whether the host keys are this host's, only a host session shows.
    Complete,
}

impl Identity {
    /// The chip's family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.product.family()
    }

    /// How far the chip was paired.
    #[must_use]
    pub fn pairing(&self) -> Pairing {
        match (self.host_keys, self.envelope_key) {
            (HostKeySlot::Empty, None) => Pairing::None,
            (HostKeySlot::Empty, Some(_)) => Pairing::EnvelopeKeyOnly,
            (HostKeySlot::Present { .. }, None) => Pairing::HostKeysOnly,
            (HostKeySlot::Present { .. }, Some(_)) => Pairing::Complete,
        }
    }

    /// Whether everything is there that a sealed vault needs.
    ///
    /// # Errors
    /// [`Unsuitable::HostKeysMissing`] or [`Unsuitable::EnvelopeKeyMissing`].
    pub fn require_paired(&self) -> Result<(), Unsuitable> {
        match self.pairing() {
            Pairing::None => Err(Unsuitable::HostKeysMissing { envelope_key: false }),
            Pairing::EnvelopeKeyOnly => Err(Unsuitable::HostKeysMissing { envelope_key: true }),
            Pairing::HostKeysOnly => Err(Unsuitable::EnvelopeKeyMissing),
            Pairing::Complete => Ok(()),
        }
    }
}

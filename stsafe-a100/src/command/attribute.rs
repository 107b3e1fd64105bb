//! The attributes that Put Attribute sets, and the forms they share with the queries.

use crate::codec::{Reader, Writer};
use crate::curve::{Curve, Point};
use crate::error::{InputError, ProtocolError};
use crate::mac::HostKeys;

const LIFE_CYCLE: u8 = 0x08;
const I2C_PARAMETERS: u8 = 0x0A;
const PUBLIC_KEY: u8 = 0x0B;
const HOST_KEYS: u8 = 0x17;

/// An attribute and its new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute<'a> {
    /// 0x17: the host keys, MAC key first.
    HostKeys {
        /// The key for C-MAC and R-MAC.
        mac: &'a [u8; 16],
        /// The key for encryption.
        cipher: &'a [u8; 16],
    },
    /// 0x08: the life-cycle state.
    LifeCycle(LifeCycle),
    /// 0x0A: the I2C parameters.
    I2cParameters(I2cParameters),
    /// 0x0B: the public key slot.
    PublicKey {
        /// The curve.
        curve: Curve,
        /// The key.
        key: Point<'a>,
    },
    /// Any other tag, with its bytes.
    Other {
        /// The tag.
        tag: u8,
        /// The value.
        value: &'a [u8],
    },
}

impl<'a> Attribute<'a> {
    /// The host keys as an attribute.
    #[must_use]
    pub const fn host_keys(keys: &'a HostKeys) -> Self {
        Self::HostKeys { mac: keys.mac(), cipher: keys.cipher() }
    }

    /// The tag on the wire.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        match self {
            Self::HostKeys { .. } => HOST_KEYS,
            Self::LifeCycle(_) => LIFE_CYCLE,
            Self::I2cParameters(_) => I2C_PARAMETERS,
            Self::PublicKey { .. } => PUBLIC_KEY,
            Self::Other { tag, .. } => *tag,
        }
    }

    pub(super) fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.u8(self.tag())?;
        match self {
            Self::HostKeys { mac, cipher } => {
                w.bytes(*mac)?;
                w.bytes(*cipher)
            }
            Self::LifeCycle(state) => w.u8(state.to_byte()),
            Self::I2cParameters(parameters) => parameters.emit(w),
            Self::PublicKey { curve, key } => {
                if key.x.len() != curve.field_len() {
                    return Err(InputError::CurveMismatch);
                }
                curve.emit(w)?;
                key.emit(w)
            }
            Self::Other { tag: LIFE_CYCLE | I2C_PARAMETERS | PUBLIC_KEY | HOST_KEYS, .. } => {
                Err(InputError::Value)
            }
            Self::Other { value, .. } => w.bytes(value),
        }
    }

    pub(super) fn parse(r: &mut Reader<'a>) -> Result<Self, ProtocolError> {
        Ok(match r.u8()? {
            HOST_KEYS => Self::HostKeys { mac: r.array()?, cipher: r.array()? },
            LIFE_CYCLE => Self::LifeCycle(LifeCycle::from_byte(r.u8()?)),
            I2C_PARAMETERS => Self::I2cParameters(I2cParameters::parse(r)?),
            PUBLIC_KEY => Self::PublicKey { curve: Curve::parse(r)?, key: Point::parse(r)? },
            tag => Self::Other { tag, value: r.rest() },
        })
    }
}

/// A life-cycle state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LifeCycleState {
    /// 1: made, not yet personalised.
    Born,
    /// 3: in use.
    Operational,
    /// 4: dead.
    Terminated,
    /// A state this driver has no name for.
    Other(u8),
}

/// The life-cycle state and whether it is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LifeCycle {
    /// The state.
    pub state: LifeCycleState,
    /// Whether it can no longer change (bit 7).
    pub locked: bool,
}

impl LifeCycle {
    /// From the wire; every byte is a state.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        let state = match byte & 0x7F {
            1 => LifeCycleState::Born,
            3 => LifeCycleState::Operational,
            4 => LifeCycleState::Terminated,
            other => LifeCycleState::Other(other),
        };
        Self { state, locked: byte & 0x80 != 0 }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        let state = match self.state {
            LifeCycleState::Born => 1,
            LifeCycleState::Operational => 3,
            LifeCycleState::Terminated => 4,
            LifeCycleState::Other(other) => other & 0x7F,
        };
        state | (self.locked as u8) << 7
    }
}

/// What the chip does when idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum LowPower {
    /// 0: stays awake.
    None = 0,
    /// 1: not documented.
    Reserved1 = 1,
    /// 2: goes to standby by itself.
    Standby = 2,
    /// 3: not documented.
    Reserved3 = 3,
}

/// The I2C parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct I2cParameters {
    /// The 7-bit address.
    pub address: u8,
    /// What the chip does when idle.
    pub low_power: LowPower,
    /// Whether these parameters can no longer change.
    pub locked: bool,
    /// Idle time, five bits (later chips; 0 on the A100).
    pub idle: u8,
}

impl I2cParameters {
    pub(crate) fn parse(r: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let address = r.u8()?;
        if address & 1 != 0 {
            return Err(r.bad(address));
        }
        let flags = r.u8()?;
        let low_power = match flags >> 1 & 3 {
            0 => LowPower::None,
            1 => LowPower::Reserved1,
            2 => LowPower::Standby,
            _ => LowPower::Reserved3,
        };
        Ok(Self { address: address >> 1, low_power, locked: flags & 1 != 0, idle: flags >> 3 })
    }

    /// Appends the parameters to a data field.
    ///
    /// # Errors
    /// [`InputError::Value`] if the address exceeds 7 bits or the idle time 5, [`InputError::TooLong`] if it does not
    /// fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        if self.address > 0x7F || self.idle > 0x1F {
            return Err(InputError::Value);
        }
        w.bytes(&[self.address << 1, self.idle << 3 | (self.low_power as u8) << 1 | u8::from(self.locked)])
    }
}

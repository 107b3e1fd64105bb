//! The chip is not there, is another one, lacks a key, or does not do what is asked of it.

use core::fmt;

use super::{ProtocolError, Status};
use crate::code::Code;
use crate::command::{LifeCycle, LifeCycleState};
use crate::response::Family;

/// Why the chip at the address does not serve. The message says what to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Unsuitable {
    /// Nothing acknowledges the address.
    Absent {
        /// The 7-bit address.
        address: u8,
    },
    /// Something acknowledges the address, and does not answer as an STSAFE does.
    Foreign {
        /// The 7-bit address.
        address: u8,
        /// What it does instead.
        sign: ForeignSign,
    },
    /// An STSAFE of a family that this driver does not speak with.
    Family {
        /// The family.
        family: Family,
        /// Its mask identification.
        mask_id: [u8; 3],
    },
    /// The chip is not in operational state.
    LifeCycle(LifeCycle),
    /// The chip has no host keys.
    HostKeysMissing {
        /// Whether it has an envelope key, so that its pairing was interrupted.
        envelope_key: bool,
    },
    /// The chip has host keys, but no local envelope key.
    EnvelopeKeyMissing,
    /// The chip has host keys, but not those of this session. Like every refusal, unauthenticated: a hint.
    OtherHostKeys,
    /// The command exists in another family only.
    OtherFamily {
        /// The command.
        code: Code,
        /// The family that has it.
        only: Family,
    },
    /// The chip's table lets nobody give this command.
    Never(Code),
    /// The chip's table lets only an admin session give this command, which this driver does not speak.
    AdminOnly(Code),
    /// The chip wants this command in a host session, and there is none.
    NeedsHostSession(Code),
    /// By the chip's table the secret in this command would travel in clear.
    InClear(Code),
}

/// What shows that no STSAFE answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ForeignSign {
    /// It takes the query and never answers.
    Silent,
    /// The answer is no STSAFE frame.
    Malformed(ProtocolError),
    /// It refuses what its family must answer.
    Refused(Status),
}

impl fmt::Display for ForeignSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("it never answers"),
            Self::Malformed(cause) => cause.fmt(f),
            Self::Refused(status) => write!(f, "it refuses: {status}"),
        }
    }
}

impl Unsuitable {
    /// Whether trying again may help: nothing was there.
    #[must_use]
    pub const fn is_retriable(self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Absent { address } => {
                write!(f, "nothing answers at I2C address 0x{address:02X}: check power, wiring, pull-ups, ")?;
                f.write_str("the reset pin, and whether the chip was given another address")
            }
            Self::Foreign { address, sign } => {
                write!(
                    f,
                    "what answers at I2C address 0x{address:02X} is no STSAFE, or the bus is disturbed "
                )?;
                write!(f, "({sign}): check which chip has this address, the bus speed and the pull-ups")
            }
            Self::Family { family: Family::Unknown, mask_id } => {
                write!(f, "an STSAFE of an unknown family (mask {mask_id:02X?}): check the part number")
            }
            Self::Family { family, mask_id } => {
                write!(
                    f,
                    "an STSAFE-{family:?} (mask {mask_id:02X?}), which this driver does not support: "
                )?;
                f.write_str("use an A100 or an A110")
            }
            Self::LifeCycle(LifeCycle { state, .. }) => match state {
                LifeCycleState::Born => {
                    f.write_str("the chip was not personalised by its maker (state \"born\"): ")?;
                    f.write_str("check the order code for a personalised part")
                }
                LifeCycleState::Terminated => f.write_str("the chip was terminated for good: replace it"),
                state => write!(f, "the chip is in life-cycle state {state:?}, not operational"),
            },
            Self::HostKeysMissing { envelope_key: false } => {
                f.write_str("the chip was never paired (no host keys): pair it with this host first")
            }
            Self::HostKeysMissing { envelope_key: true } => f.write_str(
                "the chip has an envelope key and no host keys: its pairing was interrupted; pair again",
            ),
            Self::EnvelopeKeyMissing => {
                f.write_str("the chip has host keys and no envelope key: another program has paired it; ")?;
                f.write_str("make the key with generate_envelope_key")
            }
            Self::OtherHostKeys => {
                f.write_str(
                    "the chip refuses these host keys: check whether it was paired with another host, ",
                )?;
                f.write_str("and whether the host's keys belong to another chip")
            }
            Self::OtherFamily { code, only } => {
                write!(f, "{code:?} in this form exists only on the {only:?}")
            }
            Self::Never(code) => write!(f, "the chip's personalisation allows nobody {code:?}"),
            Self::AdminOnly(code) => {
                write!(f, "the chip's personalisation allows {code:?} in an admin session only")
            }
            Self::NeedsHostSession(code) => {
                write!(f, "the chip's personalisation wants {code:?} in a host session: open one")
            }
            Self::InClear(code) => {
                write!(f, "the chip's personalisation sends the secret of {code:?} in clear: not done")
            }
        }
    }
}

impl core::error::Error for Unsuitable {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Foreign { sign: ForeignSign::Malformed(cause), .. } => Some(cause),
            _ => None,
        }
    }
}

//! What ends a run because the simulation would be wrong from there on.

use std::fmt;

/// The firmware did something that is not simulated.
///
/// The errors of [`VirtualBoard`](crate::VirtualBoard) hold it (`downcast_ref`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSimulated {
    /// A register was read that is not there.
    Read {
        /// Where it would be.
        address: u32,
        /// The block of instructions that did it begins here.
        code: u32,
    },
    /// A register was written that is not there, does not take this value, or not by so few bytes.
    Write {
        /// Where it would be.
        address: u32,
        /// The value written.
        value: u32,
        /// Bytes written.
        size: usize,
        /// The block of instructions that did it begins here.
        code: u32,
    },
    /// The instruction `SVC`.
    SupervisorCall {
        /// Address of the instruction behind it.
        code: u32,
    },
}

impl fmt::Display for NotSimulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { address, code } => {
                write!(f, "the code at {code:#010x} reads {address:#010x}, which is not simulated")
            }
            Self::Write { address, value, size, code } => write!(
                f,
                "the code at {code:#010x} writes {value:#x} ({size} bytes) to {address:#010x}, which is not simulated"
            ),
            Self::SupervisorCall { code } => {
                write!(f, "a supervisor call before {code:#010x} is not simulated")
            }
        }
    }
}

impl std::error::Error for NotSimulated {}

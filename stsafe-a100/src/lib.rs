#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

#[cfg(any(test, feature = "sim"))]
extern crate std;

pub mod asynch;
pub mod blocking;
mod channel;
mod code;
mod codec;
mod command;
pub mod config;
mod crc;
mod crypto;
mod curve;
pub mod error;
mod fmt;
mod frame;
mod identity;
mod interop;
mod irreversible;
mod mac;
mod response;
mod rules;
mod secret;
#[cfg(feature = "sim")]
pub mod sim;
mod status;
mod timing;
pub mod vault;
mod zone;

pub use error::Error;
#[cfg(feature = "nor-flash")]
pub use interop::ZoneFlash;
pub use irreversible::Irreversible;
pub use secret::SharedSecret;

/// The host session: keys, counter, options, and the AES-128 it needs.
pub mod session {
    pub use crate::channel::*;
    pub use crate::crypto::{Block, HostCrypto, Key, SoftCmac, SoftCrypto};
    pub use crate::mac::{Counter, HostKeys};
}

/// What commands take and answers hold: zones, keys, curves, signatures, product data.
pub mod types {
    pub use crate::code::Code;
    pub use crate::command::{
        CHALLENGE_LEN, ENVELOPE_OVERHEAD, EnvelopeKeyKind, I2cParameters, KeyMode, LifeCycle, LifeCycleState,
        LowPower, MAX_WRAP, PASSWORD_LEN, WakeUp,
    };
    pub use crate::curve::{Curve, MAX_DER_SIGNATURE, MAX_FIELD, MAX_SEC1, PublicKey, Signature};
    pub use crate::identity::{Identity, Pairing};
    pub use crate::response::{
        Authorisation, AuthorisationTable, EnvelopeKeyTable, EnvelopeSlot, Family, HostKeySlot,
        PasswordVerdict, PrivateKeySlot, PrivateKeyTable, ProductData,
    };
    pub use crate::zone::{
        Access, AccessCondition, MAX_ATOMIC, MAX_READ, MAX_READ_ENCRYPTED, MAX_UPDATE, MAX_UPDATE_ENCRYPTED,
        MAX_UPDATE_MACED, Partition, Zone, ZoneKind, ZoneOptions,
    };
}

/// Frames, data fields and MACs as bytes, for either end of the bus: what a simulated chip or an analyser needs. The
/// driver's users do not.
pub mod wire {
    pub use crate::code::*;
    pub use crate::codec::*;
    pub use crate::command::*;
    pub use crate::crc::*;
    pub use crate::curve::*;
    pub use crate::frame::*;
    pub use crate::mac::*;
    pub use crate::response::*;
    pub use crate::zone::*;
}

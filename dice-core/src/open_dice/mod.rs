//! The Open Profile for DICE (version 2.6), as Android and Pigweed ship it.
//!
//! A layer holds two secrets, [`CdiAttest`] and [`CdiSeal`]. From them and from what it measured of the next layer, its
//! [`InputValues`], follow the next layer's secrets and a certificate for the next layer's key.

pub mod android;
pub mod cbor;
mod cdi;
mod chain;
mod claims;
mod cose;
mod cwt;
mod flow;
mod id;
mod input;
mod key;
mod x509;

pub use cdi::{CdiAttest, CdiSeal, Cdis, KeySeed};
pub use chain::{ChainProblem, ChainVerifier, DiceChain};
pub use claims::{Claims, MAX_CLAIMS, Measurements};
pub use cose::Sign1;
pub use cwt::{CborCertificate, issue_cbor};
pub use flow::{Format, Layer, MainFlow, OPEN_DICE_EXAMPLE};
pub use id::KeyId;
pub use input::{Config, InputValues, Mode};
#[cfg(feature = "ed25519")]
pub use key::Ed25519PublicKey;
#[cfg(feature = "p384")]
pub use key::P384PublicKey;
pub use key::{Algorithm, KeyPair, PublicKey, Signature};
pub use x509::{DICE_ATTESTATION_DATA, issue_x509};

/// Length of a CDI in bytes.
pub const CDI_LEN: usize = 32;
/// Length of the code and authority inputs in bytes.
pub const HASH_LEN: usize = 64;
/// Length of an inline configuration input in bytes.
pub const CONFIG_LEN: usize = 64;
/// Length of the hidden input in bytes.
pub const HIDDEN_LEN: usize = 64;
/// Length of a key-pair seed in bytes.
pub const KEY_SEED_LEN: usize = 32;
/// Length of a key identifier in bytes.
pub const ID_LEN: usize = 20;

//! The Open Profile for DICE (version 2.6), as Android and Pigweed ship it.
//!
//! A layer holds two secrets, [`CdiAttest`] and [`CdiSeal`]. From them and from what it measured of the next layer, its
//! [`InputValues`], follow the next layer's two secrets, its key pair, and a certificate for that key:
//!
//! ```text
//! CDI_Attest' = HKDF(CDI_Attest, SHA-512(code, configuration, authority, mode, hidden), "CDI_Attest")
//! CDI_Seal'   = HKDF(CDI_Seal,   SHA-512(authority, mode, hidden),                      "CDI_Seal")
//! seed        = HKDF(CDI_Attest, fixed salt, "Key Pair")      id = HKDF(public key, fixed salt, "ID")
//! ```
//!
//! [`MainFlow`] does all of it in one call; [`Cdis`], [`KeyPair`] and [`issue_x509`] are its steps, and
//! [`AttestationData`] reads the extension of X.509 certificates. With the feature `cbor` come CBOR certificates
//! (`issue_cbor`) and their chains (`ChainVerifier`, `DiceChain`); with `android`, the module `android` goes from one
//! boot stage's handover to the next.
//!
//! Keys are P-256, or P-384 and Ed25519 with the features `p384` and `ed25519`; layers may use different ones. The
//! profile's ML-DSA is not implemented. Hash and key derivation are SHA-512 and HKDF-SHA-512. Signatures are
//! deterministic, so that a layer gets the same certificate on each boot. All of it matches the reference
//! implementation byte for byte, apart from serial numbers: they are always minimal DER, while one of its back ends
//! writes a zero byte too many for one key in 256.
//!
//! ```
//! # #[cfg(feature = "cbor")] {
//! use dice_core::Uds;
//! use dice_core::open_dice::{Algorithm, Cdis, ChainVerifier, Config, Format, InputValues, MainFlow, Mode};
//!
//! let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
//! let current = Cdis::from_uds(&uds);
//! let measured = InputValues::new(&[0x11; 64], Config::Inline(&[0; 64]), &[0x22; 64], Mode::Normal);
//!
//! let flow = MainFlow::new(Format::Cbor, Algorithm::P256);
//! let mut buffer = [0; 512];
//! let layer = flow.run(&current, &measured, &mut buffer)?;
//!
//! // A verifier that knows the device's UDS public key:
//! let uds_public = *flow.authority_key(&current)?.public_key();
//! let claims = ChainVerifier::new(uds_public)?.next(layer.certificate)?;
//! assert!(claims.measurements.is_some_and(|said| said.code_hash == [0x11; 64] && said.mode == Mode::Normal));
//! # }
//! # Ok::<(), dice_core::Error>(())
//! ```

#[cfg(feature = "android")]
pub mod android;
#[cfg(feature = "cbor")]
pub mod cbor;
mod cdi;
#[cfg(feature = "cbor")]
mod chain;
#[cfg(feature = "cbor")]
mod claims;
#[cfg(feature = "cbor")]
mod cose;
#[cfg(feature = "cbor")]
mod cwt;
mod flow;
mod id;
mod input;
mod key;
mod measurements;
mod x509;

pub use cdi::{CdiAttest, CdiSeal, Cdis, KeySeed};
#[cfg(feature = "cbor")]
pub use chain::{ChainProblem, ChainVerifier, DiceChain, VerifiedLayers};
#[cfg(feature = "cbor")]
pub use claims::{Claims, MAX_CLAIMS};
#[cfg(feature = "cbor")]
pub use cose::Sign1;
#[cfg(feature = "cbor")]
pub use cwt::{CborCertificate, issue_cbor};
pub use flow::{Format, Layer, MainFlow, OPEN_DICE_EXAMPLE};
pub use id::KeyId;
pub use input::{Config, InputValues, Mode};
#[cfg(feature = "ed25519")]
pub use key::Ed25519PublicKey;
#[cfg(feature = "p384")]
pub use key::P384PublicKey;
pub use key::{Algorithm, KeyPair, PublicKey, Signature};
pub use measurements::{AttestationData, Measurements};
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

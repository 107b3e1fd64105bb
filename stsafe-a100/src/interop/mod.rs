//! The driver behind other crates' traits.

#[cfg(feature = "rand_core")]
mod rng;
#[cfg(feature = "ecdsa")]
mod signer;

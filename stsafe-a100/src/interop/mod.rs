//! The driver behind other crates' traits.

#[cfg(feature = "rand_core")]
mod rng;
#[cfg(feature = "ecdsa")]
mod signer;
#[cfg(feature = "nor-flash")]
mod zone_flash;

#[cfg(feature = "nor-flash")]
pub use zone_flash::ZoneFlash;

#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod arithmetic;
mod external_key;
#[cfg(all(feature = "p256-cm4", target_arch = "arm"))]
mod p256;
#[cfg(feature = "resumption")]
mod resumption;
mod session;
mod structure;
mod verification;
mod wrapped;

pub use external_key::{DIGEST_LEN, MAX_SIGNATURE};
pub use mbedtls_rs;
#[cfg(feature = "resumption")]
pub use resumption::{MAX_SAVED, Saved};
pub use session::{Client, Code, Config, Key, Session, Transport, Version, is_certificate};
pub use verification::{Found, Judge, MAX_PATH, Presented};

#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod arithmetic;
#[cfg(all(feature = "p256-cm4", target_arch = "arm"))]
mod p256;
mod session;
mod structure;
mod verification;
mod wrapped;

pub use mbedtls_rs;
pub use session::{Client, Code, Config, Session, Transport, Version, is_certificate};
pub use verification::{Found, Judge, MAX_PATH, Presented};

#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod session;
mod structure;
mod verification;

pub use mbedtls_rs;
pub use session::{Client, Code, Config, Session, Transport, Version, is_certificate};
pub use verification::{Found, Judge, MAX_PATH, Presented};

//! The chain verifier: published chains, chains of this crate, and certificates made to be refused.
#![cfg(feature = "verify")]
#![allow(unreachable_pub, reason = "modules of one test program")]

#[path = "../common/mod.rs"]
mod common;
mod evidence;
mod forged;
mod hostile;
mod limbo;
mod own;
mod parts;
mod published;

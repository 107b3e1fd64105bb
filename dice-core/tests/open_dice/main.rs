//! The Open Profile for DICE against vectors made with the reference implementation, and against hostile input.

#![cfg(feature = "android")]
#![allow(unreachable_pub, reason = "modules of one test program")]

mod android;
mod cbor;
mod certificates;
mod chain;
#[path = "../common/mod.rs"]
mod common;
mod derive;
mod hostile;
mod signatures;
mod support;
mod x509;

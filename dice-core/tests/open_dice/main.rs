//! The Open Profile for DICE against vectors made with the reference implementation, and against hostile input.
#![allow(unreachable_pub, reason = "modules of one test program")]

#[path = "../common/mod.rs"]
mod common;
mod derive;
mod support;

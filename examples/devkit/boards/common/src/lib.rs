//! What every board of the DevKit's firmware needs, and no board has an opinion on: the clock, the heap, random numbers,
//! faults whose cause outlives the reset, the trust anchors, and the stack's high-water mark.
//!
//! What needs a Cortex-M is compiled for one only; the rest is tested on hosts.
#![cfg_attr(not(test), no_std)]

// The C functions that Mbed TLS expects.
#[cfg(target_os = "none")]
use tinyrlibc as _;

pub mod crash;
pub mod random;
pub mod roots;
pub mod trail;

#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(target_os = "none")]
pub mod heap;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
pub mod network;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(target_os = "none")]
mod unsupported;

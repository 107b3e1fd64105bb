//! What every board of the DevKit's firmware needs, and no board has an opinion on: the clock, the heap, the network,
//! faults whose cause and a time that outlive the reset, the trust anchors, and the stack's high-water mark. What
//! other firmware needs, too, is in `azure-iot-embassy`.
//!
//! What needs a Cortex-M is compiled for one only; the rest is tested on hosts.
#![cfg_attr(not(test), no_std)]

// The C functions that Mbed TLS expects.
#[cfg(all(target_os = "none", feature = "mbedtls"))]
use tinyrlibc as _;

pub mod backtrace;
pub mod crash;
pub mod roots;

#[cfg(all(target_os = "none", any(feature = "mbedtls", feature = "embedded-tls")))]
pub mod board;
#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(all(target_os = "none", feature = "mbedtls"))]
pub mod heap;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
mod memory;
#[cfg(all(target_os = "none", any(feature = "mbedtls", feature = "embedded-tls")))]
pub mod network;
#[cfg(target_os = "none")]
pub mod retained;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(target_os = "none")]
pub mod system;
#[cfg(all(target_os = "none", feature = "mbedtls"))]
mod unsupported;

/// When this firmware was built, in seconds since 1970: `build.rs` says by which clock.
pub const BUILT: u64 = number(env!("FIRMWARE_DATE"));

const fn number(digits: &str) -> u64 {
    match u64::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("the firmware's date is a number"),
    }
}

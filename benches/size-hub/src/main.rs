//! The smallest program that uses all of the hub client, for measuring its flash size (see the README of
//! `iothub-mqtt`): identity, telemetry, cloud-to-device messages, methods, twin and Plug and Play, over a session that
//! does nothing. With the feature `dps` the registration too. On a host it only shows that the program builds and what
//! the states take in RAM.
#![cfg_attr(target_os = "none", no_std, no_main)]
use core::hint::black_box;

#[cfg(not(feature = "topics-only"))]
mod client;
#[cfg(feature = "topics-only")]
mod topics;

fn run() -> usize {
    #[cfg(feature = "topics-only")]
    let done = topics::run().unwrap_or(0);
    #[cfg(not(feature = "topics-only"))]
    let done = client::run();
    #[cfg(feature = "dps")]
    let done = done + size_dps::run();
    done
}

#[cfg(not(target_os = "none"))]
fn main() {
    #[cfg(not(feature = "topics-only"))]
    client::report();
    black_box(run());
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    black_box(run());
    loop {}
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

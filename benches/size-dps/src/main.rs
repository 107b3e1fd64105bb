//! The smallest program that uses the whole MQTT path of the crate, for measuring its flash size (see the README).
//! On a host it only shows that the program builds and what the state takes in RAM.
#![cfg_attr(target_os = "none", no_std, no_main)]
use core::hint::black_box;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("Registration: {} bytes of RAM", size_of::<dps_client::Registration<'_>>());
    black_box(size_dps::run());
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    black_box(size_dps::run());
    loop {}
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

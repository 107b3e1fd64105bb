//! The interrupts of mps2-an386 that the firmware uses, and the table that leads to their handlers.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

use crate::{lan9118, uart};

/// An interrupt's number.
#[derive(Clone, Copy)]
struct Number(u16);

// SAFETY: numbers of the table below only, which is shorter than the processor's.
unsafe impl InterruptNumber for Number {
    fn number(self) -> u16 {
        self.0
    }
}

const CONSOLE: [usize; 2] = [0, 1];
const BRIDGE: [usize; 2] = [2, 3];
const ETHERNET: usize = 13;

extern "C" fn console() {
    uart::CONSOLE.on_interrupt();
}

extern "C" fn bridge() {
    uart::BRIDGE.on_interrupt();
}

extern "C" fn ethernet() {
    lan9118::on_interrupt();
}

extern "C" fn unexpected() {
    panic!("an interrupt nobody asked for");
}

/// The device's part of the vector table.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [extern "C" fn(); 32] = {
    let mut table: [extern "C" fn(); 32] = [unexpected; 32];
    table[CONSOLE[0]] = console;
    table[CONSOLE[1]] = console;
    table[BRIDGE[0]] = bridge;
    table[BRIDGE[1]] = bridge;
    table[ETHERNET] = ethernet;
    table
};

/// Lets the serial ports' interrupts through.
pub(crate) fn enable_serial() {
    for number in CONSOLE.into_iter().chain(BRIDGE) {
        unmask(number);
    }
}

/// Lets the Ethernet controller's interrupt through: it must have been started, because its line means the opposite
/// before.
pub(crate) fn enable_ethernet() {
    unmask(ETHERNET);
}

fn unmask(number: usize) {
    let number = Number(u16::try_from(number).unwrap_or_default());
    // SAFETY: all handlers are in the table, and they use nothing without a critical section.
    unsafe { NVIC::unmask(number) };
}

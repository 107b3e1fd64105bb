//! A device registers at the provisioning service, connects to its hub, sends telemetry, and takes a cloud-to-device
//! message, a method and a change of its twin, all answered by a service in the same image. Which device it is is a
//! cargo feature; what each step costs is printed, and `tools/compare` makes tables of it.
#![no_std]
#![no_main]

mod clock;
mod service;
#[cfg(feature = "mqtt")]
mod wire;

#[cfg(feature = "other")]
#[path = "other.rs"]
mod device;
#[cfg(feature = "ours")]
#[path = "ours.rs"]
mod device;
#[cfg(not(any(feature = "ours", feature = "other")))]
#[path = "nobody.rs"]
mod device;

use cortex_m_semihosting::{debug, hprint, hprintln};
#[cfg(feature = "explain")]
use panic_semihosting as _;
use service::Push;

/// Room for one packet in, and one out.
#[cfg(all(feature = "ours", feature = "mqtt"))]
pub(crate) const BUFFER: usize = if cfg!(feature = "growth") { 5 * 1024 } else { 1024 };
/// Steps that are measured are repeated, so that the counter's ticks do not matter.
const REPEATED: u32 = 100;

/// A device that is connected. Each call goes on until it cannot do more.
pub(crate) trait Device {
    /// A message with two properties.
    fn telemetry(&mut self, payload: &[u8]);
    /// Looks for what has come, and answers.
    fn receive(&mut self);
}

/// What a device has allocated until now.
pub(crate) struct Heap {
    pub(crate) peak: usize,
    pub(crate) held: usize,
    pub(crate) allocations: usize,
}

/// Whether the service has nothing to say, and waits for nothing.
pub(crate) fn is_idle() -> bool {
    #[cfg(feature = "mqtt")]
    let read = wire::is_idle();
    #[cfg(not(feature = "mqtt"))]
    let read = true;
    read && service::is_idle()
}

pub(crate) fn settle(device: &mut impl Device) {
    for _ in 0..1000 {
        if is_idle() {
            return;
        }
        device.receive();
    }
    panic!("the device does not answer");
}

/// Sizes of the payloads whose cost is printed.
const PAYLOADS: &[usize] =
    if cfg!(feature = "growth") { &[16, 64, 256, 1024, 2048, 4096] } else { &[64, 256] };

/// What is done, how often, and whether it is printed.
pub(crate) struct Story {
    repeated: u32,
    prints: bool,
}

impl Story {
    /// Does a step, and prints its instructions; behind them, if there is a heap, its allocations, and how much is held
    /// afterwards and was held at most until then.
    fn step(&self, name: &str, times: u32, call: impl FnOnce()) {
        let before = device::heap();
        let instructions = clock::instructions(call) / times;
        if self.prints {
            hprint!("{}\t{}", name, instructions);
            if let (Some(before), Some(now)) = (before, device::heap()) {
                hprint!(
                    "\t{}\t{}\t{}",
                    (now.allocations - before.allocations) / times as usize,
                    now.held,
                    now.peak
                );
            }
            hprintln!();
        }
    }

    /// A step that there is once.
    pub(crate) fn once<T>(&self, name: &str, call: impl FnOnce() -> T) -> T {
        let mut result = None;
        self.step(name, 1, || result = Some(call()));
        result.expect("was called")
    }

    /// All that a device does while it is connected.
    pub(crate) fn connected(&self, device: &mut impl Device) {
        static PAYLOAD: [u8; 4096] = [b'x'; 4096];
        for size in PAYLOADS {
            let before = service::telemetry();
            let mut name = heapless::String::<40>::new();
            core::fmt::write(&mut name, format_args!("telemetry, {size} bytes")).expect("short");
            self.step(&name, self.repeated, || {
                for _ in 0..self.repeated {
                    device.telemetry(&PAYLOAD[..*size]);
                    settle(device);
                }
            });
            assert_eq!(service::telemetry(), before + self.repeated);
        }
        for (name, push) in [
            ("cloud-to-device message", Push::Message),
            ("method, answered", Push::Method),
            ("desired property, acknowledged", Push::Desired),
        ] {
            self.step(name, self.repeated, || {
                for _ in 0..self.repeated {
                    clock::elsewhere(|| service::push(push));
                    settle(device);
                }
            });
        }
    }
}

fn measure() {
    let stack = clock::stack(|| device::run(&Story { repeated: 1, prints: false }));
    hprintln!("stack\t{}", stack);
    device::run(&Story { repeated: REPEATED, prints: true });
    #[cfg(all(feature = "ours", feature = "mqtt", feature = "growth"))]
    device::report_ram();
}

#[cortex_m_rt::entry]
fn main() -> ! {
    measure();
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

/// As in a device: nobody reads the reason.
#[cfg(not(feature = "explain"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}

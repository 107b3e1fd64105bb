//! The DevKit's firmware on an emulated board: QEMU's mps2-an386, a Cortex-M4F with Ethernet.
//!
//! The application is `devkit-app`; here is what it runs on. The board has no I2C bus to the outside, no buttons and no
//! lamps: those are virtual devices on the host, behind the second serial port.
#![no_std]
#![no_main]
#![allow(clippy::large_futures, reason = "the main task's future is a static")]

mod board;
mod bridge;
mod interrupts;
mod lan9118;
mod registers;
mod uart;
mod watchdog;

use core::fmt::Write;
use core::pin::pin;

use azure_iot_embassy::entropy::Pool;
use azure_iot_embassy::random::RANDOM;
use devkit_app::Options;
use devkit_app::board::{Button, Panel};
#[cfg(feature = "mbedtls")]
use devkit_common::heap;
use devkit_common::network::{StackLink, StackNetwork};
use devkit_common::system::BoardSystem;
use devkit_common::{clock, fault, retained};
use embassy_executor::Spawner;
use embassy_net::{DhcpConfig, Runner, StackResources};
use embassy_time::Delay;
use static_cell::StaticCell;
use stsafe_a100::asynch::Stsafe;

use crate::board::{Emulated, Qemu};
use crate::bridge::{BridgeFlash, BridgePanel, Bus, Line, SharedLine};
use crate::lan9118::Lan9118;
use crate::registers::Register;
use crate::uart::{CONSOLE, Console};

/// The core's clock.
const CORE_HZ: u32 = 25_000_000;
/// Counts up at the core's frequency (application note AN386, §4.5: FPGAIO COUNTER).
// SAFETY: a register that is read without effect.
const COUNTER: Register = unsafe { Register::at(0x4002_8018) };
/// The watchdog barks after this time without food.
const WATCHDOG_MS: u32 = 15_000;
/// DHCP, DNS, the time, and one connection.
const SOCKETS: usize = 4;

#[embassy_executor::task]
async fn network_task(mut runner: Runner<'static, Lan9118>) {
    runner.run().await;
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    fault::start();
    #[cfg(feature = "mbedtls")]
    heap::start();
    // Nobody else has taken them: this is the first line that could.
    let Some(core) = cortex_m::Peripherals::take() else { return };
    clock::start_with(core.SYST, CORE_HZ, || COUNTER.read());
    CONSOLE.start();
    uart::BRIDGE.start();
    interrupts::enable_serial();
    watchdog::start(CORE_HZ, WATCHDOG_MS);

    static LINE: StaticCell<SharedLine> = StaticCell::new();
    let line = LINE.init(Line::open().await);
    let (mut bus, mut panel) = (Bus(line), BridgePanel(line));
    panel.reset().await;
    seed(&mut bus, &mut panel).await;

    let controller = match Lan9118::start() {
        Ok(controller) => controller,
        Err(error) => fault::crash(format_args!("the Ethernet controller answers {:#x}", error.0)),
    };
    interrupts::enable_ethernet();
    let mac = controller.mac();
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    // Ports and sequence numbers; without random numbers there is no TLS anyway.
    let mut stack_seed = [0; 8];
    let _ = RANDOM.fill(&mut stack_seed);
    let (stack, runner) = embassy_net::new(
        controller,
        embassy_net::Config::dhcpv4(DhcpConfig::default()),
        RESOURCES.init(StackResources::new()),
        u64::from_le_bytes(stack_seed),
    );
    match network_task(runner) {
        Ok(task) => spawner.spawn(task),
        Err(error) => panic!("the network's task: {error:?}"),
    }

    let mut board = Qemu {
        bus,
        delay: Delay,
        console: Console,
        panel,
        network: StackNetwork::new(stack, board::extra_root()),
        link: StackLink::new(stack),
        key_flash: BridgeFlash(line),
        // SAFETY: the image's own bytes, which nothing writes to.
        system: unsafe { BoardSystem::new(Emulated, mac, env!("CARGO_PKG_VERSION")) },
    };
    pin!(devkit_app::run_forever(&mut board, &Options::default())).await;
}

/// Questions to the host whose time is taken, in cycles of 40 ns.
const JITTER_SAMPLES: usize = 320;

/// Seeds the random numbers. The emulated board has no generator of its own, and whoever watches the bus knows what
/// the secure element gives; so what counts is the time that the host takes for an answer. Without a seed there are
/// no connections.
async fn seed(bus: &mut Bus, panel: &mut BridgePanel) {
    let mut pool = Pool::new();
    let mut element = [0; 64];
    match Stsafe::new(bus, Delay).random(&mut element).await {
        Ok(()) => pool.add_observed("the secure element", &element),
        Err(_) => pool.fail("the secure element"),
    }
    let mut cycles = [0; JITTER_SAMPLES];
    for sample in &mut cycles {
        let start = COUNTER.read();
        panel.is_pressed(Button::A).await;
        *sample = COUNTER.read().wrapping_sub(start);
    }
    pool.add_jitter("the clock", cycles.into_iter());
    pool.add_uncounted(&retained::seed());
    if let Err(error) = RANDOM.seed(pool) {
        let mut line = heapless::String::<128>::new();
        // A text that does not fit is cut.
        let _ = write!(line, "ERROR: {error}\r\n");
        CONSOLE.write(line.as_bytes()).await;
    }
}

//! The DevKit's firmware on its board, the MXChip AZ3166.
//!
//! The application is `devkit-app`; here is what it runs on. The original boot loader starts this image: `cortex-m-rt`
//! sets the vector table (feature `set-vtor`), and [`clocks`] sets up the clock tree anew.
#![no_std]
#![no_main]

mod board;
mod clocks;
mod panel;
mod port;
mod reset;
#[cfg(not(feature = "wifi"))]
mod serial_network;
#[cfg(feature = "wifi")]
mod wifi;

use core::fmt::Write as _;

use azure_iot_embassy::entropy::Pool;
use azure_iot_embassy::random::RANDOM;
use devkit_app::Options;
use devkit_common::system::BoardSystem;
use devkit_common::{clock, fault, heap, retained};
use embassy_embedded_hal::adapter::BlockingAsync;
use embassy_embedded_hal::shared_bus::asynch::i2c::I2cDevice;
use embassy_executor::Spawner;
use embassy_stm32::i2c::{self, I2c};
use embassy_stm32::peripherals::{RNG, USART6};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{self, BufferedUart};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Peri, bind_interrupts, uid};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_time::{Delay, Duration};
use embedded_io_async::Write;
use static_cell::ConstStaticCell;
use stsafe_a100::asynch::Stsafe;

use crate::board::{Az3166, Bus, Chip};
use crate::panel::{BoardPanel, Pins};
use crate::port::{Port, config_for};
#[cfg(not(feature = "wifi"))]
use crate::serial_network as network;
#[cfg(feature = "wifi")]
use crate::wifi as network;

/// The bus's speed: the fastest that all chips on it take.
const I2C_HZ: u32 = 400_000;
/// A slave that holds the clock for longer is given up.
const I2C_TIMEOUT: Duration = Duration::from_millis(100);
/// The terminal's speed.
const CONSOLE_BAUD: u32 = 115_200;
/// The watchdog resets the board after this time without being fed. Its clock is anything from half to 1.5 of
/// its nominal frequency, so in practice after 10 to 28 s.
const WATCHDOG_US: u32 = 15_000_000;

bind_interrupts!(struct Interrupts {
    USART6 => usart::BufferedInterruptHandler<USART6>;
    RNG => rng::InterruptHandler<RNG>;
});

#[embassy_executor::main(executor = "embassy_executor::Executor", entry = "cortex_m_rt::entry")]
async fn main(spawner: Spawner) {
    fault::start();
    heap::start();
    let chip = embassy_stm32::init(clocks::config());
    // Nobody else has taken them: this is the first line that could.
    let Some(core) = cortex_m::Peripherals::take() else { return };
    clock::start(core.SYST, clocks::CORE_HZ);
    let mut watchdog = IndependentWatchdog::new(chip.IWDG, WATCHDOG_US);
    watchdog.unleash();

    static CONSOLE: ConstStaticCell<([u8; 512], [u8; 256])> = ConstStaticCell::new(([0; 512], [0; 256]));
    let (tx, rx) = CONSOLE.take();
    let console =
        BufferedUart::new(chip.USART6, chip.PA12, chip.PA11, tx, rx, Interrupts, config_for(CONSOLE_BAUD));
    let Ok(console) = console else { panic!("the console's port refuses its speed") };
    let mut console = Port::new(console);

    let mut config = i2c::Config::default();
    (config.frequency, config.timeout) = (Hertz(I2C_HZ), I2C_TIMEOUT);
    let mut bus: Bus = BlockingAsync::new(I2c::new_blocking(chip.I2C1, chip.PB8, chip.PB9, config));
    seed(&mut bus, chip.RNG, &mut console).await;

    #[cfg(feature = "wifi")]
    let parts = network::Parts { interrupt: chip.PC0, interrupt_line: chip.EXTI0 };
    #[cfg(not(feature = "wifi"))]
    let parts = network::Parts { port: chip.USART1, rx: chip.PB7, tx: chip.PB6 };
    let (network, link) = network::start(spawner, parts);

    let mut board = Az3166 {
        bus,
        delay: Delay,
        console,
        panel: BoardPanel::new(Pins {
            button_a: chip.PA4,
            button_b: chip.PA10,
            wifi: chip.PB2,
            azure: chip.PA15,
            user: chip.PC13,
            red: chip.PB4,
            green: chip.PB3,
            blue: chip.PC7,
            green_timer: chip.TIM2,
            red_blue_timer: chip.TIM3,
        }),
        network,
        link,
        key_flash: board::key_flash(chip.FLASH),
        // SAFETY: the image's own bytes in flash, which nothing writes to.
        system: unsafe {
            BoardSystem::new(Chip(watchdog), board::mac(&uid::uid()), env!("CARGO_PKG_VERSION"))
        },
    };
    #[allow(clippy::large_futures, reason = "it lies in this task's static memory")]
    devkit_app::run_forever(&mut board, &Options::default()).await;
}

/// Seeds the random numbers from the chip's own generator, which counts, and from the secure element, whose bus
/// others can read. Both have to work: without a seed there are no connections, and the console says why.
async fn seed(bus: &mut Bus, generator: Peri<'static, RNG>, console: &mut Port) {
    let mut pool = Pool::new();
    let mut bytes = [0; 64];
    // Through types that the application uses, too: one copy of the driver in the image instead of two.
    let bus = Mutex::<NoopRawMutex, _>::new(bus);
    match Stsafe::new(&mut I2cDevice::new(&bus), &mut Delay).random(&mut bytes).await {
        Ok(()) => pool.add_observed("the secure element", &bytes),
        Err(_) => pool.fail("the secure element"),
    }
    match Rng::new(generator, Interrupts).async_fill_bytes(&mut bytes).await {
        Ok(()) => pool.add_generator("the chip's generator", &bytes),
        Err(_) => pool.fail("the chip's generator"),
    }
    pool.add_uncounted(&uid::uid()[..]);
    pool.add_uncounted(&retained::seed());
    if let Err(error) = RANDOM.seed(pool) {
        let mut line = heapless::String::<128>::new();
        // A text that does not fit is cut; and nothing is left to do if the terminal itself is gone.
        let _ = write!(line, "ERROR: {error}\r\n");
        let _ = console.write_all(line.as_bytes()).await;
    }
}

//! A DevKit made of this machine: the virtual peripherals on its I2C bus, this machine's network, and the firmware's
//! own application.

mod network;
pub mod screen;
mod terminal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use devkit_app::board::{Button, Crash, Lamp, Rgb};
use devkit_app::{AppEvent, Board, Panel, Parts, System};
use embedded_hal::i2c::{ErrorType, Operation, SevenBitAddress};
use embedded_io_adapters::tokio_1::FromTokio;
use peripherals::{Bus, DevKit, FlashSector, TransactionError};
use stsafe_a100::sim::VirtualChip;
use tokio::io::DuplexStream;

pub use network::{AccessPoint, ConnectError, HostLink, HostNetwork};
pub use terminal::Terminal;

/// Capacity of the serial line for unread bytes.
const LINE: usize = 1 << 16;

/// A board made of this machine. What the user of a real one touches is in [`User`].
#[allow(missing_debug_implementations, reason = "a terminal's stream has nothing to print")]
pub struct HostBoard {
    bus: HostBus,
    delay: HostDelay,
    console: FromTokio<DuplexStream>,
    panel: HostPanel,
    network: HostNetwork,
    link: HostLink,
    key_flash: FlashSector,
    system: HostSystem,
}

/// What the user of a board touches and sees.
#[allow(missing_debug_implementations, reason = "a terminal's stream has nothing to print")]
pub struct User {
    /// The other end of the serial line.
    pub terminal: Terminal,
    /// Buttons and lamps.
    pub panel: peripherals::Panel,
    /// The display.
    pub display: peripherals::Shared<peripherals::Ssd1306>,
    /// The bus, to put something else on it.
    pub bus: HostBus,
    /// The sensor for temperature and humidity.
    pub climate: peripherals::Shared<peripherals::Hts221>,
    /// What a reset does not clear.
    pub memory: Arc<Mutex<Memory>>,
}

/// What a reset does not clear: flash and memory outside the program's.
#[derive(Debug, Default)]
pub struct Memory {
    /// What ended the last run.
    pub crash: Option<Crash>,
    /// The flash with the host keys.
    pub key_flash: FlashSector,
    /// How often the watchdog was fed.
    pub watchdog_feeds: u32,
    /// How often the application wanted a reset.
    pub resets: u32,
}

impl HostBoard {
    /// A board with this secure element. Must be called within a Tokio runtime, on which its terminal is read.
    #[must_use]
    pub fn new(chip: VirtualChip, network: HostNetwork, system: HostSystem) -> (Self, User) {
        let (console, terminal) = tokio::io::duplex(LINE);
        let kit = DevKit::new(chip, system.mac);
        let bus = HostBus(Arc::new(Mutex::new(Clocked { bus: kit.bus, last: Instant::now(), stuck: false })));
        let user = User {
            terminal: Terminal::new(terminal, false),
            panel: kit.panel.clone(),
            display: kit.display,
            bus: bus.clone(),
            climate: kit.climate,
            memory: system.memory.clone(),
        };
        let key_flash = lock(&system.memory).key_flash.clone();
        let board = Self {
            delay: HostDelay(bus.clone()),
            bus,
            console: FromTokio::new(console),
            panel: HostPanel(kit.panel),
            link: network.link(),
            key_flash,
            network,
            system,
        };
        (board, user)
    }
}

impl Board for HostBoard {
    type I2c = HostBus;
    type Delay = HostDelay;
    type Console = FromTokio<DuplexStream>;
    type Panel = HostPanel;
    type Network = HostNetwork;
    type Link = HostLink;
    type KeyFlash = FlashSector;
    type System = HostSystem;

    fn parts(&mut self) -> Parts<'_, Self> {
        let Self { bus, delay, console, panel, network, link, key_flash, system } = self;
        Parts { i2c: bus, delay, console, panel, network, link, key_flash, system }
    }
}

struct Clocked {
    bus: Bus,
    last: Instant,
    /// The clock line is held down.
    stuck: bool,
}

impl Clocked {
    /// Lets the devices see the time that has passed.
    fn catch_up(&mut self) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.last);
        self.last = now;
        self.bus.elapse(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The bus, on this machine's clock.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "what is on it has nothing to print")]
pub struct HostBus(Arc<Mutex<Clocked>>);

impl HostBus {
    /// Puts a device in the place of the one at this address.
    pub fn attach(&self, address: u8, device: impl peripherals::I2cSlave + Send + 'static) {
        lock(&self.0).bus.attach(address, device);
    }

    /// Holds the clock line down, or lets it go: a transaction that begins meanwhile never ends.
    pub fn set_stuck(&self, stuck: bool) {
        lock(&self.0).stuck = stuck;
    }
}

/// Locks, also after a panic elsewhere: what these locks protect is consistent at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ErrorType for HostBus {
    type Error = TransactionError;
}

impl embedded_hal_async::i2c::I2c<SevenBitAddress> for HostBus {
    async fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), TransactionError> {
        if lock(&self.0).stuck {
            std::future::pending::<()>().await;
        }
        let mut clocked = lock(&self.0);
        clocked.catch_up();
        embedded_hal::i2c::I2c::transaction(&mut clocked.bus, address, operations)
    }
}

/// Waits on the bus's behalf: simulated time passes for its devices, no real time.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "what is on the bus has nothing to print")]
pub struct HostDelay(HostBus);

impl embedded_hal_async::delay::DelayNs for HostDelay {
    async fn delay_ns(&mut self, ns: u32) {
        lock(&self.0.0).bus.elapse(ns.into());
    }
}

/// The virtual buttons and lamps.
#[derive(Debug)]
pub struct HostPanel(peripherals::Panel);

impl Panel for HostPanel {
    async fn is_pressed(&mut self, button: Button) -> bool {
        let buttons = self.0.buttons();
        match button {
            Button::A => buttons.a,
            Button::B => buttons.b,
        }
    }

    async fn set_lamp(&mut self, lamp: Lamp, on: bool) {
        let lamp = match lamp {
            Lamp::Wifi => peripherals::Lamp::Wifi,
            Lamp::Azure => peripherals::Lamp::Azure,
            Lamp::User => peripherals::Lamp::User,
        };
        self.0.set_lamp(lamp, if on { u8::MAX } else { 0 });
    }

    async fn set_rgb(&mut self, color: Rgb) {
        use peripherals::Lamp::{Blue, Green, Red};
        for (lamp, value) in [(Red, color.red), (Green, color.green), (Blue, color.blue)] {
            self.0.set_lamp(lamp, value);
        }
    }
}

/// Receives the application's events.
pub type Observer = Box<dyn FnMut(&AppEvent<'_>)>;

/// The firmware image, the MAC address, and who listens to the device's events.
#[allow(missing_debug_implementations, reason = "an observer has nothing to print")]
pub struct HostSystem {
    /// The firmware image in its flash.
    pub image: Vec<u8>,
    /// The firmware's version.
    pub version: String,
    /// The MAC address.
    pub mac: [u8; 6],
    /// Receives the application's events.
    pub observer: Observer,
    /// What a reset does not clear.
    pub memory: Arc<Mutex<Memory>>,
}

impl System for HostSystem {
    fn image(&self) -> &[u8] {
        &self.image
    }

    fn firmware_version(&self) -> &str {
        &self.version
    }

    fn versions(&self) -> &[&str] {
        &["board host"]
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn random(&mut self) -> u32 {
        rand::random()
    }

    fn crash(&self) -> Option<Crash> {
        lock(&self.memory).crash.clone()
    }

    fn forget_crash(&mut self) {
        lock(&self.memory).crash = None;
    }

    fn feed_watchdog(&mut self) {
        lock(&self.memory).watchdog_feeds += 1;
    }

    fn reset(&mut self) {
        lock(&self.memory).resets += 1;
    }

    fn observe(&mut self, event: &AppEvent<'_>) {
        (self.observer)(event);
    }
}

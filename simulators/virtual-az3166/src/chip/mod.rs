//! The STM32F412 around the core: peripherals by address, their interrupt lines, and when they act next.

mod exti;
mod flash;
mod gpio;
mod i2c;
mod quadspi;
mod rcc;
mod registers;
mod rng;
mod sdio;
mod timer;
mod usart;
mod watchdog;

use std::collections::BTreeMap;

use peripherals::{DevKit, Lamp, Panel};

use crate::system::Lines;
use crate::time::Cycles;
use exti::Exti;
use flash::Flash;
use gpio::Port;
use i2c::I2c;
use quadspi::Quadspi;
use rcc::Rcc;
pub use rcc::ResetCause;
use registers::Registers;
use rng::Rng;
use sdio::Sdio;
use timer::Timer;
use usart::Usart;
use watchdog::Watchdog;

/// Ports A to H.
const PORTS: usize = 8;
const PORT_A: usize = 0;
const PORT_B: usize = 1;
/// The pin of port A that is the radio's reset line, low while nobody drives it.
const RADIO_RESET: u8 = 9;
const PORT_C: usize = 2;
/// The pin of port C that the radio interrupts with, and the external interrupt of that number.
const RADIO_INTERRUPT: u8 = 0;

/// Blocks of registers that the firmware sets up, and whose effects nobody on the board can see: power control,
/// system configuration.
const PLAIN: [u32; 2] = [0x4000_7000, SYSTEM_CONFIGURATION];
/// What says whose pins external interrupts are.
const SYSTEM_CONFIGURATION: u32 = 0x4001_3800;

/// The chip's peripherals.
pub(crate) struct Chip {
    pub(crate) ports: [Port; PORTS],
    rcc: Rcc,
    pub(crate) flash: Flash,
    /// USART6.
    pub(crate) console: Usart,
    /// USART1.
    pub(crate) serial: Usart,
    i2c: I2c,
    watchdog: Watchdog,
    rng: Rng,
    quadspi: Quadspi,
    pub(crate) sdio: Sdio,
    exti: Exti,
    tim2: Timer,
    tim3: Timer,
    others: BTreeMap<u32, Registers>,
    panel: Panel,
}

impl Chip {
    /// Takes the parts' bus.
    pub(crate) fn new(parts: &mut DevKit, seed: u64) -> Self {
        let mut chip = Self {
            ports: Default::default(),
            rcc: Rcc::handed_off(ResetCause::PowerOn, 0),
            flash: Flash::new(!seed),
            console: Usart::default(),
            serial: Usart::default(),
            i2c: I2c::new(std::mem::take(&mut parts.bus)),
            watchdog: Watchdog::new(),
            rng: Rng::new(seed),
            quadspi: Quadspi::new(parts.flash.clone()),
            sdio: Sdio::new(parts.radio.clone()),
            exti: Exti::default(),
            tim2: Timer::default(),
            tim3: Timer::default(),
            others: BTreeMap::new(),
            panel: parts.panel.clone(),
        };
        chip.reset(ResetCause::PowerOn);
        chip
    }

    /// A reset, and the boot loader's run up to the hand-off.
    pub(crate) fn reset(&mut self, cause: ResetCause) {
        let kept = if cause == ResetCause::PowerOn { 0 } else { self.rcc.flags() };
        self.rcc = Rcc::handed_off(cause, kept);
        for (index, port) in self.ports.iter_mut().enumerate() {
            // JTAG and SWD keep their pins.
            let (modes, pulls) = match index {
                PORT_A => (0xA800_0000, 0x6400_0000),
                PORT_B => (0x0000_0280, 0x0000_0100),
                _ => (0, 0),
            };
            port.reset(modes, pulls);
        }
        self.flash.reset();
        self.console.reset();
        self.serial.reset();
        self.i2c.reset();
        self.watchdog = Watchdog::new();
        self.rng.reset();
        self.quadspi.reset();
        self.sdio.reset();
        self.exti.reset();
        (self.tim2, self.tim3) = (Timer::default(), Timer::default());
        self.others = PLAIN.into_iter().map(|base| (base, Registers::default())).collect();
        self.show_lamps();
    }

    /// What the register at an address that is divisible by four holds; `None` if it is not simulated.
    pub(crate) fn read(&mut self, address: u32, now: Cycles) -> Option<u32> {
        let offset = address & 0x3FC;
        Some(match address & !0x3FF {
            0x4000_0000 => self.tim2.read(offset),
            0x4000_0400 => self.tim3.read(offset),
            0x4000_3000 => self.watchdog.read(offset),
            0x4000_5400 => self.i2c.read(offset, now),
            0x4001_1000 => self.serial.read(offset, now),
            0x4001_1400 => self.console.read(offset, now),
            0x4001_2C00 => self.sdio.read(offset, now),
            0x4001_3C00 => self.exti.read(offset),
            base @ 0x4002_0000..0x4002_2000 => {
                self.feel_buttons();
                self.feel_radio(now);
                self.ports[port(base)].read(offset)
            }
            0x4002_3800 => self.rcc.read(offset),
            0x4002_3C00 => self.flash.read(offset),
            0x5006_0800 => self.rng.read(offset),
            0xA000_1000 => self.quadspi.read(offset),
            base => self.others.get(&base)?.read(offset),
        })
    }

    /// Writes a register. Gives whether it is simulated.
    pub(crate) fn write(&mut self, address: u32, value: u32, now: Cycles) -> bool {
        let offset = address & 0x3FC;
        match address & !0x3FF {
            0x4000_0000 => self.tim2.write(offset, value),
            0x4000_0400 => self.tim3.write(offset, value),
            0x4000_3000 => self.watchdog.write(offset, value, now),
            0x4000_5400 => self.i2c.write(offset, value, now),
            0x4001_1000 => self.serial.write(offset, value, now),
            0x4001_1400 => self.console.write(offset, value, now),
            0x4001_2C00 => self.sdio.write(offset, value, now),
            0x4001_3C00 => self.exti.write(offset, value),
            base @ 0x4002_0000..0x4002_2000 => {
                self.ports[port(base)].write(offset, value);
                self.sdio.set_card_reset(!self.ports[PORT_A].is_lit(RADIO_RESET));
            }
            0x4002_3800 => self.rcc.write(offset, value),
            0x4002_3C00 => self.flash.write(offset, value, now),
            0x5006_0800 => self.rng.write(offset, value),
            0xA000_1000 => self.quadspi.write(offset, value),
            base => match self.others.get_mut(&base) {
                Some(registers) => registers.write(offset, value),
                None => return false,
            },
        }
        self.show_lamps();
        true
    }

    /// Writes less than a word. Gives whether that is simulated: a byte to the data register of a serial port, and half
    /// a word to a timer.
    pub(crate) fn write_part(&mut self, address: u32, value: u32, size: usize, now: Cycles) -> bool {
        match (size, address) {
            (1, 0x4001_1004 | 0x4001_1404) => self.write(address, value, now),
            (2, 0x4000_0000..0x4000_0800) if address.is_multiple_of(4) => {
                let upper = self.read(address, now).unwrap_or_default() & 0xFFFF_0000;
                self.write(address, upper | value, now)
            }
            _ => false,
        }
    }

    /// The interrupt lines that are up.
    pub(crate) fn lines(&self) -> Lines {
        let (events, errors) = self.i2c.lines();
        [
            (6, self.exti.line(RADIO_INTERRUPT)),
            (31, events),
            (32, errors),
            (37, self.serial.line()),
            (71, self.console.line()),
            (80, self.rng.line()),
        ]
        .into_iter()
        .map(|(number, up)| Lines::from(up) << number)
        .sum()
    }

    /// When something happens next without the core's doing.
    pub(crate) fn next_event(&self) -> Option<Cycles> {
        [self.console.next_event(), self.serial.next_event(), self.i2c.next_event(), self.watchdog.bites_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets time pass. Gives whether the watchdog bit.
    pub(crate) fn advance(&mut self, now: Cycles) -> bool {
        self.console.advance(now);
        self.serial.advance(now);
        self.i2c.advance(now);
        self.feel_radio(now);
        self.watchdog.bites_at().is_some_and(|at| at <= now)
    }

    /// Button A is PA4, button B is PA10; pressed is low, and released leaves the pin to its resistor.
    fn feel_buttons(&mut self) {
        let buttons = self.panel.buttons();
        let port = &mut self.ports[PORT_A];
        port.drive(4, buttons.a.then_some(false));
        port.drive(10, buttons.b.then_some(false));
    }

    /// The radio's interrupt pin, which external interrupts follow if the system configuration says that line 0 is port
    /// C's.
    fn feel_radio(&mut self, now: Cycles) {
        let is_high = self.sdio.interrupt_pin(now);
        self.ports[PORT_C].drive(RADIO_INTERRUPT, Some(is_high));
        let selected =
            self.others.get(&SYSTEM_CONFIGURATION).map_or(0, |registers| registers.read(0x08)) & 0xF;
        if selected as usize == PORT_C {
            self.exti.set_level(RADIO_INTERRUPT, is_high);
        }
    }

    fn show_lamps(&self) {
        let [a, b, c, ..] = &self.ports;
        let full = |lit| if lit { 255 } else { 0 };
        // A colour is on if its pin belongs to the timer, or is an output that is high.
        let color = |port: &Port, pin, function, brightness| {
            if port.function(pin) == Some(function) { brightness } else { full(port.is_lit(pin)) }
        };
        for (lamp, value) in [
            (Lamp::Wifi, full(b.is_lit(2))),
            (Lamp::Azure, full(a.is_lit(15))),
            (Lamp::User, full(c.is_lit(13))),
            (Lamp::Red, color(b, 4, 2, self.tim3.brightness(1))),
            (Lamp::Green, color(b, 3, 1, self.tim2.brightness(2))),
            (Lamp::Blue, color(c, 7, 2, self.tim3.brightness(2))),
        ] {
            self.panel.set_lamp(lamp, value);
        }
    }
}

/// The port whose registers lie at this address.
fn port(base: u32) -> usize {
    (base >> 10 & 7) as usize
}

#[cfg(test)]
mod tests {
    use stsafe_a100::sim::{Profile, VirtualChip};

    use super::*;

    fn chip() -> (Chip, Panel) {
        let stsafe = VirtualChip::new(Profile::az3166(), [7; 32]);
        let mut parts = DevKit::new(stsafe, [0; 6]);
        (Chip::new(&mut parts, 1), parts.panel)
    }

    #[test]
    fn buttons_and_lamps_are_at_their_pins() {
        let (mut chip, panel) = chip();
        chip.write(0x4002_000C, 1 << 8 | 1 << 20, 0);
        assert_eq!(chip.read(0x4002_0010, 0).map(|level| level & 0x410), Some(0x410));
        panel.press(|buttons| buttons.a = true);
        assert_eq!(chip.read(0x4002_0010, 0).map(|level| level & 0x410), Some(0x400));
        chip.write(0x4002_0800, 1 << 26, 0);
        chip.write(0x4002_0818, 1 << 13, 0);
        assert_eq!(panel.lamp(Lamp::User), 255);
        chip.reset(ResetCause::Pin);
        assert_eq!(panel.lamp(Lamp::User), 0);
    }

    #[test]
    fn what_is_not_simulated_is_reported() {
        let (mut chip, _) = chip();
        assert!(chip.write(0x4000_7000, 7, 0) && chip.read(0x4000_7000, 0) == Some(7));
        // A serial peripheral interface, and a DMA controller.
        for address in [0x4001_3000, 0x4002_6000] {
            assert_eq!((chip.read(address, 0), chip.write(address, 0, 0)), (None, false));
        }
        assert!(chip.write_part(0x4001_1404, 0x78, 1, 0), "a serial port takes bytes");
        assert!(!chip.write_part(0x4002_0018, 1, 1, 0), "a pin's register does not");
        assert!(chip.write(0x4000_0034, 0xABCD_0000, 0) && chip.write_part(0x4000_0034, 0x1234, 2, 0));
        assert_eq!(chip.read(0x4000_0034, 0), Some(0xABCD_1234));
    }

    #[test]
    fn the_watchdog_bites_and_a_reset_stops_it() {
        let (mut chip, _) = chip();
        chip.write(0x4000_3000, 0xCCCC, 0);
        let at = chip.next_event().unwrap();
        assert!(!chip.advance(at - 1) && chip.advance(at));
        chip.reset(ResetCause::Watchdog);
        assert_eq!(chip.next_event(), None);
        assert_eq!(chip.read(0x4002_3874, 0).map(|flags| flags >> 29 & 1), Some(1));
    }
}

//! The AZ3166's peripherals, wired as on the board.

use stsafe_a100::sim::VirtualChip;

use crate::bus::{Bus, Shared, shared};
use crate::panel::Panel;
use crate::ssd1306::Ssd1306;
use crate::stsafe::Stsafe;

/// Everything around the board's microcontroller. The bus goes to whoever plays the controller; the other fields are
/// handles for whoever plays the user.
#[derive(Debug)]
pub struct DevKit {
    /// I2C1.
    pub bus: Bus,
    /// The secure element.
    pub stsafe: VirtualChip,
    /// The display.
    pub display: Shared<Ssd1306>,
    /// Buttons and lamps.
    pub panel: Panel,
    /// The radio's MAC address.
    pub mac: [u8; 6],
}

impl DevKit {
    /// A board with this secure element and MAC address.
    #[must_use]
    pub fn new(stsafe: VirtualChip, mac: [u8; 6]) -> Self {
        let display = shared(Ssd1306::new());
        let mut bus = Bus::new();
        bus.attach(Stsafe::ADDRESS, Stsafe::new(&stsafe));
        bus.attach(Ssd1306::ADDRESS, display.clone());
        Self { bus, stsafe, display, panel: Panel::new(), mac }
    }
}

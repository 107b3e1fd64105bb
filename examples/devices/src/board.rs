//! The AZ3166's peripherals, wired as on the board.

use stsafe_a100::sim::VirtualChip;

use crate::bus::{Bus, Shared, shared};
use crate::panel::Panel;
use crate::sensors::{Hts221, Lis2mdl, Lps22hb, Lsm6dsl};
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
    /// Humidity and temperature.
    pub climate: Shared<Hts221>,
    /// Air pressure.
    pub barometer: Shared<Lps22hb>,
    /// Acceleration and rotation.
    pub motion: Shared<Lsm6dsl>,
    /// Magnetic field.
    pub compass: Shared<Lis2mdl>,
    /// Buttons and lamps.
    pub panel: Panel,
    /// The radio's MAC address.
    pub mac: [u8; 6],
}

impl DevKit {
    /// A board with this secure element and MAC address.
    #[must_use]
    pub fn new(stsafe: VirtualChip, mac: [u8; 6]) -> Self {
        let mut kit = Self {
            bus: Bus::new(),
            stsafe,
            display: shared(Ssd1306::new()),
            climate: shared(Hts221::new()),
            barometer: shared(Lps22hb::new()),
            motion: shared(Lsm6dsl::new()),
            compass: shared(Lis2mdl::new()),
            panel: Panel::new(),
            mac,
        };
        kit.bus.attach(Stsafe::ADDRESS, Stsafe::new(&kit.stsafe));
        kit.bus.attach(Ssd1306::ADDRESS, kit.display.clone());
        kit.bus.attach(Hts221::ADDRESS, kit.climate.clone());
        kit.bus.attach(Lps22hb::ADDRESS, kit.barometer.clone());
        kit.bus.attach(Lsm6dsl::ADDRESS, kit.motion.clone());
        kit.bus.attach(Lis2mdl::ADDRESS, kit.compass.clone());
        kit
    }
}

//! The AZ3166's peripherals, wired as on the board.

use bridge_protocol::Lamp;
use stsafe_a100::sim::VirtualChip;

use crate::bus::{Bus, Shared, shared, with};
use crate::flash::SerialFlash;
use crate::panel::Panel;
use crate::sdio::SdioCard;
use crate::sector::FlashSector;
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
    /// The radio's card.
    pub radio: Shared<SdioCard>,
    /// The serial flash, blank.
    pub flash: Shared<SerialFlash>,
    /// Flash for keys, of boards that have none of their own: not part of the AZ3166.
    pub key_flash: FlashSector,
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
            radio: shared(SdioCard::new()),
            flash: shared(SerialFlash::new()),
            key_flash: FlashSector::new(),
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

    /// Takes the power away: the secure element falls silent, display and lamps go dark. What the user does, the
    /// buttons, stays.
    pub fn power_off(&mut self) {
        // First the secure element: a command whose STOP has not come is lost.
        self.stsafe.power_off();
        self.bus.stop();
        with(&self.display, |display| *display = Ssd1306::new());
        with(&self.radio, SdioCard::power_cycle);
        for lamp in Lamp::ALL {
            self.panel.set_lamp(lamp, 0);
        }
    }

    /// Gives the power back: everything is as after power-up, the sensors in the same surroundings.
    pub fn power_on(&mut self) {
        self.stsafe.power_on();
        with(&self.climate, Hts221::power_cycle);
        with(&self.barometer, Lps22hb::power_cycle);
        with(&self.motion, Lsm6dsl::power_cycle);
        with(&self.compass, Lis2mdl::power_cycle);
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal::i2c::I2c as _;
    use stsafe_a100::sim::{Profile, VirtualChip};

    use super::DevKit;
    use crate::bus::with;
    use crate::{Hts221, Lamp, Ssd1306, Stsafe};

    /// Zone 2, offset 0, "lost".
    const UPDATE: [u8; 11] = [0x06, 0x00, 0x02, 0x00, 0x00, b'l', b'o', b's', b't', 0x8C, 0x16];

    #[test]
    fn a_power_cycle_leaves_memory_and_surroundings_only() {
        let mut kit = DevKit::new(VirtualChip::new(Profile::az3166(), [1; 32]), [0; 6]);
        kit.stsafe.set_zone(2, 0, b"kept");
        with(&kit.climate, |climate| climate.set(-5_00, 90_00));
        kit.panel.set_lamp(Lamp::Azure, 255);
        kit.panel.press(|buttons| buttons.a = true);
        kit.bus.write(Ssd1306::ADDRESS, &[0x00, 0x8D, 0x14, 0xA5, 0xAF]).unwrap();
        kit.bus.write(Hts221::ADDRESS, &[0x20, 0x81]).unwrap();
        let temperature = |kit: &mut DevKit| {
            kit.bus.elapse(2_000_000_000);
            let mut raw = [0; 2];
            kit.bus.write_read(Hts221::ADDRESS, &[0xAA], &mut raw).unwrap();
            raw
        };
        let cold = temperature(&mut kit);
        assert_ne!(cold, [0; 2]);

        // Update of zone 2, complete but for its STOP.
        assert!(kit.bus.start(Stsafe::ADDRESS, false));
        assert!(UPDATE.iter().all(|byte| kit.bus.put(*byte)));
        kit.power_off();
        assert!(kit.bus.write(Stsafe::ADDRESS, &[]).is_err());
        assert_eq!(with(&kit.display, |display| display.picture().count_lit()), 0);
        kit.power_on();
        assert!(kit.bus.write(Stsafe::ADDRESS, &[]).is_ok());
        assert_eq!(kit.stsafe.zone(2).unwrap()[..4], *b"kept");
        assert!(!with(&kit.display, |display| display.is_on()));
        assert_eq!((kit.panel.lamp(Lamp::Azure), kit.panel.buttons().a), (0, true));
        assert_eq!(temperature(&mut kit), [0; 2], "not configured any more");
        kit.bus.write(Hts221::ADDRESS, &[0x20, 0x81]).unwrap();
        assert_eq!(temperature(&mut kit), cold);
        kit.bus.write(Stsafe::ADDRESS, &UPDATE).unwrap();
        assert_eq!(kit.stsafe.zone(2).unwrap()[..4], *b"lost", "with its STOP it counts");
    }
}

//! A port of pins (RM0402 §7).

/// One port: sixteen pins.
#[derive(Default)]
pub(crate) struct Port {
    modes: u32,
    types: u32,
    speeds: u32,
    pulls: u32,
    output: u32,
    alternate: [u32; 2],
    /// Pins that something outside drives, and to what.
    driven: u16,
    levels: u16,
}

impl Port {
    /// After a reset; what is outside stays. `modes` and `pulls` keep the debugger's pins.
    pub(crate) fn reset(&mut self, modes: u32, pulls: u32) {
        *self = Self { modes, pulls, driven: self.driven, levels: self.levels, ..Self::default() };
    }

    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            0x00 => self.modes,
            0x04 => self.types,
            0x08 => self.speeds,
            0x0C => self.pulls,
            0x10 => (0..16).map(|pin| u32::from(self.level(pin)) << pin).sum(),
            0x14 => self.output,
            0x20 => self.alternate[0],
            0x24 => self.alternate[1],
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            0x00 => self.modes = value,
            0x04 => self.types = value & 0xFFFF,
            0x08 => self.speeds = value,
            0x0C => self.pulls = value,
            0x14 => self.output = value & 0xFFFF,
            // Set wins over reset.
            0x18 => self.output = (self.output & !(value >> 16)) | value & 0xFFFF,
            0x20 => self.alternate[0] = value,
            0x24 => self.alternate[1] = value,
            _ => {}
        }
    }

    /// The level of a pin: an output's own, a driven input's, or where its resistor pulls it. What floats reads low.
    pub(crate) fn level(&self, pin: u8) -> bool {
        if self.mode(pin) == 1 {
            return self.output >> pin & 1 != 0;
        }
        if self.driven >> pin & 1 != 0 {
            return self.levels >> pin & 1 != 0;
        }
        self.pulls >> (2 * pin) & 3 == 1
    }

    /// Whether the pin drives a lamp.
    pub(crate) fn is_lit(&self, pin: u8) -> bool {
        self.mode(pin) == 1 && self.level(pin)
    }

    /// The alternate function of a pin, if it has one.
    pub(crate) fn function(&self, pin: u8) -> Option<u8> {
        let word = self.alternate[usize::from(pin >> 3 & 1)];
        (self.mode(pin) == 2).then(|| (word >> (4 * (pin & 7)) & 0xF) as u8)
    }

    /// Drives a pin from outside, or lets it go.
    pub(crate) fn drive(&mut self, pin: u8, level: Option<bool>) {
        let bit = 1 << pin;
        self.driven &= !bit;
        self.levels &= !bit;
        if let Some(level) = level {
            self.driven |= bit;
            self.levels |= u16::from(level) << pin;
        }
    }

    fn mode(&self, pin: u8) -> u32 {
        self.modes >> (2 * pin) & 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_follow_their_driver_then_their_resistor() {
        let mut port = Port::default();
        assert!(!port.level(4), "floating");
        port.write(0x0C, 1 << 8);
        assert!(port.level(4), "pulled up");
        port.drive(4, Some(false));
        assert_eq!(port.read(0x10), 0, "driven low against the resistor");
        port.drive(4, None);
        assert_eq!(port.read(0x10), 1 << 4);
        port.write(0x00, 1 << 8);
        port.write(0x18, 1 << 4);
        assert!(port.is_lit(4));
        port.write(0x18, 1 << 20);
        assert_eq!((port.is_lit(4), port.read(0x14)), (false, 0));
        port.write(0x00, 2 << 8);
        port.write(0x20, 7 << 16);
        assert_eq!((port.function(4), port.function(5)), (Some(7), None));
    }
}

//! Buttons and lamps.

use devkit_app::Panel;
use devkit_app::board::{Button, Lamp, Rgb};
use embassy_stm32::Peri;
use embassy_stm32::gpio::{Input, Level, Output, OutputType, Pull, Speed};
use embassy_stm32::peripherals::{PA4, PA10, PA15, PB2, PB3, PB4, PC7, PC13, TIM2, TIM3};
use embassy_stm32::time::Hertz;
use embassy_stm32::timer::low_level::CountingMode;
use embassy_stm32::timer::simple_pwm::{PwmPin, SimplePwm};

/// Frequency of the RGB lamp's light, as in the original firmware.
const PWM_HZ: u32 = 1000;

/// The pins that buttons and lamps are at.
pub(crate) struct Pins {
    pub(crate) button_a: Peri<'static, PA4>,
    pub(crate) button_b: Peri<'static, PA10>,
    pub(crate) wifi: Peri<'static, PB2>,
    pub(crate) azure: Peri<'static, PA15>,
    pub(crate) user: Peri<'static, PC13>,
    pub(crate) red: Peri<'static, PB4>,
    pub(crate) green: Peri<'static, PB3>,
    pub(crate) blue: Peri<'static, PC7>,
    pub(crate) green_timer: Peri<'static, TIM2>,
    pub(crate) red_blue_timer: Peri<'static, TIM3>,
}

/// Two buttons, three lamps, and one with colours.
pub(crate) struct BoardPanel {
    button_a: Input<'static>,
    button_b: Input<'static>,
    lamps: [Output<'static>; 3],
    green: SimplePwm<'static, TIM2>,
    red_blue: SimplePwm<'static, TIM3>,
}

impl BoardPanel {
    /// All lamps dark. The buttons' pins are pulled up; a pressed button pulls its pin low.
    pub(crate) fn new(pins: Pins) -> Self {
        let push_pull = OutputType::PushPull;
        let hz = Hertz(PWM_HZ);
        let mut green = SimplePwm::new(
            pins.green_timer,
            None,
            Some(PwmPin::new(pins.green, push_pull)),
            None,
            None,
            hz,
            CountingMode::EdgeAlignedUp,
        );
        let mut red_blue = SimplePwm::new(
            pins.red_blue_timer,
            Some(PwmPin::new(pins.red, push_pull)),
            Some(PwmPin::new(pins.blue, push_pull)),
            None,
            None,
            hz,
            CountingMode::EdgeAlignedUp,
        );
        green.ch2().enable();
        red_blue.ch1().enable();
        red_blue.ch2().enable();
        let mut panel = Self {
            button_a: Input::new(pins.button_a, Pull::Up),
            button_b: Input::new(pins.button_b, Pull::Up),
            lamps: [
                Output::new(pins.wifi, Level::Low, Speed::Low),
                Output::new(pins.azure, Level::Low, Speed::Low),
                Output::new(pins.user, Level::Low, Speed::Low),
            ],
            green,
            red_blue,
        };
        panel.shine(Rgb::OFF);
        panel
    }

    fn shine(&mut self, color: Rgb) {
        let full = u8::MAX.into();
        self.red_blue.ch1().set_duty_cycle_fraction(color.red.into(), full);
        self.green.ch2().set_duty_cycle_fraction(color.green.into(), full);
        self.red_blue.ch2().set_duty_cycle_fraction(color.blue.into(), full);
    }
}

impl Panel for BoardPanel {
    async fn is_pressed(&mut self, button: Button) -> bool {
        match button {
            Button::A => self.button_a.is_low(),
            Button::B => self.button_b.is_low(),
        }
    }

    async fn set_lamp(&mut self, lamp: Lamp, on: bool) {
        let [wifi, azure, user] = &mut self.lamps;
        let lamp = match lamp {
            Lamp::Wifi => wifi,
            Lamp::Azure => azure,
            Lamp::User => user,
        };
        lamp.set_level(on.into());
    }

    async fn set_rgb(&mut self, color: Rgb) {
        self.shine(color);
    }
}

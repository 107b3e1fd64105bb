//! The clock tree: 26 MHz crystal, 96 MHz core.

use embassy_stm32::Config;
use embassy_stm32::pac::rcc::vals::Clk48sel;
use embassy_stm32::rcc::{
    APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllQDiv, PllSource, Sysclk,
};
use embassy_stm32::time::Hertz;

/// The core's clock, and that of both serial ports.
pub(crate) const CORE_HZ: u32 = 96_000_000;

/// 26 MHz / 13 x 192 = 384 MHz; a quarter of it for the core, an eighth (48 MHz) for the random number generator.
/// APB1 runs at half the core's clock (50 MHz is its limit), APB2 at the core's.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.rcc.hse = Some(Hse { freq: Hertz(26_000_000), mode: HseMode::Oscillator });
    config.rcc.pll_src = PllSource::HSE;
    config.rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV13,
        mul: PllMul::MUL192,
        divp: Some(PllPDiv::DIV4),
        divq: Some(PllQDiv::DIV8),
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    config.rcc.apb2_pre = APBPrescaler::DIV1;
    config.rcc.mux.clk48sel = Clk48sel::PLL1_Q;
    config
}

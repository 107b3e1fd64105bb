//! The peripherals of the AZ3166 as models: secure element, display, sensors, buttons and lamps, for boards that are
//! emulated.
//!
//! [`DevKit`] is all of them, wired as on the board. A simulated microcontroller drives its [`Bus`] byte by byte; an
//! emulated board of another kind reaches the same models over a serial line, see [`bridge`].
#![forbid(unsafe_code)]

mod board;
pub mod bridge;
mod bus;
mod panel;
mod ssd1306;
mod stsafe;

pub use bridge_protocol::{Buttons, Lamp};

pub use board::DevKit;
pub use bus::{Bus, I2cSlave, Shared, TransactionError, shared};
pub use panel::{Change, Panel};
pub use ssd1306::{Picture, Ssd1306};
pub use stsafe::Stsafe;

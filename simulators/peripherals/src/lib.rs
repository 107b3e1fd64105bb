#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod board;
pub mod bridge;
mod bus;
mod flash;
mod panel;
pub mod screen;
mod sdio;
mod sector;
mod sensors;
mod ssd1306;
mod stsafe;

pub use bridge_protocol::{Buttons, Lamp};

pub use board::DevKit;
pub use bus::{Bus, I2cSlave, Shared, TransactionError, shared};
pub use flash::SerialFlash;
pub use panel::{Change, Panel};
pub use sdio::{Air, AirNetwork, AirSecurity, Direction, RadioModel, SdioCard, SdioFault};
pub use sector::{FlashError, FlashSector, replace_private_file};
pub use sensors::{Hts221, Lis2mdl, Lps22hb, Lsm6dsl};
pub use ssd1306::{Picture, Ssd1306};
pub use stsafe::Stsafe;

//! A simulated AZ3166 that runs the very firmware image that is flashed.
//!
//! [`VirtualBoard`] is the board: a Cortex-M4 (Unicorn), the peripherals of the STM32F412 that the firmware uses, at
//! the level of their registers, and around them the models of `peripherals`. It begins where the original boot loader
//! hands over to the application.
#![forbid(unsafe_code)]

mod blocks;
mod board;
mod chip;
pub mod cloud;
mod cpu;
mod device;
mod exceptions;
mod live;
mod not_simulated;
mod radio;
mod radio_bench;
mod state;
mod system;
pub mod time;

pub use board::{
    FLASH_ADDRESS, IMAGE_ADDRESS, KEY_ADDRESS, KEY_SECTOR_LEN, MAX_IMAGE, ROOT_ADDRESS, SETTINGS_ADDRESS,
    VirtualBoard,
};
pub use chip::ResetCause;
pub use device::VirtualDevice;
pub use live::{Live, NoLine};
pub use not_simulated::NotSimulated;
pub use radio::{PASSPHRASE, SSID, equip_radio};
pub use radio_bench::{RadioFigures, Speed, measure_radio};

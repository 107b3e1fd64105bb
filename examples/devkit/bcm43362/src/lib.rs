#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod backplane;
mod blob;
mod bus;
mod card;
pub mod cdc;
pub mod command;
mod control;
mod cores;
mod error;
pub mod event;
mod exchange;
mod field;
mod join;
mod net;
mod nvram;
mod radio;
pub mod registers;
mod runner;
mod scan;
pub mod sdpcm;
mod session;
mod station;
mod timer;
mod transfer;

pub use blob::{BlobSource, Region};
pub use bus::{Clock, SdioBus, SdioError, SdioErrorKind, Width};
pub use control::{Control, ControlError, PowerSave, Status, VERSION_LEN, Version};
pub use error::{Error, Step};
pub use join::{CredentialsError, Joining, Key, Loss, Security, Ssid};
pub use net::{Device, MTU, RxToken, State, TxToken, new};
pub use nvram::{Nvram, NvramError};
pub use radio::{ChipId, Radio};
pub use runner::{Config, Country, Runner};
pub use scan::{Network, NetworkSecurity};
#[cfg(feature = "embassy-time")]
pub use timer::EmbassyTimer;
pub use timer::{Interrupt, OutOfBand, Polled, Timer};

#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod backplane;
mod blob;
mod bus;
mod card;
pub mod command;
mod cores;
mod error;
mod nvram;
mod radio;
pub mod registers;

pub use blob::{BlobSource, Region};
pub use bus::{Clock, SdioBus, SdioError, SdioErrorKind, Width};
pub use error::{Error, Step};
pub use nvram::{Nvram, NvramError};
pub use radio::{ChipId, Radio};

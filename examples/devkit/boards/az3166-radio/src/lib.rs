#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod console;
mod pins;
mod qspi;
mod sdio;

pub use console::{CORE_HZ, Console};
pub use pins::reset_radio;
pub use qspi::{FlashTimeout, QspiFlash};
pub use sdio::{Sdio, SdioFault};

/// The radio's settings that this crate was built with.
pub const NVRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nvram.bin"));

//! The driver for `embedded-hal-async`.

use embedded_hal_async::{delay::DelayNs, i2c::I2c};
use stsafe_a100_macros::keep as front;

#[path = "driver/mod.rs"]
mod driver;

#[path = "vault/shell.rs"]
mod vault;

pub use driver::*;
pub use vault::Vault;

pub use crate::channel::Protection;

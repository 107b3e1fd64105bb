//! The driver for `embedded-hal`.

use embedded_hal::{delay::DelayNs, i2c::I2c};
use stsafe_a100_macros::strip as front;

// One source, two fronts: that is the purpose.
#[allow(clippy::duplicate_mod)]
#[path = "driver/mod.rs"]
mod driver;

#[allow(clippy::duplicate_mod)]
#[path = "vault/shell.rs"]
mod vault;

pub use driver::*;
pub use vault::Vault;

pub use crate::channel::Protection;

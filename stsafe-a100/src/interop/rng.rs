//! The chip's random generator as `rand_core` sees one.

use embedded_hal::{delay::DelayNs, i2c::I2c};
use rand_core::{TryCryptoRng, TryRng};

use crate::blocking::Stsafe;
use crate::channel::Channel;
use crate::error::Error;

/// Every call is an exchange of some 15 ms; use it to seed a faster generator.
impl<I2C: I2c, D: DelayNs, S: Channel> TryRng for Stsafe<I2C, D, S> {
    type Error = Error<I2C::Error>;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.random(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.random(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        self.random(dst)
    }
}

/// Outside a host session with R-MAC, somebody on the bus can choose the numbers.
impl<I2C: I2c, D: DelayNs, S: Channel> TryCryptoRng for Stsafe<I2C, D, S> {}

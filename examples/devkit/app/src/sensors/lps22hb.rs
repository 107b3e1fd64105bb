//! LPS22HB: air pressure (datasheet, registers in clause 9).

use embedded_hal_async::i2c::I2c;

use super::SensorError;

const ADDRESS: u8 = 0x5C;
const WHO_AM_I: u8 = 0x0F;
const IDENTITY: u8 = 0xB1;
const CTRL_REG1: u8 = 0x10;
/// 10 Hz, all bytes of a value from one measurement.
const CTRL_REG1_ON: u8 = 0x22;
const STATUS: u8 = 0x27;
/// The pressure is new.
const STATUS_PRESSURE: u8 = 1;
const PRESSURE_OUT: u8 = 0x28;
/// Steps of the output in a hectopascal.
const STEPS: i64 = 4096;

/// The sensor, running.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lps22hb;

impl Lps22hb {
    /// Finds the sensor and starts it.
    pub(super) async fn start<I2C: I2c>(i2c: &mut I2C) -> Result<Self, SensorError<I2C::Error>> {
        let mut id = [0];
        i2c.write_read(ADDRESS, &[WHO_AM_I], &mut id).await.map_err(SensorError::Bus)?;
        if id != [IDENTITY] {
            return Err(SensorError::Unknown);
        }
        i2c.write(ADDRESS, &[CTRL_REG1, CTRL_REG1_ON]).await.map_err(SensorError::Bus)?;
        Ok(Self)
    }

    /// Pressure in hundredths of a hectopascal.
    pub(super) async fn read<I2C: I2c>(self, i2c: &mut I2C) -> Result<i32, SensorError<I2C::Error>> {
        let mut status = [0];
        i2c.write_read(ADDRESS, &[STATUS], &mut status).await.map_err(SensorError::Bus)?;
        let [status] = status;
        if status & STATUS_PRESSURE == 0 {
            return Err(SensorError::NotReady);
        }
        let mut out = [0; 3];
        i2c.write_read(ADDRESS, &[PRESSURE_OUT], &mut out).await.map_err(SensorError::Bus)?;
        Ok(hundredths(out))
    }
}

fn hundredths([low, middle, high]: [u8; 3]) -> i32 {
    // Sign-extended from 24 bits.
    let raw = i32::from_le_bytes([0, low, middle, high]) >> 8;
    i32::try_from(i64::from(raw) * 100 / STEPS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_in_hectopascals() {
        assert_eq!(hundredths((1013 * 4096_u32 + 2048).to_le_bytes()[..3].try_into().unwrap()), 101_350);
        assert_eq!(hundredths([0, 0xF0, 0xFF]), -1_00);
    }
}

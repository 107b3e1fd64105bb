//! HTS221: temperature and relative humidity (datasheet, registers in clause 7, interpolation in clause 8).

use embedded_hal_async::i2c::I2c;

use super::SensorError;

const ADDRESS: u8 = 0x5F;
const WHO_AM_I: u8 = 0x0F;
const IDENTITY: u8 = 0xBC;
const CTRL_REG1: u8 = 0x20;
/// Powered, both bytes of a value from one measurement, 7 Hz.
const CTRL_REG1_ON: u8 = 0x86;
const STATUS: u8 = 0x27;
/// Both values are new.
const STATUS_BOTH: u8 = 3;
const HUMIDITY_OUT: u8 = 0x28;
const CALIBRATION: u8 = 0x30;
/// All the water air can hold, in hundredths of a percent.
const MAX_HUMIDITY: i32 = 10_000;
/// Set in a register's address: go on with the next one.
const INCREMENT: u8 = 0x80;

/// A straight line through two points of calibration: raw value, and value in hundredths of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    from: (i16, i32),
    to: (i16, i32),
}

impl Line {
    /// `None` if the two points have one raw value.
    fn at(self, raw: i16) -> Option<i32> {
        let width = i64::from(self.to.0) - i64::from(self.from.0);
        let height = i64::from(self.to.1) - i64::from(self.from.1);
        let offset = (i64::from(raw) - i64::from(self.from.0)) * height;
        i32::try_from(i64::from(self.from.1) + offset.checked_div(width)?).ok()
    }
}

/// The sensor, running.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hts221 {
    temperature: Line,
    humidity: Line,
}

impl Hts221 {
    /// Finds the sensor, starts it and reads its calibration.
    pub(super) async fn start<I2C: I2c>(i2c: &mut I2C) -> Result<Self, SensorError<I2C::Error>> {
        let mut id = [0];
        i2c.write_read(ADDRESS, &[WHO_AM_I], &mut id).await.map_err(SensorError::Bus)?;
        if id != [IDENTITY] {
            return Err(SensorError::Unknown);
        }
        i2c.write(ADDRESS, &[CTRL_REG1, CTRL_REG1_ON]).await.map_err(SensorError::Bus)?;
        let mut table = [0; 16];
        i2c.write_read(ADDRESS, &[CALIBRATION | INCREMENT], &mut table).await.map_err(SensorError::Bus)?;
        Ok(Self::calibrated(table))
    }

    fn calibrated(table: [u8; 16]) -> Self {
        let [
            h0,
            h1,
            t0,
            t1,
            _,
            msb,
            h0_low,
            h0_high,
            _,
            _,
            h1_low,
            h1_high,
            t0_low,
            t0_high,
            t1_low,
            t1_high,
        ] = table;
        // Humidity in halves of a percent, temperature in eighths of a degree with ten bits.
        let percent = |halves: u8| i32::from(halves) * 50;
        let degrees = |low: u8, high: u8| (i32::from(high & 3) << 8 | i32::from(low)) * 100 / 8;
        let raw = |low, high| i16::from_le_bytes([low, high]);
        Self {
            temperature: Line {
                from: (raw(t0_low, t0_high), degrees(t0, msb)),
                to: (raw(t1_low, t1_high), degrees(t1, msb >> 2)),
            },
            humidity: Line {
                from: (raw(h0_low, h0_high), percent(h0)),
                to: (raw(h1_low, h1_high), percent(h1)),
            },
        }
    }

    /// Temperature in hundredths of a degree Celsius, and relative humidity in hundredths of a percent.
    pub(super) async fn read<I2C: I2c>(self, i2c: &mut I2C) -> Result<(i32, i32), SensorError<I2C::Error>> {
        let mut status = [0];
        i2c.write_read(ADDRESS, &[STATUS], &mut status).await.map_err(SensorError::Bus)?;
        let [status] = status;
        if status & STATUS_BOTH != STATUS_BOTH {
            return Err(SensorError::NotReady);
        }
        let mut out = [0; 4];
        i2c.write_read(ADDRESS, &[HUMIDITY_OUT | INCREMENT], &mut out).await.map_err(SensorError::Bus)?;
        self.values(out).ok_or(SensorError::Invalid)
    }

    fn values(self, [h_low, h_high, t_low, t_high]: [u8; 4]) -> Option<(i32, i32)> {
        let temperature = self.temperature.at(i16::from_le_bytes([t_low, t_high]))?;
        let humidity = self.humidity.at(i16::from_le_bytes([h_low, h_high]))?;
        Some((temperature, humidity.clamp(0, MAX_HUMIDITY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20.0 °C at 300, 36.0 °C at 1900; 30 % at -4000, 70 % at 4000.
    const TABLE: [u8; 16] =
        [60, 140, 160, 32, 0, 0b0100, 0x60, 0xF0, 0, 0, 0xA0, 0x0F, 0x2C, 0x01, 0x6C, 0x07];

    #[test]
    fn values_lie_on_the_line_of_calibration() {
        let sensor = Hts221::calibrated(TABLE);
        let at = |humidity: i16, temperature: i16| {
            let [[h0, h1], [t0, t1]] = [humidity.to_le_bytes(), temperature.to_le_bytes()];
            sensor.values([h0, h1, t0, t1]).unwrap()
        };
        assert_eq!(at(-4000, 300), (20_00, 30_00));
        assert_eq!(at(4000, 1900), (36_00, 70_00));
        assert_eq!(at(0, 1100), (28_00, 50_00));
        assert_eq!(at(i16::MAX, -2000), (-3_00, 10_000), "cold, and a humidity that cannot be");
    }

    #[test]
    fn a_calibration_of_one_point_gives_no_value() {
        assert_eq!(Hts221::calibrated([0xFF; 16]).values([0; 4]), None);
        assert_eq!(Hts221::calibrated([0; 16]).values([1; 4]), None);
    }
}

//! The climate sensors of the DevKit, over its shared bus. A sensor that does not answer is left out, and asked again.

mod hts221;
mod lps22hb;

use embedded_hal_async::i2c::I2c;

use crate::telemetry::Reading;
use hts221::Hts221;
use lps22hb::Lps22hb;

/// Why a sensor gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SensorError<E> {
    /// The bus failed.
    Bus(E),
    /// Another chip answered.
    Unknown,
    /// Its calibration makes no sense, or the value is out of range.
    Invalid,
    /// There is no new value yet.
    NotReady,
}

/// All sensors.
#[derive(Debug)]
pub(crate) struct Sensors<I2C> {
    i2c: I2C,
    humidity: Option<Hts221>,
    pressure: Option<Lps22hb>,
    last: Reading,
}

impl<I2C: I2c> Sensors<I2C> {
    pub(crate) const fn new(i2c: I2C) -> Self {
        Self {
            i2c,
            humidity: None,
            pressure: None,
            last: Reading { temperature: None, humidity: None, pressure: None },
        }
    }

    /// Reads what there is; a sensor is set up when it is first there, or there again. Its last value holds until it
    /// has a new one.
    pub(crate) async fn read(&mut self) -> Reading {
        let climate = self.climate().await;
        let barometer = self.barometer().await;
        let last = &mut self.last;
        match climate {
            Ok((temperature, humidity)) => {
                (last.temperature, last.humidity) = (Some(temperature), Some(humidity));
            }
            Err(SensorError::NotReady) => {}
            Err(_) => (self.humidity, last.temperature, last.humidity) = (None, None, None),
        }
        match barometer {
            Ok(pressure) => last.pressure = Some(pressure),
            Err(SensorError::NotReady) => {}
            Err(_) => (self.pressure, last.pressure) = (None, None),
        }
        *last
    }

    async fn climate(&mut self) -> Result<(i32, i32), SensorError<I2C::Error>> {
        let sensor = match self.humidity {
            Some(sensor) => sensor,
            None => *self.humidity.insert(Hts221::start(&mut self.i2c).await?),
        };
        sensor.read(&mut self.i2c).await
    }

    async fn barometer(&mut self) -> Result<i32, SensorError<I2C::Error>> {
        let sensor = match self.pressure {
            Some(sensor) => sensor,
            None => *self.pressure.insert(Lps22hb::start(&mut self.i2c).await?),
        };
        sensor.read(&mut self.i2c).await
    }
}

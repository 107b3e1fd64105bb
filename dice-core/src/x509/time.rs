//! Points in time as certificates write them.

#[cfg(any(test, feature = "verify"))]
use crate::asn1::DerReader;
use crate::asn1::DerWriter;
use crate::{Error, Result};
use core::fmt;
use core::time::Duration;
use der::DateTime;
use der::asn1::{GeneralizedTime, UtcTime};
#[cfg(any(test, feature = "verify"))]
use der::{Decode, ErrorKind};

/// A point in time, UTC, to the second, from 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(DateTime);

impl Time {
    /// 9999-12-31 23:59:59: the end of validity of certificates that do not expire (RFC 5280 §4.1.2.5).
    pub const NO_EXPIRY: Self = Self(DateTime::INFINITY);

    /// A date and time of day, UTC.
    ///
    /// # Errors
    /// [`Error::Der`] if there is no such date or time.
    pub const fn new(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Result<Self> {
        match DateTime::new(year, month, day, hour, minute, second) {
            Ok(time) => Ok(Self(time)),
            Err(cause) => Err(Error::Der(cause)),
        }
    }

    /// Seconds since 1970-01-01 00:00:00 UTC, leap seconds not counted.
    ///
    /// # Errors
    /// [`Error::Der`] beyond the year 9999.
    pub fn from_unix(seconds: u64) -> Result<Self> {
        Ok(Self(DateTime::from_unix_duration(Duration::from_secs(seconds))?))
    }

    /// Seconds since 1970-01-01 00:00:00 UTC.
    #[must_use]
    pub fn to_unix(self) -> u64 {
        self.0.unix_duration().as_secs()
    }

    /// Writes `UTCTime` until 2049, `GeneralizedTime` from 2050 on (RFC 5280 §4.1.2.5).
    pub(crate) fn write(self, writer: &mut DerWriter<'_>) {
        match UtcTime::from_date_time(self.0) {
            Ok(time) => writer.encode(&time),
            Err(_) => writer.encode(&GeneralizedTime::from_date_time(self.0)),
        }
    }

    /// Reads `UTCTime`, or from 2050 on `GeneralizedTime` (RFC 5280 §4.1.2.5).
    #[cfg(any(test, feature = "verify"))]
    pub(crate) fn read(reader: &mut DerReader<'_>) -> Result<Self> {
        let start = *reader;
        let der = reader.raw()?;
        let time = match UtcTime::from_der(der) {
            Ok(time) => Ok(time.to_date_time()),
            Err(_) => GeneralizedTime::from_der(der).map(|time| time.to_date_time()),
        };
        match time {
            Ok(time) if der.first() == Some(&0x17) || UtcTime::from_date_time(time).is_err() => {
                Ok(Self(time))
            }
            _ => Err(start.error(ErrorKind::DateTime)),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// From when to when a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: Time,
    /// Last second.
    pub not_after: Time,
}

impl Validity {
    /// From 2025-01-01 00:00:00 on, without an end.
    ///
    /// A device without a clock cannot say when it issues a certificate, and its identity lasts as long as the device.
    pub const NO_EXPIRY: Self = Self {
        not_before: match Time::new(2025, 1, 1, 0, 0, 0) {
            Ok(time) => time,
            Err(_) => Time::NO_EXPIRY,
        },
        not_after: Time::NO_EXPIRY,
    };

    /// Whether `time` lies within.
    #[must_use]
    pub fn contains(&self, time: Time) -> bool {
        self.not_before <= time && time <= self.not_after
    }

    pub(crate) fn write(self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| {
            self.not_before.write(writer);
            self.not_after.write(writer);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_as_rfc_5280_wants() {
        let written = |time: Time| {
            let mut buffer = [0; 24];
            let mut writer = DerWriter::new(&mut buffer);
            time.write(&mut writer);
            let der = writer.finish().expect("fits");
            assert_eq!(Time::read(&mut DerReader::new(der)), Ok(time));
            der.to_vec()
        };
        let time = |year| Time::new(year, 2, 28, 23, 59, 58).expect("exists");
        assert_eq!(written(time(2049)), b"\x17\x0d490228235958Z");
        assert_eq!(written(time(2050)), b"\x18\x0f20500228235958Z");
        assert_eq!(written(Time::NO_EXPIRY), b"\x18\x0f99991231235959Z");
        assert_eq!(written(Validity::NO_EXPIRY.not_before), b"\x17\x0d250101000000Z");
        assert_eq!(Time::from_unix(1_735_689_600), Ok(Validity::NO_EXPIRY.not_before));
        assert_eq!(Validity::NO_EXPIRY.not_before.to_unix(), 1_735_689_600);
    }

    #[test]
    fn malformed_times_are_refused() {
        assert!(Time::new(2025, 2, 29, 0, 0, 0).is_err());
        assert!(Time::from_unix(u64::MAX).is_err());
        for bad in [
            &b"\x17\x0b2501010000Z"[..],
            b"\x17\x0d250101000000+",
            b"\x18\x112025010100000.5Z",
            b"\x17\x0d25-101000000Z",
            b"\x18\x0f20491231235959Z",
            b"\x18\x0f19700101000000Z",
        ] {
            assert!(Time::read(&mut DerReader::new(bad)).is_err(), "{bad:?}");
        }
    }
}

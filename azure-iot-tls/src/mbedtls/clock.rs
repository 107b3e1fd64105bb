//! The clock by which Mbed TLS judges certificates: it shows the time of the handshake that is being worked on.

use core::cell::Cell;
use core::fmt;
use critical_section::Mutex;
use mbedtls_rs::sys::hook::wall_clock::MbedtlsWallClock;
use mbedtls_rs::sys::tm;

/// The clock to be given to Mbed TLS, once, before the first connection. That takes a line of `unsafe`, which this crate does
/// without; see the [module's documentation](super).
pub static CLOCK: Clock = Clock(Mutex::new(Face { time: Cell::new(None), asked: Cell::new(false) }));

/// The type of [`CLOCK`].
pub struct Clock(Mutex<Face>);

struct Face {
    /// Seconds since 1970, as the connection that is worked on was given it.
    time: Cell<Option<u64>>,
    /// Whether Mbed TLS has looked at the clock since the time was set.
    asked: Cell<bool>,
}

impl Clock {
    /// Shows this time from now on.
    pub(super) fn set(&self, time: Option<u64>) {
        critical_section::with(|cs| self.0.borrow(cs).time.set(time));
    }

    /// Whether somebody has looked since this was last asked.
    pub(super) fn take_asked(&self) -> bool {
        critical_section::with(|cs| self.0.borrow(cs).asked.take())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl MbedtlsWallClock for Clock {
    fn instant(&self) -> Option<tm> {
        let time = critical_section::with(|cs| {
            self.0.borrow(cs).asked.set(true);
            self.0.borrow(cs).time.get()
        });
        broken_down(time?)
    }
}

/// Seconds since 1970 as date and time (proleptic Gregorian calendar, UTC); `None` after the year 9999, which certificates
/// cannot express.
fn broken_down(seconds: u64) -> Option<tm> {
    const DAY: u64 = 86_400;
    const LAST: u64 = 253_402_300_799; // 9999-12-31T23:59:59Z
    if seconds > LAST {
        return None;
    }
    let small = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    let (days, rest) = (seconds / DAY, seconds % DAY);
    // Years that begin on 1 March put the leap day last; they are counted from 1 March of the year 0.
    let days_from_zero = days + 719_468;
    let (era, day_of_era) = (days_from_zero / 146_097, days_from_zero % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12; // 0 is January
    let year = 400 * era + year_of_era + u64::from(month < 2);
    Some(tm {
        tm_sec: small(rest % 60),
        tm_min: small(rest / 60 % 60),
        tm_hour: small(rest / 3_600),
        tm_mday: small(day),
        tm_mon: small(month),
        tm_year: small(year) - 1_900,
        tm_wday: 0, // Mbed TLS looks at neither of the last three
        tm_yday: 0,
        tm_isdst: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(seconds: u64) -> (i32, i32, i32, i32, i32, i32) {
        let tm = broken_down(seconds).unwrap();
        (tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec)
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(date(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(date(1_709_251_199), (2024, 2, 29, 23, 59, 59));
        assert_eq!(date(1_709_251_200), (2024, 3, 1, 0, 0, 0));
        assert_eq!(date(1_781_481_600), (2026, 6, 15, 0, 0, 0));
        assert_eq!(date(4_107_542_400), (2100, 3, 1, 0, 0, 0));
        assert_eq!(date(253_402_300_799), (9999, 12, 31, 23, 59, 59));
        assert!(broken_down(253_402_300_800).is_none());
        assert!(broken_down(u64::MAX).is_none());
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let lengths = |year: i32| {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut expected = (1970, 1, 1);
        for day in 0..300_000 {
            let (year, month, number, ..) = date(day * 86_400);
            assert_eq!((year, month, number), expected);
            expected.2 += 1;
            if expected.2 > lengths(year)[usize::try_from(month).unwrap() - 1] {
                expected = if month == 12 { (year + 1, 1, 1) } else { (year, month + 1, 1) };
            }
        }
    }
}

//! The date of HTTP headers (IMF-fixdate, RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
use azure_iot_common::text::parse_u32;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 UTC. The name of the day is not compared.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.split_once(", ").filter(|(day, _)| day.len() == 3)?.1;
    let mut words = text.split(' ');
    let day = number(words.next()?, 2, 1, 31)?;
    let name = words.next()?;
    let month = MONTHS.iter().zip(1u64..).find(|(month, _)| **month == name)?.1;
    let year = number(words.next()?, 4, 1970, 9999)?;
    let mut clock = words.next()?.split(':');
    let hour = number(clock.next()?, 2, 0, 23)?;
    let minute = number(clock.next()?, 2, 0, 59)?;
    // 60 is a leap second.
    let second = number(clock.next()?, 2, 0, 60)?;
    if clock.next().is_some() || words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    // Count years from March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    Some((days.checked_sub(719_468)?) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, digits: usize, min: u64, max: u64) -> Option<u64> {
    let value = parse_u32(text).filter(|_| text.len() == digits)?.into();
    (min..=max).contains(&value).then_some(value)
}

//! Dates of HTTP headers in the three forms that a recipient has to take (RFC 9110, section 5.6.7):
//! `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`.
use azure_iot_common::text::parse_u32;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 UTC. The name of the day is not compared.
pub(super) fn parse(text: &str) -> Option<u64> {
    let mut words = text.split([' ', ',', '-', ':']).filter(|word| !word.is_empty());
    let _weekday = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic()))?;
    let (first, second) = (words.next()?, words.next()?);
    let month_first = first.bytes().all(|byte| byte.is_ascii_alphabetic());
    let (day, month) = if month_first { (second, first) } else { (first, second) };
    let day = number(day, 1, 31)?;
    let month = MONTHS.iter().zip(1u64..).find(|(name, _)| name.eq_ignore_ascii_case(month))?.1;
    let mut year = if month_first { None } else { Some(year(words.next()?)?) };
    let hour = number(words.next()?, 0, 23)?;
    let minute = number(words.next()?, 0, 59)?;
    // 60 is a leap second.
    let second = number(words.next()?, 0, 60)?;
    let last = words.next()?;
    if year.is_none() {
        year = Some(self::year(last)?);
    } else if !["GMT", "UTC", "Z"].iter().any(|zone| zone.eq_ignore_ascii_case(last)) {
        return None;
    }
    if words.next().is_some() {
        return None;
    }
    let year = year?;
    // Count years from March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    Some((days.checked_sub(719_468)?) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Four digits, or two for 1970 to 2069.
fn year(text: &str) -> Option<u64> {
    match (text.len(), number(text, 0, 9999)?) {
        (2, year @ 70..) => Some(1900 + year),
        (2, year) => Some(2000 + year),
        (4, year @ 1970..) => Some(year),
        _ => None,
    }
}

fn number(text: &str, min: u64, max: u64) -> Option<u64> {
    let value = parse_u32(text).filter(|_| text.len() <= 4)?.into();
    (min..=max).contains(&value).then_some(value)
}

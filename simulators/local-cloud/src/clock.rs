//! Times in the service's own form.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `YYYY-MM-DDThh:mm:ss.fffffffZ`, with the seven decimals the service prints.
pub(super) fn timestamp(since_epoch: Duration) -> String {
    let ticks = since_epoch.subsec_nanos() / 100;
    match der::DateTime::from_unix_duration(Duration::from_secs(since_epoch.as_secs())) {
        // `DateTime` prints whole seconds and a `Z`.
        Ok(time) => format!("{}.{ticks:07}Z", time.to_string().trim_end_matches('Z')),
        Err(_) => "9999-12-31T23:59:59.9999999Z".to_owned(),
    }
}

/// The present, as [`timestamp`].
pub(super) fn now() -> String {
    timestamp(unix_time())
}

/// Time since 1970 UTC.
pub(super) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// Milliseconds since 1970 UTC.
pub(super) fn unix_millis() -> u64 {
    u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 UTC of a time as ISO 8601 writes it, with seconds and, if it has no offset, in UTC.
pub(super) fn parse(text: &str) -> Option<u64> {
    use time::format_description::well_known::Rfc3339;
    let has_offset = text.ends_with(['Z', 'z']) || text.get(10..).is_some_and(|t| t.contains(['+', '-']));
    let text = if has_offset { text.to_owned() } else { format!("{text}Z") };
    let time = time::OffsetDateTime::parse(&text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_others() {
        for text in ["2030-01-02T03:04:05Z", "2030-01-02T03:04:05", "2030-01-02T04:04:05.000+01:00"] {
            assert_eq!(parse(text), Some(1_893_553_445_000), "{text}");
        }
        for bad in ["", "tomorrow", "2030-01-02", "1930-01-02T03:04:05Z", "2030-13-02T03:04:05Z"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn seven_decimals() {
        assert_eq!(timestamp(Duration::new(1_586_488_273, 209_620_100)), "2020-04-10T03:11:13.2096201Z");
        assert_eq!(timestamp(Duration::ZERO), "1970-01-01T00:00:00.0000000Z");
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_decimals() {
        assert_eq!(timestamp(Duration::new(1_586_488_273, 209_620_100)), "2020-04-10T03:11:13.2096201Z");
        assert_eq!(timestamp(Duration::ZERO), "1970-01-01T00:00:00.0000000Z");
    }
}

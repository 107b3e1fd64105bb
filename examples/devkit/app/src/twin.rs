//! The device twin: the writable property `interval`, and what the device reports of itself. Pure.

use azure_iot_common::json::{Object, Value};
use iothub_mqtt::Error;
use iothub_mqtt::pnp::{self, Acknowledgement, Report};

/// The writable property: milliseconds between two telemetry messages.
const INTERVAL: &str = "interval";
/// Shorter intervals are refused, in milliseconds.
const INTERVAL_ABOVE: u32 = 500;

/// Longest report, in bytes: with a crash of 192 characters that all have to be escaped.
pub(crate) const MAX_REPORT: usize = 1536;

const DONE: i32 = 200;
const INITIAL: i32 = 203;
const REFUSED: i32 = 400;

/// The acknowledgement that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    status: i32,
    version: i64,
}

/// What is to be reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pending {
    /// Version and last crash.
    boot: bool,
    interval: Option<Due>,
}

/// The twin as the device sees it. `I` identifies a report.
#[derive(Debug)]
pub(crate) struct Twin<I> {
    default_ms: u32,
    interval_ms: u32,
    pending: Pending,
    /// Commands the secure channel will still take, if there is one.
    channel_left: Option<u32>,
    /// What the report on its way holds, and which that is as soon as it is known.
    sent: Option<(Pending, Option<I>)>,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntervalChange {
    pub(crate) ms: u32,
    pub(crate) accepted: bool,
}

impl<I: Copy + PartialEq> Twin<I> {
    /// A twin of which nothing has been reported yet.
    pub(crate) fn new(default_ms: u32) -> Self {
        let pending = Pending { boot: true, interval: None };
        Self { default_ms, interval_ms: default_ms, pending, channel_left: None, sent: None }
    }

    /// The same, with how many commands the secure channel will still take.
    pub(crate) fn with_channel_left(self, channel_left: Option<u32>) -> Self {
        Self { channel_left, ..self }
    }

    /// The interval that holds, in milliseconds.
    pub(crate) fn interval_ms(&self) -> u32 {
        self.interval_ms
    }

    /// The whole twin came: what is not in it holds no more.
    pub(crate) fn replace(&mut self, desired: &Object<'_>, version: u64) -> Option<IntervalChange> {
        let wanted = interval(desired).unwrap_or(Value::Null);
        self.set_interval(wanted, version)
    }

    /// A change came.
    pub(crate) fn change(&mut self, desired: &Object<'_>, version: u64) -> Option<IntervalChange> {
        self.set_interval(interval(desired)?, version)
    }

    fn set_interval(&mut self, wanted: Value<'_>, version: u64) -> Option<IntervalChange> {
        let before = self.interval_ms;
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        let (status, version) = match (wanted, wanted.as_u32()) {
            (Value::Null, _) => {
                self.interval_ms = self.default_ms;
                (INITIAL, 0)
            }
            (_, Some(ms)) if ms > INTERVAL_ABOVE => {
                self.interval_ms = ms;
                (DONE, version)
            }
            _ => (REFUSED, version),
        };
        self.pending.interval = Some(Due { status, version });
        let accepted = status != REFUSED;
        (self.interval_ms != before || !accepted).then_some(IntervalChange { ms: self.interval_ms, accepted })
    }

    /// The connection is a new one: what was on its way may be lost.
    pub(crate) fn reconnected(&mut self) {
        self.failed();
    }

    /// The next report, if one is due and none is on its way.
    ///
    /// # Errors
    /// Those of the encoder; `out` should have [`MAX_REPORT`] bytes.
    pub(crate) fn report<'o>(
        &mut self,
        version: &str,
        crash: Option<&str>,
        out: &'o mut [u8],
    ) -> Result<Option<&'o str>, Error> {
        if self.sent.is_some() || self.pending == Pending::default() {
            return Ok(None);
        }
        let mut report = Report::new(out);
        if self.pending.boot {
            report.property("firmwareVersion", version)?;
            report.property("lastCrash", crash.map_or(iothub_mqtt::json::Value::Null, Into::into))?;
            if let Some(left) = self.channel_left {
                report.property("secureChannelLeft", left)?;
            }
        }
        if let Some(Due { status, version }) = self.pending.interval {
            let description = if status == REFUSED { "milliseconds, more than 500" } else { "" };
            report.acknowledge(
                INTERVAL,
                self.interval_ms,
                Acknowledgement { status, version, description },
            )?;
        }
        self.sent = Some((core::mem::take(&mut self.pending), None));
        report.finish().map(Some)
    }

    /// The report got this id.
    pub(crate) fn reporting(&mut self, request: I) {
        if let Some((_, id)) = &mut self.sent {
            *id = Some(request);
        }
    }

    /// The answer to a report came. `true` if version and crash are known to the hub now.
    pub(crate) fn reported(&mut self, request: I, accepted: bool) -> bool {
        match self.sent {
            Some((sent, Some(id))) if id == request => {
                if accepted {
                    self.sent = None;
                } else {
                    self.failed();
                }
                accepted && sent.boot
            }
            _ => false,
        }
    }

    /// The report did not reach the hub: what it held is due again, unless something newer is.
    pub(crate) fn failed(&mut self) {
        if let Some((sent, _)) = self.sent.take() {
            self.pending.boot |= sent.boot;
            self.pending.interval = self.pending.interval.or(sent.interval);
        }
    }
}

fn interval<'a>(desired: &Object<'a>) -> Option<Value<'a>> {
    pnp::properties(desired, &[])
        .filter(|property| property.name == *INTERVAL)
        .map(|property| property.value)
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        azure_iot_common::json::parse(text.as_bytes()).unwrap().as_object().unwrap()
    }

    /// The next report, which gets the id `request`.
    fn report(twin: &mut Twin<u8>, crash: Option<&str>, request: u8) -> Option<std::string::String> {
        let mut out = [0; MAX_REPORT];
        let report = twin.report("2.0.0", crash, &mut out).unwrap().map(str::to_owned);
        if report.is_some() {
            twin.reporting(request);
        }
        report
    }

    #[test]
    fn the_interval_is_taken_and_acknowledged() {
        let mut twin = Twin::new(2000);
        assert_eq!(report(&mut twin, None, 0).unwrap(), r#"{"firmwareVersion":"2.0.0","lastCrash":null}"#);
        assert!(twin.reported(0, true));
        assert_eq!(twin.replace(&object(r#"{"$version":1}"#), 1), None);
        assert_eq!(report(&mut twin, None, 1).unwrap(), r#"{"interval":{"value":2000,"ac":203,"av":0}}"#);
        assert!(!twin.reported(1, true), "the boot was reported before");

        for same in ["1000", "1000.0", "1e3", "1E+3", "0.1e4"] {
            let mut twin = Twin::<u8>::new(2000);
            let set = twin.change(&object(&std::format!(r#"{{"interval":{same}}}"#)), 2).unwrap();
            assert_eq!(set, IntervalChange { ms: 1000, accepted: true }, "{same}");
        }

        let set = twin.change(&object(r#"{"interval":501,"$version":2}"#), 2).unwrap();
        assert_eq!((set, twin.interval_ms()), (IntervalChange { ms: 501, accepted: true }, 501));
        assert_eq!(report(&mut twin, None, 2).unwrap(), r#"{"interval":{"value":501,"ac":200,"av":2}}"#);
        assert!(report(&mut twin, None, 3).is_none());
        assert_eq!(twin.change(&object(r#"{"other":1,"$version":3}"#), 3), None);
        twin.reported(2, true);
        assert!(report(&mut twin, None, 3).is_none(), "nothing changed");
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for wanted in [
            "500",
            "0",
            "-1000",
            "1e2",
            "1e-3",
            "1000.5",
            "NaN",
            "4294967296",
            "\"1000\"",
            "true",
            "[1000]",
            "{}",
        ] {
            let mut twin = Twin::<u8>::new(2000);
            let text = std::format!(r#"{{"interval":{wanted},"$version":7}}"#);
            let set = twin.change(&object(&text), 7).unwrap();
            assert_eq!(set, IntervalChange { ms: 2000, accepted: false }, "{wanted}");
            let report = report(&mut twin, None, 0).unwrap();
            let ack = r#""interval":{"value":2000,"ac":400,"av":7,"ad":"milliseconds, more than 500"}"#;
            assert!(report.contains(ack), "{wanted}: {report}");
        }
    }

    #[test]
    fn an_interval_that_is_gone_is_the_first_one_again() {
        let mut twin = Twin::<u8>::new(2000);
        twin.change(&object(r#"{"interval":9000}"#), 2);
        let set = twin.change(&object(r#"{"interval":null}"#), 3).unwrap();
        assert_eq!(set, IntervalChange { ms: 2000, accepted: true });
        twin.change(&object(r#"{"interval":9000}"#), 4);
        assert_eq!(twin.replace(&object("{}"), 5).unwrap().ms, 2000);
    }

    #[test]
    fn a_lost_report_is_made_again_unless_there_is_a_newer_one() {
        let mut twin = Twin::new(2000);
        let crash = Some("panic at \"x\"");
        let first = report(&mut twin, crash, 0).unwrap();
        assert_eq!(first, r#"{"firmwareVersion":"2.0.0","lastCrash":"panic at \"x\""}"#);
        assert!(!twin.reported(9, true), "another report");
        assert!(!twin.reported(0, false));
        twin.change(&object(r#"{"interval":600}"#), 2);
        let second = report(&mut twin, crash, 1).unwrap();
        assert!(second.contains("lastCrash") && second.contains(r#""av":2"#), "{second}");
        twin.change(&object(r#"{"interval":700}"#), 3);
        twin.reconnected();
        let third = report(&mut twin, crash, 2).unwrap();
        assert!(third.contains("lastCrash") && third.contains(r#""value":700,"ac":200,"av":3"#), "{third}");
        assert!(twin.reported(2, true));
    }

    #[test]
    fn a_paired_device_reports_how_long_its_channel_lasts() {
        let mut twin = Twin::<u8>::new(2000).with_channel_left(Some(16_777_000));
        let mut out = [0; MAX_REPORT];
        let report = twin.report("2.0.0", None, &mut out).unwrap().unwrap();
        assert!(report.contains(r#""secureChannelLeft":16777000"#), "{report}");
    }

    #[test]
    fn the_longest_report_fits() {
        let mut twin = Twin::<u8>::new(u32::MAX).with_channel_left(Some(u32::MAX));
        twin.change(&object(r#"{"interval":1}"#), u64::MAX);
        let crash = "\u{1}".repeat(192);
        let version = "9".repeat(48);
        assert!(twin.report(&version, Some(&crash), &mut [0; MAX_REPORT]).unwrap().is_some());
    }
}

//! The tutorial's telemetry: a small JSON document and a property that says whether it is too warm.

use core::fmt::Write;

use heapless::String;

/// Longest telemetry body, in bytes: with a device id of 128 characters and numbers of any size.
pub const MAX_BODY: usize = 256;
/// The message property that carries the alert.
pub const ALERT_PROPERTY: &str = "temperatureAlert";
/// The alert is raised above this temperature, in hundredths of a degree Celsius.
pub const ALERT_ABOVE: i32 = 30_00;

/// One reading of the sensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Temperature in hundredths of a degree Celsius; `None` if its sensor does not answer.
    pub temperature: Option<i32>,
    /// Relative humidity in hundredths of a percent; `None` if its sensor does not answer.
    pub humidity: Option<i32>,
    /// Air pressure in hundredths of a hectopascal; `None` if its sensor does not answer.
    pub pressure: Option<i32>,
}

impl Reading {
    /// `true` or `false`, the value of [`ALERT_PROPERTY`].
    #[must_use]
    pub fn alert(&self) -> &'static str {
        if self.temperature.is_some_and(|degrees| degrees > ALERT_ABOVE) { "true" } else { "false" }
    }

    /// The JSON body of message number `message_id`. A device id holds no character that JSON escapes
    /// (IoT Hub allows none), so it goes in as it is.
    #[must_use]
    pub fn body(&self, device_id: &str, message_id: u32) -> String<MAX_BODY> {
        let mut body = String::new();
        // Cannot overflow: a device id of 128 bytes (the service's limit) and four numbers fit.
        let _ = write!(body, r#"{{"deviceId":"{device_id}","messageId":{message_id}"#);
        for (name, value) in
            [("temperature", self.temperature), ("humidity", self.humidity), ("pressure", self.pressure)]
        {
            if let Some(value) = value {
                let _ = write!(body, r#","{name}":{}"#, Hundredths(value));
            }
        }
        let _ = body.push('}');
        body
    }
}

/// Prints hundredths as a decimal number with two digits behind the point.
pub(crate) struct Hundredths(pub(crate) i32);

impl core::fmt::Display for Hundredths {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let value = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", value / 100, value % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_json_with_two_decimals() {
        let reading = Reading { temperature: Some(-5), humidity: Some(48_10), pressure: None };
        assert_eq!(
            reading.body("dev-1", 7).as_str(),
            r#"{"deviceId":"dev-1","messageId":7,"temperature":-0.05,"humidity":48.10}"#
        );
        let longest: std::string::String = core::iter::repeat_n('d', 128).collect();
        let worst =
            Reading { temperature: Some(i32::MIN), humidity: Some(i32::MIN), pressure: Some(i32::MIN) }
                .body(&longest, u32::MAX);
        assert!(worst.ends_with(r#","pressure":-21474836.48}"#), "{worst}");
        assert_eq!(Reading::default().body("d", 1).as_str(), r#"{"deviceId":"d","messageId":1}"#);
    }

    #[test]
    fn alert_is_raised_above_the_limit_only() {
        assert_eq!(Reading { temperature: Some(ALERT_ABOVE), ..Reading::default() }.alert(), "false");
        assert_eq!(Reading { temperature: Some(ALERT_ABOVE + 1), ..Reading::default() }.alert(), "true");
    }
}

//! Faults as they are asked for from outside: one JSON object each, for the console, REST and the page.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DpsFault, Endpoint, HubFault};
use crate::CommandError;
use crate::pki::ServerCertificate;
use crate::shared::Shared;

/// A fault to play, as JSON: `{"fault": "throttle", "count": 3, "retryAfter": 7}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// The next requests to DPS, and the next ones to the hub, are answered 429.
    Throttle {
        /// How many of each.
        #[serde(default = "one")]
        count: usize,
        /// Seconds in `retry-after`.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// The next requests to DPS are answered with this error.
    DpsError {
        /// The service's, such as 500001.
        error_code: u32,
        /// How many.
        #[serde(default = "one")]
        count: usize,
        /// Seconds in `retry-after`.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// All connections are closed, once.
    Drop,
    /// Connections stay open, but nothing is answered any more, except on the service side and at `/health`.
    Silence {
        /// Or no longer.
        #[serde(default = "yes")]
        on: bool,
    },
    /// Every MQTT packet comes later, and connections wait before their handshake.
    Slow {
        /// 0: no longer.
        milliseconds: u64,
    },
    /// The next CONNECTs are refused.
    Refuse {
        /// `dps` or `hub`.
        endpoint: Endpoint,
        /// CONNACK's return code, 1 to 5.
        code: u8,
        /// How many.
        #[serde(default = "one")]
        count: usize,
    },
    /// The servers present this certificate from the next connection on.
    Certificate {
        /// `good` again, `expired`, `notYetValid`, `wrongHost`, `otherAuthority` or `missingIssuer`.
        certificate: ServerCertificate,
    },
    /// The cloud's clock is ahead when it judges tokens; behind, if negative.
    ClockSkew {
        /// 0: no longer.
        seconds: i64,
    },
    /// DPS is not available; the hub is.
    DpsOutage {
        /// Or no longer.
        #[serde(default = "yes")]
        on: bool,
    },
    /// A device is moved to another hub: the one it is connected to closes and does not know it any more; a new
    /// registration leads to the other one.
    Move {
        /// Its id.
        device: String,
        /// The other hub's host name.
        hub: String,
    },
    /// No faults any more; the good certificate.
    Clear,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl Shared {
    /// Plays a fault.
    pub(crate) fn play(&self, fault: &Fault) -> Result<(), CommandError> {
        let faults = &self.faults;
        match fault {
            Fault::Throttle { count, retry_after } => {
                let retry_after = *retry_after;
                faults.fail_dps_requests(DpsFault { error_code: 429_001, retry_after }, *count);
                faults.fail_hub_requests(HubFault { status: 429, retry_after }, *count);
            }
            Fault::DpsError { error_code, count, retry_after } => {
                if !(400_000..600_000).contains(error_code) {
                    return Err(CommandError::Refused("an error code is 400000 to 599999"));
                }
                let fault = DpsFault { error_code: *error_code, retry_after: *retry_after };
                faults.fail_dps_requests(fault, *count);
            }
            Fault::Drop => self.drops.send_modify(|n| *n += 1),
            Fault::Silence { on } => faults.set_silent(*on),
            Fault::Slow { milliseconds } => {
                let delay = Some(Duration::from_millis(*milliseconds)).filter(|delay| !delay.is_zero());
                faults.delay_connections(delay);
                faults.delay_packets(delay);
            }
            Fault::Refuse { endpoint, code, count } => {
                if !(1..=5).contains(code) {
                    return Err(CommandError::Refused("a CONNACK code is 1 to 5"));
                }
                faults.refuse_connects(*endpoint, *code, *count);
            }
            Fault::Certificate { certificate } => self.present(*certificate)?,
            Fault::ClockSkew { seconds } => faults.set_clock_skew(*seconds),
            Fault::DpsOutage { on } => faults.set_dps_outage(*on),
            Fault::Move { device, hub } => self.move_device(device, hub)?,
            Fault::Clear => {
                faults.clear();
                self.present(ServerCertificate::Good)?;
            }
        }
        Ok(())
    }

    fn present(&self, certificate: ServerCertificate) -> Result<(), CommandError> {
        let failed = |_: io::Error| CommandError::Refused("no certificate can be made");
        self.set_certificate(certificate).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn in_json() {
        for (text, fault) in [
            (json!({"fault": "throttle"}), Fault::Throttle { count: 1, retry_after: None }),
            (json!({"fault": "slow", "milliseconds": 5}), Fault::Slow { milliseconds: 5 }),
            (json!({"fault": "silence", "on": false}), Fault::Silence { on: false }),
            (json!({"fault": "drop"}), Fault::Drop),
            (
                json!({"fault": "certificate", "certificate": "wrongHost"}),
                Fault::Certificate { certificate: ServerCertificate::WrongHost },
            ),
            (
                json!({"fault": "refuse", "endpoint": "hub", "code": 3}),
                Fault::Refuse { endpoint: Endpoint::Hub, code: 3, count: 1 },
            ),
        ] {
            assert_eq!(serde_json::from_value::<Fault>(text.clone()).unwrap(), fault, "{text}");
        }
        for bad in [json!({"fault": "rain"}), json!({"fault": "slow"})] {
            assert!(serde_json::from_value::<Fault>(bad.clone()).is_err(), "{bad}");
        }
    }
}

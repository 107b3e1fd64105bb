//! The twin over MQTT 5: get, and patches of the reported properties against the version they were made for.

use mqtt_protocol_core::mqtt::packet::Qos;
use prost::Message;
use serde_json::Value;

use super::message::{PatchResult, ReportedPatch, ReportedPatchResponse, Section, TwinGet, TwinGetResponse};
use super::{Outgoing, Problem, Session, envelope, problem, undecodable};
use crate::event::Event;
use crate::hub::twin;
use crate::mqtt::{Link, Publish};
use crate::server::Stream;

/// A section's properties as JSON, without the version, which has a field of its own here.
fn payload(section: &twin::Section) -> String {
    let mut document = section.document();
    if let Value::Object(properties) = &mut document {
        properties.remove("$version");
    }
    document.to_string()
}

impl Session {
    pub(super) fn section(&self, of: impl FnOnce(&twin::Twin) -> &twin::Section) -> Option<Section> {
        self.device.with(|device| {
            let section = of(&device.twin);
            Section { version: section.version, payload: payload(section) }
        })
    }

    pub(super) async fn twin(&mut self, link: &mut Link<Stream>, publish: &Publish) -> Result<(), Problem> {
        let (kind, correlation) = envelope(publish, Qos::AtMostOnce)?;
        if self.born.is_none() {
            return Err(problem(format!("{kind:?} before birth")));
        }
        let answer = match kind {
            "get:1" => match self.get(&publish.payload)? {
                Some(response) => Outgoing::new("twin", "get-response:1", correlation, &response),
                None => return Ok(()),
            },
            "reported-patch:1" => {
                let response = self.patch(&publish.payload)?;
                Outgoing::new("twin", "reported-patch-response:1", correlation, &response)
            }
            _ => return Err(problem(format!("{kind:?} on srv/twin"))),
        };
        Ok(self.send(link, answer).await?)
    }

    fn get(&self, body: &[u8]) -> Result<Option<TwinGetResponse>, Problem> {
        let get = TwinGet::decode(body).map_err(undecodable)?;
        if !(1..=3).contains(&get.sections) {
            return Err(problem("get without the sections that are wanted"));
        }
        // The answer to a get has no place for an error.
        if self.device.shared.faults.take_twin_answer().is_some() {
            return Ok(None);
        }
        Ok(self.device.with(|device| {
            let (desired, reported) = (&device.twin.desired, &device.twin.reported);
            let has = |bit: u32, known: u64, section: &twin::Section| {
                (get.sections & bit != 0 && known != section.version).then(|| payload(section))
            };
            TwinGetResponse {
                desired_version: desired.version,
                reported_version: reported.version,
                desired_payload: has(1, get.if_not_match_desired, desired),
                reported_payload: has(2, get.if_not_match_reported, reported),
            }
        }))
    }

    fn patch(&self, body: &[u8]) -> Result<ReportedPatchResponse, Problem> {
        let request = ReportedPatch::decode(body).map_err(undecodable)?;
        let now = self.device.with(|device| device.twin.reported.version).unwrap_or_default();
        let result = |result: PatchResult, version| ReportedPatchResponse { result: result.into(), version };
        if self.device.shared.faults.take_twin_answer().is_some() {
            return Ok(result(PatchResult::InternalError, now));
        }
        if request.if_match != now {
            return Ok(result(PatchResult::VersionMismatch, now));
        }
        if request.payload.len() > twin::MAX_SECTION {
            return Ok(result(PatchResult::PayloadTooLarge, now));
        }
        let Ok(Value::Object(patch)) = serde_json::from_slice(&request.payload) else {
            return Ok(result(PatchResult::PayloadInvalid, now));
        };
        Ok(match self.device.with(|device| device.twin.reported.patch(&patch)) {
            Some(Ok(version)) => {
                let patch = Value::Object(patch);
                let device = self.device.id.clone();
                self.device.shared.events.emit(&Event::TwinReported { device, patch, version });
                result(PatchResult::Ok, version)
            }
            Some(Err(twin::SECTION_TOO_LARGE)) => result(PatchResult::PayloadTooLarge, now),
            Some(Err(_)) => result(PatchResult::PayloadInvalid, now),
            None => result(PatchResult::InternalError, now),
        })
    }
}

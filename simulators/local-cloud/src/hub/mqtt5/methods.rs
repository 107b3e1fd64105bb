//! Direct methods over MQTT 5: probe, ready, exec, result. A device that is ready is told once to run the method.

use std::collections::HashMap;
use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::Qos;
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::message::{Abandon, Exec, MethodResult, Probe, ProbeAck, ProbeResult, Timestamp};
use super::{Call, Id, Outgoing, Problem, Session, envelope, problem, undecodable};
use crate::backend::CommandError;
use crate::clock;
use crate::event::Event;
use crate::hub::MethodResponse;
use crate::mqtt::{Link, LinkError, Publish};
use crate::server::Stream;

/// How long a device may think about a probe.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type Answer = Result<MethodResponse, CommandError>;

struct Pending {
    name: String,
    payload: Vec<u8>,
    response_timeout: Duration,
    answer: oneshot::Sender<Answer>,
    /// The ready id, once the device was told to run it.
    running: Option<Vec<u8>>,
    until: Instant,
}

/// The calls of one connection, by request id.
#[derive(Default)]
pub(super) struct Calls(HashMap<Id, Pending>);

impl Calls {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|call| call.until).min()
    }

    /// Ends those whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        let over: Vec<Id> = self.0.iter().filter(|(_, call)| call.until <= now).map(|(id, _)| *id).collect();
        for id in over {
            self.end(&id, Err(CommandError::TimedOut));
        }
    }

    fn end(&mut self, id: &Id, answer: Answer) {
        if let Some(call) = self.0.remove(id) {
            // Whoever called may have gone away.
            let _ = call.answer.send(answer);
        }
    }
}

/// Whole seconds, one at least.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

impl Session {
    pub(super) async fn probe(&mut self, link: &mut Link<Stream>, call: Call) -> Result<(), LinkError> {
        if self.born.is_none() {
            let _ = call.answer.send(Err(CommandError::NotListening));
            return Ok(());
        }
        let id: Id = rand::random();
        let timeout = seconds(call.response_timeout);
        let probe = Probe { method_name: call.name.clone(), response_timeout_seconds: timeout };
        let pending = Pending {
            name: call.name,
            payload: call.payload,
            response_timeout: call.response_timeout,
            answer: call.answer,
            running: None,
            until: Instant::now() + CONNECT_TIMEOUT,
        };
        self.calls.0.insert(id, pending);
        let expiry = Some(seconds(CONNECT_TIMEOUT));
        self.send(link, Outgoing { expiry, ..Outgoing::new("methods", "probe:1", id, &probe) }).await
    }

    pub(super) async fn method(&mut self, link: &mut Link<Stream>, publish: &Publish) -> Result<(), Problem> {
        let (kind, id) = envelope(publish, Qos::AtLeastOnce)?;
        let body = publish.payload.as_slice();
        match kind {
            "probe-ack:1" => {
                let ack = ProbeAck::decode(body).map_err(undecodable)?;
                match ack.result.ok_or_else(|| problem("probe-ack that says neither yes nor no"))? {
                    ProbeResult::Ready(ready) if ready.ready_id.len() != 16 => {
                        Err(problem("probe-ack whose ready id is not 16 bytes long"))
                    }
                    ProbeResult::Ready(ready) => Ok(self.exec(link, &id, ready.ready_id).await?),
                    ProbeResult::Rejected(rejected) => {
                        let why = match rejected.reason {
                            1 => "the device has no such method",
                            2 => "the device needs more time than the response timeout",
                            3 => "the device is busy with other methods",
                            _ => return Err(problem("probe-ack without a reason")),
                        };
                        self.calls.end(&id, Err(CommandError::Refused(why)));
                        Ok(())
                    }
                }
            }
            "result:1" => {
                let result = MethodResult::decode(body).map_err(undecodable)?;
                // An answer that nobody waits for any more is dropped.
                let Some(call) = self.calls.0.get(&id) else { return Ok(()) };
                if call.running.is_none() {
                    return Err(problem("result of a method that was not started"));
                }
                let (status, body) = (result.status, result.body);
                self.device.shared.events.emit(&Event::MethodAnswered {
                    device: self.device.id.clone(),
                    method: call.name.clone(),
                    status,
                    body: body.clone(),
                });
                self.calls.end(&id, Ok(MethodResponse { status, body }));
                Ok(())
            }
            "abandon:1" => {
                let abandon = Abandon::decode(body).map_err(undecodable)?;
                if abandon.ready_id.len() != 16 {
                    return Err(problem("abandon whose ready id is not 16 bytes long"));
                }
                if self.calls.0.get(&id).is_some_and(|call| call.running.as_ref() == Some(&abandon.ready_id))
                {
                    self.calls.end(&id, Err(CommandError::TimedOut));
                }
                Ok(())
            }
            _ => Err(problem(format!("{kind:?} on srv/methods"))),
        }
    }

    /// The device is ready: tells it to run the method, unless that was done.
    async fn exec(&mut self, link: &mut Link<Stream>, id: &Id, ready_id: Vec<u8>) -> Result<(), LinkError> {
        let Some(call) = self.calls.0.get_mut(id) else { return Ok(()) };
        if call.running.is_some() {
            return Ok(());
        }
        call.running = Some(ready_id.clone());
        call.until = Instant::now() + call.response_timeout;
        let now = clock::unix_time();
        let start = Timestamp {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(now.subsec_nanos()).unwrap_or_default(),
        };
        let expiry = Some(seconds(call.response_timeout));
        let exec = Exec { ready_id, params: std::mem::take(&mut call.payload), start: Some(start) };
        self.send(link, Outgoing { expiry, ..Outgoing::new("methods", "exec:1", *id, &exec) }).await
    }
}

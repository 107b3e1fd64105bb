//! The provisioning service over MQTT 3.1.1: one connection of one device.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet::{Qos, v3_1_1::Connect};

use super::{Answer, Peer, parse_user_name};
use crate::fault::Endpoint;
use crate::mqtt::{Link, LinkError, Packet, Publish};
use crate::percent;
use crate::sas::Token;
use crate::server::{Caller, Stream, next_packet};
use crate::shared::Shared;

const ANSWERS: &str = "$dps/registrations/res/#";
const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/?";
const STATUS: &str = "$dps/registrations/GET/iotdps-get-operationstatus/?";

/// CONNACK return codes (MQTT 3.1.1, table 3.1).
const IDENTIFIER_REJECTED: u8 = 2;
const UNAVAILABLE: u8 = 3;
const NOT_AUTHORIZED: u8 = 5;

pub(crate) async fn serve(shared: &Arc<Shared>, mut link: Link<Stream>, caller: Caller, connect: &Connect) {
    let verdict = match shared.faults.take_refusal(Endpoint::Dps) {
        Some(code) => Err((code, "fault on request")),
        None if shared.faults.dps_is_out() => Err((UNAVAILABLE, "outage on request")),
        None => check_connect(shared, connect, caller),
    };
    let result = match verdict {
        Ok(peer) => session(shared, &mut link, &peer, connect.keep_alive()).await,
        Err((code, reason)) => {
            shared.refused(Endpoint::Dps, connect.client_id(), reason.to_owned());
            let _ = link.connack(false, code).await;
            Ok(())
        }
    };
    if let Err(e @ LinkError::Malformed(_)) = result {
        shared.refused(Endpoint::Dps, connect.client_id(), e.to_string());
    }
    link.close().await;
}

fn check_connect(shared: &Shared, connect: &Connect, caller: Caller) -> Result<Peer, (u8, &'static str)> {
    let refuse = |reason| (NOT_AUTHORIZED, reason);
    let user_name = connect.user_name().ok_or(refuse("no user name"))?;
    let (scope, id, api_version) = parse_user_name(user_name).map_err(refuse)?;
    if scope != shared.config.id_scope {
        return Err(refuse("unknown id scope"));
    }
    if connect.client_id().is_empty() {
        return Err((IDENTIFIER_REJECTED, "no client id"));
    }
    if !connect.client_id().eq_ignore_ascii_case(id) {
        return Err(refuse("client id is not the registration id"));
    }
    if connect.will_flag() {
        return Err(refuse("the provisioning service takes no will"));
    }
    let token = match connect.password().filter(|password| !password.is_empty()) {
        None => None,
        Some(password) => {
            let text = std::str::from_utf8(password).map_err(|_| refuse("password is not text"))?;
            Some(Token::parse(text).map_err(refuse)?)
        }
    };
    if caller.chain.is_empty() && token.is_none() {
        return Err(refuse("neither a client certificate nor a token"));
    }
    if token.as_ref().is_some_and(|token| token.is_expired(shared.faults.now())) {
        return Err(refuse("the token has expired"));
    }
    Ok(Peer {
        endpoint: Endpoint::Dps,
        registration_id: id.to_owned(),
        api_version: api_version.to_owned(),
        caller,
        token,
    })
}

async fn session(
    shared: &Arc<Shared>,
    link: &mut Link<Stream>,
    peer: &Peer,
    keep_alive: u16,
) -> Result<(), LinkError> {
    link.connack(false, 0).await?;
    let mut subscribed = false;
    loop {
        match next_packet(link, keep_alive).await? {
            Packet::Connect(_) | Packet::Connect5(_) => {
                return Err(LinkError::Malformed("second CONNECT".to_owned()));
            }
            Packet::Subscribe { id, filters } => {
                if let Some((other, _)) = filters.iter().find(|(filter, _)| filter != ANSWERS) {
                    return Err(LinkError::Malformed(format!("unknown topic filter {other:?}")));
                }
                subscribed = true;
                let granted: Vec<Option<Qos>> = filters.iter().map(|(_, qos)| Some(*qos)).collect();
                link.suback(id, &granted).await?;
            }
            Packet::Unsubscribe { id, filters } => {
                subscribed &= !filters.iter().any(|filter| filter == ANSWERS);
                link.unsuback(id).await?;
            }
            Packet::Publish(publish) => {
                let (rid, answer) = handle(shared, peer, &publish)?;
                if let Some(id) = publish.id {
                    link.puback(id).await?;
                }
                if subscribed {
                    let retry_after = answer
                        .retry_after
                        .map(|seconds| format!("&retry-after={seconds}"))
                        .unwrap_or_default();
                    let topic = format!("$dps/registrations/res/{}/?$rid={rid}{retry_after}", answer.status);
                    link.publish(&topic, answer.body.to_string().as_bytes(), None, false).await?;
                }
            }
            Packet::Puback(_) => {}
            Packet::Pingreq => link.pingresp().await?,
            Packet::Disconnect => return Ok(()),
        }
    }
}

/// Answers a request; the error closes the connection.
fn handle(shared: &Shared, peer: &Peer, publish: &Publish) -> Result<(String, Answer), LinkError> {
    let unknown = || LinkError::Malformed(format!("unknown topic {:?}", publish.topic));
    if publish.qos == Qos::ExactlyOnce {
        return Err(LinkError::Malformed("PUBLISH with QoS 2".to_owned()));
    }
    if let Some(query) = publish.topic.strip_prefix(REGISTER) {
        let rid = field(query, "$rid").ok_or_else(unknown)?;
        return Ok((rid.to_owned(), shared.register(peer, &publish.payload)));
    }
    let query = publish.topic.strip_prefix(STATUS).ok_or_else(unknown)?;
    let rid = field(query, "$rid").ok_or_else(unknown)?;
    let operation = field(query, "operationId").ok_or_else(unknown)?;
    // Nothing is in the body that matters; Microsoft's C SDK sends that of the registration again.
    Ok((rid.to_owned(), shared.operation_status(peer, operation)))
}

/// The non-empty value of a query field, as it stands.
fn field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    percent::pairs(query).find(|(n, _)| *n == name).and_then(|(_, value)| value).filter(|v| !v.is_empty())
}

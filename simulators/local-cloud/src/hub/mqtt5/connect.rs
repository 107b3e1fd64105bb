//! CONNECT at a hub that speaks MQTT 5: what it has to say, and what it is answered.

use mqtt_protocol_core::mqtt::packet::v5_0::Connect;
use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, MaximumQos, Property, ReceiveMaximum, RetainAvailable, ServerKeepAlive,
    SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable, TopicAliasMaximum,
};
use mqtt_protocol_core::mqtt::result_code::MqttError;

use crate::hub::auth::{self, Refusal};
use crate::mqtt5::{MAX_PACKET, reason};
use crate::percent;
use crate::server::Caller;
use crate::shared::Shared;

/// The longest time a session is kept without a connection, in seconds.
const MAX_SESSION_EXPIRY: u32 = 8 * 60 * 60;
/// The longest keep-alive, in seconds.
const MAX_KEEP_ALIVE: u16 = 1160;
/// Topic aliases that a device may have.
pub(super) const MAX_ALIAS: u16 = 10;
/// Messages with QoS 1 that a device may have under way.
const RECEIVE_MAXIMUM: u16 = 16;

/// A device that has been let in, and the terms of its session.
pub(super) struct Terms {
    /// The hub's index.
    pub(super) hub: usize,
    /// Seconds.
    pub(super) session_expiry: u32,
    /// Seconds.
    pub(super) keep_alive: u16,
    /// The largest packet that the device takes.
    pub(super) max_packet: usize,
}

/// Checks CONNECT; the error is CONNACK's reason code and the reason in words.
pub(super) fn check(shared: &Shared, connect: &Connect, caller: &Caller) -> Result<Terms, (u8, String)> {
    let id = connect.client_id();
    if id.is_empty() || id.contains(['/', '#', '+']) {
        return Err((reason::CLIENT_ID_NOT_VALID, "the client id is not a device id".to_owned()));
    }
    let user_name = connect.user_name().unwrap_or_default();
    check_user_name(user_name).map_err(|what| (reason::BAD_USER_NAME_OR_PASSWORD, what.to_owned()))?;
    if connect.password().is_some_and(|password| !password.is_empty()) {
        return Err((
            reason::BAD_USER_NAME_OR_PASSWORD,
            "a password, where only certificates count".to_owned(),
        ));
    }
    if connect.will_flag() {
        let reason = "a will, which is for topics that the hub's owner defines: none are here".to_owned();
        return Err((reason::NOT_AUTHORIZED, reason));
    }
    let mut terms =
        Terms { hub: 0, session_expiry: 0, keep_alive: connect.keep_alive(), max_packet: usize::MAX };
    for property in connect.props() {
        match property {
            Property::UserProperty(_) => {
                let reason = "CONNECT with a user property".to_owned();
                return Err((reason::PROTOCOL_ERROR, reason));
            }
            Property::AuthenticationMethod(_) | Property::AuthenticationData(_) => {
                let reason = "enhanced authentication, where only certificates count".to_owned();
                return Err((reason::BAD_AUTHENTICATION_METHOD, reason));
            }
            Property::SessionExpiryInterval(seconds) => terms.session_expiry = seconds.val(),
            Property::MaximumPacketSize(bytes) => {
                terms.max_packet = bytes.val().try_into().unwrap_or(usize::MAX);
            }
            _ => {}
        }
    }
    if terms.keep_alive == 0 || terms.keep_alive > MAX_KEEP_ALIVE {
        terms.keep_alive = MAX_KEEP_ALIVE;
    }
    terms.session_expiry = terms.session_expiry.min(MAX_SESSION_EXPIRY);
    terms.hub = auth::admit_mqtt5(shared, caller, id).map_err(|refusal| match refusal {
        Refusal::Device(reason) => (reason::NOT_AUTHORIZED, reason),
        Refusal::Machine => (reason::SERVER_UNAVAILABLE, "the enrolments cannot be read now".to_owned()),
    })?;
    Ok(terms)
}

/// `correlationId=<32 hexadecimal digits>&clientVersion=<percent-encoded text>`.
fn check_user_name(user_name: &str) -> Result<(), &'static str> {
    let mut fields = percent::pairs(user_name);
    let (correlation, version) = (fields.next(), fields.next());
    let hex = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !matches!(correlation, Some(("correlationId", Some(id))) if hex(id)) {
        return Err("the user name does not begin with correlationId=<32 hexadecimal digits>");
    }
    let text = |text: &str| percent::decode(text).is_some_and(|text| !text.is_empty());
    if !matches!(version, Some(("clientVersion", Some(version))) if text(version)) {
        return Err("the user name has no &clientVersion=<percent-encoded text> next");
    }
    if fields.next().is_some() { Err("the user name has further fields") } else { Ok(()) }
}

/// What CONNACK says of the hub.
pub(super) fn properties(connect: &Connect, terms: &Terms) -> Result<Vec<Property>, MqttError> {
    let mut properties = vec![
        ReceiveMaximum::new(RECEIVE_MAXIMUM)?.into(),
        MaximumQos::new(1)?.into(),
        RetainAvailable::new(0)?.into(),
        MaximumPacketSize::new(MAX_PACKET)?.into(),
        TopicAliasMaximum::new(MAX_ALIAS)?.into(),
        SubscriptionIdentifierAvailable::new(0)?.into(),
        SharedSubscriptionAvailable::new(0)?.into(),
    ];
    if connect.keep_alive() != terms.keep_alive {
        properties.push(ServerKeepAlive::new(terms.keep_alive)?.into());
    }
    let wanted = connect.props().iter().find_map(|property| match property {
        Property::SessionExpiryInterval(seconds) => Some(seconds.val()),
        _ => None,
    });
    if wanted.is_some_and(|wanted| wanted != terms.session_expiry) {
        properties.push(SessionExpiryInterval::new(terms.session_expiry)?.into());
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names() {
        let id = "0123456789abcdef0123456789ABCDEF";
        assert_eq!(check_user_name(&format!("correlationId={id}&clientVersion=a%2F1")), Ok(()));
        for bad in [
            String::new(),
            format!("correlationId={id}"),
            format!("correlationId={id}&clientVersion="),
            format!("clientVersion=a&correlationId={id}"),
            format!("correlationId={id}0&clientVersion=a"),
            format!("correlationId={id}&clientVersion=a&x=y"),
            format!("correlationId={id}&clientVersion=%G0"),
            "hub/device/?api-version=2021-04-12".to_owned(),
        ] {
            assert!(check_user_name(&bad).is_err(), "{bad}");
        }
    }
}

//! DPS over MQTT 3.1.1: the data of CONNECT, the subscription, topics and answers. No MQTT packets: any client that
//! can connect, subscribe and publish will do.
//!
//! CONNECT: client id [`Config::registration_id`], [`user_name`], the SAS token as password or none with X.509,
//! clean session. SUBSCRIBE [`SUBSCRIBE_FILTER`] with QoS 1. PUBLISH [`topic`] and
//! [`Request::body`](crate::Request::body) with QoS 1. Messages that arrive go through [`parse_answer`].
use crate::config::{MAX_API_VERSION, MAX_ID_SCOPE, MAX_PRODUCT, MAX_REGISTRATION_ID};
use crate::registration::{MAX_OPERATION_ID, Operation, Request};
use crate::{Answer, Config, Error, percent};
use azure_iot_common::query;
use azure_iot_common::text::{Writer, cut, parse_u32};

/// Port of MQTT over TLS.
pub const PORT: u16 = 8883;
/// CONNECT goes with a clean session: the service keeps none.
pub const CLEAN_SESSION: bool = true;
/// The filter of all answers; subscribe with [`QOS`].
pub const SUBSCRIBE_FILTER: &str = "$dps/registrations/res/#";
/// Quality of service of the subscription and of requests: at least once.
pub const QOS: u8 = 1;
/// CONNACK return code for a service that is not available; the only one worth another try.
pub const CONNACK_UNAVAILABLE: u8 = 3;

const ANSWER_PREFIX: &str = "$dps/registrations/res/";
const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/?$rid=";
const POLL: &str = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=";
const OPERATION_ID: &str = "&operationId=";
const REGISTRATIONS: &str = "/registrations/";
const API_VERSION: &str = "/api-version=";
const CLIENT_VERSION: &str = "&ClientVersion=";

/// Longest user name [`user_name`] writes, in bytes. MQTT libraries with smaller fields cannot reach the service.
pub const MAX_USER_NAME: usize = MAX_ID_SCOPE
    + REGISTRATIONS.len()
    + MAX_REGISTRATION_ID
    + API_VERSION.len()
    + MAX_API_VERSION
    + CLIENT_VERSION.len()
    + 3 * MAX_PRODUCT;

/// Longest topic [`topic`] writes, in bytes; the request id has up to 10 digits.
pub const MAX_TOPIC: usize = POLL.len() + 10 + OPERATION_ID.len() + MAX_OPERATION_ID;

/// The user name of CONNECT, in a buffer of up to [`MAX_USER_NAME`] bytes.
///
/// ```
/// use dps_client::{Config, mqtt};
/// let config = Config::new("0ne00000001", "my-device")?;
/// let mut buffer = [0; mqtt::MAX_USER_NAME];
/// assert_eq!(
///     mqtt::user_name(&config, &mut buffer)?,
///     "0ne00000001/registrations/my-device/api-version=2019-03-31"
/// );
/// # Ok::<(), dps_client::Error>(())
/// ```
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed.
pub fn user_name<'b>(config: &Config<'_>, out: &'b mut [u8]) -> Result<&'b str, Error> {
    let mut name = Writer::new(out);
    name.text(config.id_scope());
    name.text(REGISTRATIONS);
    name.text(config.registration_id());
    name.text(API_VERSION);
    name.text(config.api_version());
    if let Some(product) = config.product() {
        name.text(CLIENT_VERSION);
        percent::write(product.as_bytes(), &mut name);
    }
    Ok(name.finish_str()?)
}

/// The topic to publish a request to, in a buffer of up to [`MAX_TOPIC`] bytes.
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed.
pub fn topic<'b>(request: &Request<'_>, out: &'b mut [u8]) -> Result<&'b str, Error> {
    let mut topic = Writer::new(out);
    match request.operation() {
        Operation::Register => {
            topic.text(REGISTER);
            topic.decimal(request.rid());
        }
        Operation::Poll { operation_id } => {
            topic.text(POLL);
            topic.decimal(request.rid());
            topic.text(OPERATION_ID);
            topic.text(operation_id);
        }
    }
    Ok(topic.finish_str()?)
}

/// Takes a message of the service apart: `$dps/registrations/res/<status>/?$rid=<rid>[&retry-after=<seconds>]`, the
/// fields after the question mark in any order and spelling ([`query`]), unknown ones skipped. A retry time that cannot
/// be read counts as absent.
///
/// # Errors
/// [`Error::NotAnAnswer`] for a topic of somebody else; [`Error::BadTopic`] for a status that is not three digits, or
/// no request id.
pub fn parse_answer<'a>(topic: &'a str, body: &'a [u8]) -> Result<Answer<'a>, Error> {
    let rest = topic.strip_prefix(ANSWER_PREFIX).ok_or(Error::NotAnAnswer)?;
    let (status, rest) = cut(rest, b'/');
    let fields = rest.and_then(|rest| rest.strip_prefix("?")).ok_or(Error::BadTopic("query"))?;
    let status = match parse_u32(status).map(u16::try_from) {
        Some(Ok(number @ 100..=599)) if status.len() == 3 => number,
        _ => return Err(Error::BadTopic("status")),
    };
    let rid = query::values(fields, "$rid").next().ok_or(Error::BadTopic("$rid"))?;
    Ok(Answer { status, rid: Some(rid), retry_after_s: query::retry_after(fields), body })
}

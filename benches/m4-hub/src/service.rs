//! The cloud, as far as a device sees it: the provisioning service and a hub, message by message.

use core::cell::RefCell;
use core::fmt::Write;
use critical_section::Mutex;
use heapless::{String, Vec};

const ASSIGNING: &str =
    r#"{"operationId":"4.d0a671905ea5b2c8.42d78160-4c78-479e-8be7-61d5e55dac0d","status":"assigning"}"#;
const ASSIGNED: &str = concat!(
    r#"{"operationId":"4.d0a671905ea5b2c8.42d78160-4c78-479e-8be7-61d5e55dac0d","status":"assigned","#,
    r#""registrationState":{"x509":{},"registrationId":"my-device","#,
    r#""createdDateTimeUtc":"2026-11-24T10:00:00.0000000Z","assignedHub":"contoso.azure-devices.net","#,
    r#""deviceId":"my-device","status":"assigned","substatus":"initialAssignment","#,
    r#""lastUpdatedDateTimeUtc":"2026-11-24T10:00:01.0000000Z","etag":"IjEyMyI="}}"#,
);

/// What the cloud begins by itself.
#[derive(Clone, Copy)]
pub(crate) enum Push {
    Message,
    Method,
    Desired,
}

/// A message to the device.
pub(crate) struct Message {
    pub(crate) topic: String<160>,
    pub(crate) payload: Vec<u8, 480>,
    /// Acknowledged by the device, over MQTT.
    #[cfg_attr(not(feature = "mqtt"), allow(dead_code))]
    pub(crate) at_least_once: bool,
}

/// Messages wait in their place and are written and read there: what measures the device's stack should not find the
/// service's.
const WAITING: usize = 4;

struct Service {
    queue: [Message; WAITING],
    /// Where the next message is read, and how many there are.
    first: usize,
    waiting: usize,
    /// Telemetry that arrived.
    telemetry: u32,
    /// What the device still has to answer.
    owed: u32,
    /// Of the desired properties.
    version: u32,
    /// Methods called.
    calls: u32,
}

static SERVICE: Mutex<RefCell<Service>> = Mutex::new(RefCell::new(Service {
    queue: [const { Message { topic: String::new(), payload: Vec::new(), at_least_once: false } }; WAITING],
    first: 0,
    waiting: 0,
    telemetry: 0,
    owed: 0,
    version: 4,
    calls: 0,
}));

fn with<T>(call: impl FnOnce(&mut Service) -> T) -> T {
    critical_section::with(|cs| call(&mut SERVICE.borrow_ref_mut(cs)))
}

impl Service {
    fn send(
        &mut self,
        topic: core::fmt::Arguments<'_>,
        payload: core::fmt::Arguments<'_>,
        at_least_once: bool,
    ) {
        assert!(self.waiting < WAITING, "the device does not listen");
        let message = &mut self.queue[(self.first + self.waiting) % WAITING];
        self.waiting += 1;
        message.topic.clear();
        message.topic.write_fmt(topic).expect("a short topic");
        message.payload.clear();
        message.payload.write_fmt(payload).expect("a short payload");
        message.at_least_once = at_least_once;
    }
}

/// Takes a message from the device.
pub(crate) fn publish(topic: &str, payload: &[u8]) {
    let (path, query) = topic.split_once("$rid=").unwrap_or((topic, ""));
    let id = query.split('&').next().unwrap_or_default();
    with(|service| {
        if path.starts_with("$dps/registrations/PUT/") {
            assert!(payload.starts_with(b"{"), "a body");
            service.send(
                format_args!("$dps/registrations/res/202/?$rid={id}&retry-after=3"),
                format_args!("{ASSIGNING}"),
                false,
            );
        } else if path.starts_with("$dps/registrations/GET/") {
            service.send(
                format_args!("$dps/registrations/res/200/?$rid={id}"),
                format_args!("{ASSIGNED}"),
                false,
            );
        } else if path.starts_with("$iothub/twin/GET/") {
            let version = service.version;
            service.send(
                format_args!("$iothub/twin/res/200/?$rid={id}"),
                format_args!(
                    concat!(
                        r#"{{"desired":{{"thermostat1":{{"__t":"c","targetTemperature":21.5}},"$version":{version}}},"#,
                        r#""reported":{{"thermostat1":{{"__t":"c","targetTemperature":{{"value":20,"ac":200,"av":3,"ad":"done"}}}},"$version":9}}}}"#,
                    ),
                    version = version,
                ),
                false,
            );
        } else if path.starts_with("$iothub/twin/PATCH/properties/reported/") {
            service.owed = service.owed.saturating_sub(1);
            let version = service.version;
            service.send(
                format_args!("$iothub/twin/res/204/?$rid={id}&$version={version}"),
                format_args!(""),
                false,
            );
        } else if path.starts_with("$iothub/methods/res/200/") {
            service.owed = service.owed.saturating_sub(1);
        } else if path.starts_with("devices/my-device/messages/events/") {
            service.telemetry += 1;
        } else {
            panic!("the hub does not know {topic}");
        }
    });
}

/// The cloud says something.
pub(crate) fn push(what: Push) {
    with(|service| match what {
        Push::Message => service.send(
            format_args!(
                "devices/my-device/messages/devicebound/%24.mid=1&%24.to=%2Fdevices%2Fmy-device&key=a%20value"
            ),
            format_args!(r#"{{"light":true}}"#),
            true,
        ),
        Push::Method => {
            service.owed += 1;
            service.calls += 1;
            let id = service.calls;
            service.send(
                format_args!("$iothub/methods/POST/thermostat1*getReport/?$rid={id:x}"),
                format_args!(r#"{{"since":1}}"#),
                false,
            );
        }
        Push::Desired => {
            service.owed += 1;
            service.version += 1;
            let version = service.version;
            service.send(
                format_args!("$iothub/twin/PATCH/properties/desired/?$version={version}"),
                format_args!(
                    r#"{{"thermostat1":{{"__t":"c","targetTemperature":23}},"$version":{version}}}"#
                ),
                false,
            );
        }
    });
}

/// Gives the next message to the device, if there is one.
pub(crate) fn next<T>(take: impl FnOnce(&Message) -> T) -> Option<T> {
    with(|service| {
        service.waiting = service.waiting.checked_sub(1)?;
        let message = &service.queue[service.first];
        service.first = (service.first + 1) % WAITING;
        Some(take(message))
    })
}

/// Whether everything is said and answered.
pub(crate) fn is_idle() -> bool {
    with(|service| service.waiting == 0 && service.owed == 0)
}

/// Telemetry that arrived.
pub(crate) fn telemetry() -> u32 {
    with(|service| service.telemetry)
}

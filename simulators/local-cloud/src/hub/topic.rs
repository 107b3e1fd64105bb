//! The hub's topics: what a device may subscribe to and publish on. Everything else closes the connection.

use crate::percent;
use crate::properties::Properties;

/// One of the subscriptions a classic hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) enum Subscription {
    CloudToDevice,
    /// As above, granted QoS 0: completed by sending.
    CloudToDeviceQos0,
    Methods,
    TwinAnswers,
    DesiredProperties,
    ModuleInputs,
    /// At a hub that speaks MQTT 5: everything for the device.
    DeviceBound,
    /// Answers to requests for a certificate.
    Certificates,
}

/// A publish of a device, understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request<'a> {
    Telemetry(Properties),
    TwinGet { rid: &'a str },
    TwinPatch { rid: &'a str },
    MethodAnswer { status: i32, rid: &'a str },
    IssueCertificate { rid: &'a str },
}

/// `devices/<id>` or `devices/<id>/modules/<module>`.
fn root(client_id: &str) -> String {
    match client_id.split_once('/') {
        Some((device, module)) => format!("devices/{device}/modules/{module}"),
        None => format!("devices/{client_id}"),
    }
}

/// Which subscription of this client a filter is, if it is one.
pub(crate) fn subscription(client_id: &str, filter: &str) -> Option<Subscription> {
    let own = root(client_id);
    match filter {
        "$iothub/methods/POST/#" => Some(Subscription::Methods),
        "$iothub/twin/res/#" => Some(Subscription::TwinAnswers),
        "$iothub/twin/PATCH/properties/desired/#" => Some(Subscription::DesiredProperties),
        "$iothub/credentials/res/#" if !client_id.contains('/') => Some(Subscription::Certificates),
        _ if client_id.contains('/') => matches!(filter.strip_prefix(&own), Some("/#" | "/inputs/#"))
            .then_some(Subscription::ModuleInputs),
        "devices/+/messages/devicebound/#" => Some(Subscription::CloudToDevice),
        _ => (filter.strip_prefix(&own) == Some("/messages/devicebound/#"))
            .then_some(Subscription::CloudToDevice),
    }
}

/// What a publish of this client asks for.
pub(crate) fn request<'a>(client_id: &str, topic: &'a str) -> Option<Request<'a>> {
    if let Some(bag) = telemetry_bag(client_id, topic) {
        return Some(Request::Telemetry(Properties::parse(bag)?));
    }
    if let Some(query) = topic.strip_prefix("$iothub/twin/GET/?") {
        return Some(Request::TwinGet { rid: rid(query)? });
    }
    if let Some(query) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?") {
        return Some(Request::TwinPatch { rid: rid(query)? });
    }
    if let Some(query) = topic.strip_prefix("$iothub/credentials/POST/issueCertificate/?") {
        return Some(Request::IssueCertificate { rid: rid(query)? }).filter(|_| !client_id.contains('/'));
    }
    let (status, query) = topic.strip_prefix("$iothub/methods/res/")?.split_once("/?")?;
    Some(Request::MethodAnswer { status: status.parse().ok()?, rid: rid(query)? })
}

/// The property bag of a telemetry topic of this client.
pub(crate) fn telemetry_bag<'a>(client_id: &str, topic: &'a str) -> Option<&'a str> {
    let bag = topic.strip_prefix(&root(client_id))?.strip_prefix("/messages/events/")?;
    // Microsoft's Node SDK closes the bag with a slash; one in a value is encoded.
    Some(bag.strip_suffix('/').unwrap_or(bag))
}

pub(crate) fn c2d(device: &str, properties: &Properties) -> String {
    format!("devices/{device}/messages/devicebound/{}", properties.encode())
}

pub(crate) fn module_input(client_id: &str, input: &str, properties: &Properties) -> String {
    format!("{}/inputs/{input}/{}", root(client_id), properties.encode())
}

fn rid(query: &str) -> Option<&str> {
    percent::pairs(query).find(|(name, _)| *name == "$rid").and_then(|(_, v)| v).filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        assert_eq!(request("d", "devices/d/messages/events/"), Some(Request::Telemetry(Properties::new())));
        assert_eq!(
            request("d", "devices/d/messages/events/a=b&%24.ct=x"),
            Some(Request::Telemetry(Properties::new().with("a", "b").with("$.ct", "x")))
        );
        assert_eq!(
            request("d", "devices/d/messages/events/%24.on=out/"),
            Some(Request::Telemetry(Properties::new().with("$.on", "out")))
        );
        assert_eq!(
            request("d/m", "devices/d/modules/m/messages/events/"),
            Some(Request::Telemetry(Properties::new()))
        );
        assert_eq!(request("d", "$iothub/twin/GET/?$rid=7"), Some(Request::TwinGet { rid: "7" }));
        assert_eq!(
            request("d", "$iothub/twin/PATCH/properties/reported/?$rid=x-1"),
            Some(Request::TwinPatch { rid: "x-1" })
        );
        assert_eq!(
            request("d", "$iothub/methods/res/-3/?$rid=a"),
            Some(Request::MethodAnswer { status: -3, rid: "a" })
        );
        let issue = "$iothub/credentials/POST/issueCertificate/?$rid=66641568";
        assert_eq!(request("d", issue), Some(Request::IssueCertificate { rid: "66641568" }));
        assert_eq!(request("d/m", issue), None);
        for bad in [
            "",
            "$iothub/credentials/POST/issueCertificate/?",
            "devices/d/messages/events",
            "devices/e/messages/events/",
            "devices/d/modules/m/messages/events/",
            "devices/d/messages/events/%",
            "$iothub/twin/GET/?",
            "$iothub/twin/GET/?$rid=",
            "$iothub/twin/GET",
            "$iothub/methods/res/ok/?$rid=1",
            "$iothub/methods/res/200",
            "x$iothub/twin/GET/?$rid=1",
        ] {
            assert_eq!(request("d", bad), None, "{bad}");
        }
    }

    #[test]
    fn subscriptions() {
        use Subscription::{
            Certificates, CloudToDevice, DesiredProperties, Methods, ModuleInputs, TwinAnswers,
        };
        for (filter, wanted) in [
            ("devices/d/messages/devicebound/#", CloudToDevice),
            ("devices/+/messages/devicebound/#", CloudToDevice),
            ("$iothub/methods/POST/#", Methods),
            ("$iothub/twin/res/#", TwinAnswers),
            ("$iothub/twin/PATCH/properties/desired/#", DesiredProperties),
            ("$iothub/credentials/res/#", Certificates),
        ] {
            assert_eq!(subscription("d", filter), Some(wanted), "{filter}");
        }
        for filter in ["devices/d/modules/m/#", "devices/d/modules/m/inputs/#"] {
            assert_eq!(subscription("d/m", filter), Some(ModuleInputs));
        }
        assert_eq!(subscription("d/m", "devices/d/modules/n/inputs/#"), None);
        for bad in [
            "#",
            "devices/#",
            "devices/e/messages/devicebound/#",
            "devices/d/messages/devicebound/",
            "$iothub/#",
        ] {
            assert_eq!(subscription("d", bad), None, "{bad}");
        }
        assert_eq!(subscription("d/m", "devices/d/messages/devicebound/#"), None);
    }
}

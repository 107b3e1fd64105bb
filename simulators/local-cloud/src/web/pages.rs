//! The pages of devices, of what was refused, and of faults.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::Value;

use super::layout::{badge, device_link, field, form_token, live, page};
use super::{App, Parameters, Shown};
use crate::service::describe_twin;

pub(super) async fn overview(State(app): State<Shown>) -> Markup {
    let (devices, connected) = {
        let hub = app.shared.hub();
        hub.iter()
            .fold((0, 0), |(all, on), (_, _, device)| (all + 1, on + usize::from(device.session.is_some())))
    };
    let list = &app.shared.enrollments;
    let tiles = [
        ("/portal/enrollments", list.all_individuals().len() + list.all_groups().len(), " enrolments"),
        ("/portal/devices", devices, " devices"),
        ("/portal/devices", connected, " connected"),
        ("/portal/refused", app.history().of_kind("refused").len(), " refused"),
    ];
    let content = html! {
        section class="tiles" aria-label="Numbers" {
            @for (address, number, what) in tiles {
                a class="tile" href=(address) { b { (number) } (what) }
            }
        }
        section class="card" {
            h2 { "What happens" }
            (live(None, "Events, newest first"))
        }
        section class="card" {
            h2 { "For your programs" }
            p {
                "Devices register at " code { (app.shared.config.dps_name) } " with id scope "
                code { (app.shared.config.id_scope) } " and trust the root certificate that the program has written."
            }
            details {
                summary { "Connection strings of the service side" }
                dl {
                    @for policy in app.shared.policies(app.https_port) {
                        dt { (policy.name) }
                        dd { code tabindex="0" { (policy.connection_string) } }
                    }
                }
            }
        }
    };
    page(&app, "/portal", "Overview", &content)
}

pub(super) async fn devices(State(app): State<Shown>) -> Markup {
    let mut twins: Vec<(String, Value)> = {
        let hub = app.shared.hub();
        hub.iter().map(|(_, id, device)| (id.to_owned(), describe_twin(id, device))).collect()
    };
    twins.sort_by(|a, b| a.0.cmp(&b.0));
    let last = |twin: &Value| match twin["lastActivityTime"].as_str() {
        Some(time) if !time.starts_with("0001") => moment(time),
        _ => "never".to_owned(),
    };
    let content = html! {
        section class="card" {
            @if twins.is_empty() {
                p class="quiet" { "None yet. A device appears when it has registered, or when you create it here." }
            } @else {
                div class="scroll" {
                    table {
                        thead {
                            tr {
                                th { "Device" } th { "Connection" } th { "Access" } th { "Waiting" } th { "Last seen" }
                            }
                        }
                        tbody {
                            @for (id, twin) in &twins {
                                tr {
                                    td data-label="Device" { a href=(device_link(id)) { (id) } }
                                    td data-label="Connection" { span data-state=(id) { (connection(twin)) } }
                                    td data-label="Access" { (access(twin)) }
                                    td data-label="Waiting" { (twin["cloudToDeviceMessageCount"]) }
                                    td class="time" data-label="Last seen" { (last(twin)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        form class="card" method="post" action="/portal/device/create" {
            h2 { "Create a device" }
            p class="quiet" { "With a key that is made here. Devices that register with DPS come by themselves." }
            (form_token(&app))
            (field("new-id", "Device id, or device/module", &html! {
                input id="new-id" name="id" required maxlength="257" autocomplete="off";
            }))
            p { button class="primary" { "Create" } }
        }
    };
    page(&app, "/portal/devices", "Devices", &content)
}

/// Whether the device is let in.
fn access(twin: &Value) -> Markup {
    badge(twin["status"] == "enabled", ("enabled", "disabled"))
}

/// A time of the service, to the second.
fn moment(time: &str) -> String {
    time.chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// Whether the device is online.
fn connection(twin: &Value) -> Markup {
    badge(twin["connectionState"] == "Connected", ("connected", "offline"))
}

/// A part of a twin as text, without what the service adds to it.
fn pretty(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, _| !name.starts_with('$'));
    }
    format!("{value:#}")
}

pub(super) async fn device(State(app): State<Shown>, Query(query): Parameters) -> Response {
    let id = query.get("id").map(String::as_str).unwrap_or_default();
    let Ok(twin) = app.shared.with_device(id, |device| describe_twin(id, device)) else {
        let content = html! { p { "The hub has no device " code { (id) } "." } };
        return (StatusCode::NOT_FOUND, page(&app, "/portal/devices", "No such device", &content))
            .into_response();
    };
    let enabled = twin["status"] == "enabled";
    let (change, word) = if enabled { ("disable", "Disable") } else { ("enable", "Enable") };
    let content = html! {
        section class="card state" {
            p {
                span data-state=(id) { (connection(&twin)) } " "
                (access(&twin)) " "
                span class="quiet" { "waiting messages: " (twin["cloudToDeviceMessageCount"]) }
            }
            form method="post" action="/portal/device/change" class="row" {
                (form_token(&app))
                input type="hidden" name="id" value=(id);
                button name="do" value=(change) { (word) }
                button name="do" value="purge" { "Clear the queue" }
                button name="do" value="delete" class="danger" { "Delete" }
            }
        }
        section class="card" {
            h2 { "Telemetry and events" }
            div class="plot" data-plot=(id) {}
            (live(Some(id), "Events of this device, newest first"))
        }
        div class="columns" { (method_form(&app, id)) (message_form(&app, id)) }
        section class="card" { h2 { "Twin" } (twin_form(&app, id, &twin)) }
    };
    page(&app, "/portal/devices", id, &content).into_response()
}

fn method_form(app: &App, id: &str) -> Markup {
    html! {
        form class="card" method="post" action="/portal/device/method" {
            h2 { "Call a method" }
            (form_token(app))
            input type="hidden" name="id" value=(id);
            (field("method", "Name", &html! {
                input id="method" name="method" required maxlength="100" autocomplete="off";
            }))
            (field("payload", "Payload (JSON)", &html! {
                textarea id="payload" name="payload" rows="3" spellcheck="false" { "{}" }
            }))
            p { button class="primary" { "Call" } }
        }
    }
}

fn message_form(app: &App, id: &str) -> Markup {
    html! {
        form class="card" method="post" action="/portal/device/message" {
            h2 { "Send a message" }
            (form_token(app))
            input type="hidden" name="id" value=(id);
            (field("properties", "Properties", &html! {
                input id="properties" name="properties" autocomplete="off" placeholder="name=value&other=value";
            }))
            (field("body", "Text", &html! { textarea id="body" name="body" rows="3" {} }))
            p { button class="primary" { "Send" } }
        }
    }
}

fn twin_form(app: &App, id: &str, twin: &Value) -> Markup {
    let properties = &twin["properties"];
    html! {
        div class="columns" {
            form method="post" action="/portal/device/twin" {
                (form_token(app))
                input type="hidden" name="id" value=(id);
                input type="hidden" name="etag" value=(twin["etag"].as_str().unwrap_or_default());
                (field("desired", &format!("Desired, version {}", properties["desired"]["$version"]), &html! {
                    textarea id="desired" name="desired" rows="8" spellcheck="false" {
                        (pretty(&properties["desired"]))
                    }
                }))
                (field("tags", "Tags", &html! {
                    textarea id="tags" name="tags" rows="4" spellcheck="false" { (pretty(&twin["tags"])) }
                }))
                p { button class="primary" { "Save" } }
            }
            div {
                h3 { "Reported, version " (properties["reported"]["$version"]) }
                pre tabindex="0" aria-label="Reported properties" { (pretty(&properties["reported"])) }
            }
        }
    }
}

pub(super) async fn refused(State(app): State<Shown>) -> Markup {
    let list = app.history().of_kind("refused");
    let service = |event: &Value| match event["endpoint"].as_str() {
        Some("hub") => "IoT Hub",
        Some("dps") => "DPS",
        _ => "HTTPS",
    };
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let content = html! {
        section class="card" {
            p { "Who was refused, and why. Devices are told less: the services give strangers no reasons." }
            @if list.is_empty() {
                p class="quiet" { "Nobody yet." }
            } @else {
                div class="scroll" {
                    table {
                        thead { tr { th { "When" } th { "By" } th { "Who" } th { "Why" } } }
                        tbody {
                            @for event in &list {
                                tr {
                                    td class="time" data-label="When" { (moment(&text(event, "time"))) }
                                    td class="word" data-label="By" { (service(event)) }
                                    td data-label="Who" { code { (text(event, "id")) } }
                                    td data-label="Why" { (text(event, "reason")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    page(&app, "/portal/refused", "Refused", &content)
}

/// A number of a fault's form.
fn number(id: &str, name: &str, label: &str, value: &str, range: (&str, &str)) -> Markup {
    field(
        id,
        label,
        &html! { input id=(id) name=(name) type="number" value=(value) min=(range.0) max=(range.1) required; },
    )
}

/// A choice of a fault's form.
fn choice(id: &str, name: &str, label: &str, options: &[(&str, &str)]) -> Markup {
    field(
        id,
        label,
        &html! {
            select id=(id) name=(name) {
                @for (value, text) in options { option value=(value) { (text) } }
            }
        },
    )
}

pub(super) async fn faults(State(app): State<Shown>) -> Markup {
    let form = |fault: &str, title: &str, text: &str, fields: &Markup| {
        html! {
            form class="card" method="post" action="/portal/faults" {
                h2 { (title) }
                p class="quiet" { (text) }
                (form_token(&app))
                input type="hidden" name="fault" value=(fault);
                (fields)
                p { button class="primary" { (if fault == "clear" { "Clear" } else { "Apply" }) } }
            }
        }
    };
    let count = |id: &str| number(id, "count", "How many", "1", ("1", "1000"));
    let switch = |id: &str| choice(id, "on", "State", &[("true", "on"), ("false", "off")]);
    let hubs = app.shared.config.hub_names();
    let hubs: Vec<(&str, &str)> = hubs.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let content = html! {
        div class="pack" {
            (form("clear", "Clear all faults", "No more faults, and the valid certificate again.", &html! {}))
            (form("drop", "Drop all connections", "Without a DISCONNECT, as when a network fails.", &html! {}))
            (form("silence", "Silence", "Connections stay open, but nothing is sent any more.", &switch("silence-on")))
            (form("slow", "Slow", "Packets and handshakes are delayed; 0 turns it off.", &html! {
                (number("slow-ms", "milliseconds", "Milliseconds", "2000", ("0", "60000")))
            }))
            (form("refuse", "Refuse connections", "The next CONNECTs get this return code, whatever they say.", &html! {
                (choice("refuse-service", "endpoint", "Service", &[("hub", "IoT Hub"), ("dps", "DPS")]))
                (choice("refuse-code", "code", "Code", &[
                    ("3", "3: unavailable"), ("5", "5: not authorized"), ("4", "4: bad user name or password"),
                    ("2", "2: client id"), ("1", "1: protocol level"),
                ]))
                (count("refuse-count"))
            }))
            (form("throttle", "Throttle", "The next requests to DPS, and to the hub, are answered with 429.", &html! {
                (number("throttle-after", "retryAfter", "retry-after, in seconds", "5", ("0", "300")))
                (count("throttle-count"))
            }))
            (form("dpsError", "Errors of DPS", "The next registrations and polls get this error.", &html! {
                (number("dps-code", "errorCode", "Code", "500001", ("400000", "599999")))
                (count("dps-count"))
            }))
            (form("dpsOutage", "DPS outage", "DPS cannot be reached; the hub can.", &switch("outage-on")))
            (form("twinError", "Errors of twins", "The next twin requests of devices get this status.", &html! {
                (number("twin-status", "status", "Status", "429", ("400", "599")))
                (count("twin-count"))
            }))
            (form("certificate", "Server certificate", "From the next connection on.", &html! {
                (choice("certificate-kind", "certificate", "Certificate", &[
                    ("expired", "expired"), ("notYetValid", "not valid yet"), ("wrongHost", "for another name"),
                    ("otherAuthority", "of another authority"), ("missingIssuer", "without its issuer"),
                    ("good", "the good one"),
                ]))
            }))
            (form("clockSkew", "Clock skew", "The cloud's clock is ahead when it checks tokens; 0 turns it off.", &html! {
                (number("skew-seconds", "seconds", "Seconds", "7200", ("-100000000", "100000000")))
            }))
            (form("move", "Move a device", "To another hub, at its next registration.", &html! {
                (field("move-device", "Device", &html! {
                    input id="move-device" name="device" required autocomplete="off";
                }))
                (choice("move-hub", "hub", "Hub", &hubs))
            }))
        }
    };
    page(&app, "/portal/faults", "Faults", &content)
}

//! Topics and documents, without the client that knows when to use them.
use core::hint::black_box;

use iothub_mqtt::endpoint::{MAX_CLIENT_ID, MAX_USER_NAME};
use iothub_mqtt::property::SystemProperty;
use iothub_mqtt::{Announcement, Endpoint, Error, Telemetry, c2d, method, twin};

pub(crate) fn run() -> Result<usize, Error> {
    let endpoint = Endpoint::new(black_box("contoso.azure-devices.net"), black_box("my-device"))?;
    let announcement = Announcement::default()
        .with_product_info(black_box("thermostat/1.0"))?
        .with_model_id(black_box("dtmi:com:example:Thermostat;1"))?;
    let (mut id, mut name, mut out) = ([0; MAX_CLIENT_ID], [0; MAX_USER_NAME], [0; 512]);
    let mut written =
        endpoint.client_id(&mut id)?.len() + endpoint.user_name(&announcement, &mut name)?.len();
    written += c2d::filter(&endpoint, &mut out)?.len();
    let telemetry = Telemetry::json(black_box(b"{}")).with_properties(black_box(&[("alert", "yes")]));
    written += telemetry.topic(&endpoint, &mut out)?.len();
    written += twin::get_topic(black_box("1"), &mut out)?.len();
    written += twin::report_topic(black_box("2"), &mut out)?.len();
    let (topic, payload) = black_box(("$iothub/", &b"{}"[..]));
    if let Ok(message) = c2d::Message::parse(topic, payload) {
        let id = message.properties.system(black_box(SystemProperty::MessageId));
        written += id.map_or(Ok(0), |id| id.decode(&mut out).map(str::len))?;
    }
    if let Ok(request) = method::Request::parse(topic, payload) {
        black_box(request.command());
        written += request.reply_to().topic(black_box(200), &mut out)?.len();
    }
    match twin::Message::parse(topic, payload) {
        Ok(twin::Message::Answer(answer)) => {
            black_box((answer.status, answer.version, answer.retry_after_s, answer.request_id));
        }
        Ok(twin::Message::Desired(desired)) => written += usize::from(desired.version == 0),
        Ok(twin::Message::Unversioned { .. }) | Err(_) => {}
    }
    Ok(written)
}

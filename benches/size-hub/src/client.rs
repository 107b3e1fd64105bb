//! The whole client over a session that does nothing.
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use iothub_mqtt::endpoint::{MAX_CLIENT_ID, MAX_USER_NAME};
use iothub_mqtt::json::read::Object;
#[cfg(feature = "pnp")]
use iothub_mqtt::pnp::{Acknowledgement, Report, properties};
use iothub_mqtt::property::SystemProperty;
use iothub_mqtt::session::{Inbound, Mqtt, Progress, QoS, Ticket};
use iothub_mqtt::{Announcement, Client, ClientOptions, Endpoint, Error, HubEvent, Telemetry};

/// In place of MQTT: the compiler cannot see through what it says.
struct NoLink;

impl Mqtt for NoLink {
    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<Option<Ticket>, Error> {
        black_box((topic, payload, qos));
        black_box(Ok(None))
    }

    #[cfg(feature = "mqtt5")]
    async fn send(&mut self, message: &iothub_mqtt::session::Outbound<'_>) -> Result<Option<Ticket>, Error> {
        black_box(message);
        black_box(Ok(None))
    }

    async fn subscribe(&mut self, filters: &[&str]) -> Result<Ticket, Error> {
        black_box(filters);
        black_box(Err(Error::Busy))
    }

    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<Ticket, Error> {
        black_box(filters);
        black_box(Err(Error::Busy))
    }

    async fn poll(&mut self) -> Result<Option<Inbound<'_>>, Error> {
        black_box(Ok(Some(Inbound {
            topic: black_box(""),
            payload: black_box(&[]),
            oversized: black_box(None),
            #[cfg(feature = "mqtt5")]
            attributes: black_box(iothub_mqtt::session::Attributes::default()),
        })))
    }

    fn progress(&mut self, ticket: Ticket) -> Progress {
        black_box(ticket);
        black_box(Progress::Done)
    }

    fn next_settled(&mut self) -> Option<(Ticket, Progress)> {
        black_box(None)
    }

    fn forget(&mut self, ticket: Option<Ticket>) {
        black_box(ticket);
    }

    fn room(&self) -> usize {
        black_box(8)
    }

    async fn disconnect(&mut self) -> Result<(), Error> {
        black_box(Ok(()))
    }
}

/// A clock that stands still; nobody waits here.
struct Clock;

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        black_box(0)
    }

    fn schedule_wake(&self, at: u64, _waker: &Waker) {
        black_box(at);
    }
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);

#[cfg(feature = "pnp")]
fn count(section: &Object<'_>) -> usize {
    properties(section, black_box(&["thermostat1"])).map(|property| property.name.raw().len()).sum()
}

#[cfg(not(feature = "pnp"))]
fn count(section: &Object<'_>) -> usize {
    section.members().map(|(name, _)| name.raw().len()).sum()
}

#[cfg(feature = "pnp")]
fn acknowledgement(version: u64, json: &mut [u8]) -> Result<&str, Error> {
    let mut report = Report::new(json);
    report.begin_component(black_box("thermostat1"))?;
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    let done = Acknowledgement { status: 200, version, description: black_box("") };
    report.acknowledge(black_box("targetTemperature"), black_box(21), done)?;
    report.finish()
}

#[cfg(not(feature = "pnp"))]
#[allow(clippy::unnecessary_wraps, reason = "as its twin")]
fn acknowledgement(version: u64, _json: &mut [u8]) -> Result<&str, Error> {
    black_box(version);
    Ok(black_box("{}"))
}

async fn hub() -> Result<usize, Error> {
    let endpoint = Endpoint::new(black_box("contoso.azure-devices.net"), black_box("my-device"))?;
    // With both generations it is known only when the device runs.
    #[cfg(all(feature = "classic", feature = "mqtt5"))]
    let endpoint = endpoint.with_generation(black_box(iothub_mqtt::Generation::Mqtt5));
    let announcement = Announcement::default()
        .with_product_info(black_box("thermostat/1.0"))?
        .with_model_id(black_box("dtmi:com:example:Thermostat;1"))?;
    let (mut id, mut name) = ([0; MAX_CLIENT_ID], [0; MAX_USER_NAME]);
    black_box((endpoint.client_id(&mut id)?, endpoint.user_name(&announcement, &mut name)?));

    let mut client: Client<'_, _> = Client::new(NoLink, endpoint, ClientOptions::new(black_box(1)));
    client.start().await?;
    let mut written = 0;
    for _ in 0..black_box(10) {
        let telemetry = Telemetry::json(black_box(b"{}")).with_properties(black_box(&[("alert", "yes")]));
        client.send(&telemetry).await?;
        let (mut reply, mut acknowledged) = (None, None);
        match client.poll().await? {
            Some(HubEvent::Message(message)) => {
                let mut text = [0; 64];
                let id = message.properties.system(black_box(SystemProperty::MessageId));
                written += id.map_or(Ok(0), |id| id.decode(&mut text).map(str::len))?;
            }
            Some(HubEvent::Method(request)) => {
                black_box(request.command());
                reply = Some(request.reply_to());
            }
            Some(HubEvent::Twin(twin)) => {
                written += count(&twin.desired());
                acknowledged = Some(twin.version());
            }
            Some(HubEvent::Desired(desired)) => {
                written += count(&desired.object()?);
                acknowledged = Some(desired.version);
            }
            Some(_) | None => {}
        }
        if let Some(to) = reply {
            client.respond(&to, black_box(200), black_box(b"{}")).await?;
        }
        if let Some(version) = acknowledged {
            let mut json = [0; 256];
            client.report(acknowledgement(version, &mut json)?).await?;
        }
    }
    client.disconnect().await?;
    Ok(written)
}

/// One client, from the beginning to the end; it never waits.
pub(crate) fn run() -> usize {
    match pin!(hub()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(written)) => written,
        _ => 0,
    }
}

/// RAM that the states take.
#[cfg(not(target_os = "none"))]
pub(crate) fn report() {
    println!("Client: {} bytes without the link", size_of::<Client<'_, ()>>());
    println!(
        "Endpoint: {}, Error: {}, HubEvent: {}",
        size_of::<Endpoint<'_>>(),
        size_of::<Error>(),
        size_of::<HubEvent<'_>>()
    );
    println!("all of it as one future: {}", size_of_val(&hub()));
}

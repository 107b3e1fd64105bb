//! The device of these crates.

#[cfg(feature = "mqtt")]
use crate::BUFFER;
#[cfg(not(feature = "mqtt"))]
use crate::service;
use crate::{Device, Heap, Story, clock, is_idle};
use core::cell::Cell;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use critical_section::Mutex;
use iothub_mqtt::dps_client::{Assignment, Config, Registration};
use iothub_mqtt::pnp::{Acknowledgement, Report, properties};
use iothub_mqtt::property::SystemProperty;
use iothub_mqtt::session::Mqtt;
use iothub_mqtt::{Announcement, Client, ClientOptions, Endpoint, Error, HubEvent, Telemetry};

/// When somebody wants to be woken.
static WAKE_US: Mutex<Cell<u64>> = Mutex::new(Cell::new(u64::MAX));

struct Driver;

impl embassy_time_driver::Driver for Driver {
    fn now(&self) -> u64 {
        u64::from(clock::now_ms()) * 1000
    }

    fn schedule_wake(&self, at: u64, _waker: &Waker) {
        critical_section::with(|cs| WAKE_US.borrow(cs).set(at.min(WAKE_US.borrow(cs).get())));
    }
}

embassy_time_driver::time_driver_impl!(static DRIVER: Driver = Driver);

/// Polls a future; where it waits for the time, time passes. It ends without a result when it waits for a service that
/// has nothing more to say, if it may.
fn poll<T>(mut future: Pin<&mut impl Future<Output = T>>, may_wait: bool) -> Option<T> {
    for _ in 0..1000 {
        critical_section::with(|cs| WAKE_US.borrow(cs).set(u64::MAX));
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(result);
        }
        if may_wait && clock::elsewhere(is_idle) {
            return None;
        }
        let wake = critical_section::with(|cs| WAKE_US.borrow(cs).get());
        clock::leap_to(u32::try_from(wake.div_ceil(1000)).expect("somebody waits for a time"));
    }
    panic!("the device waits for ever");
}

fn finish<T>(future: Pin<&mut impl Future<Output = Result<T, Error>>>) -> T {
    poll(future, false).and_then(Result::ok).expect("does it")
}

/// What cannot fail here; how errors are written is not part of the image.
fn done<T, E>(result: Result<T, E>) -> T {
    let Ok(value) = result else { panic!("it does not fail") };
    value
}

fn announcement() -> Announcement<'static> {
    done(Announcement::default().with_model_id("dtmi:com:example:Thermostat;1"))
}

struct Ours<'e, L> {
    client: Client<'e, L>,
    has_twin: bool,
}

/// What is due after an event, when the event is gone.
enum Due {
    Nothing,
    Respond(iothub_mqtt::method::ReplyTo),
    Acknowledge { version: u64 },
}

impl<L: Mqtt> Ours<'_, L> {
    async fn turn(&mut self) -> Result<(), Error> {
        let due = match self.client.poll().await? {
            Some(HubEvent::Message(message)) => {
                let mut text = [0; 64];
                let id = message.properties.system(SystemProperty::MessageId);
                let key = message.properties.get("key").flatten().ok_or(Error::Busy)?;
                assert!(id.is_some() && key.decode(&mut text)? == "a value");
                Due::Nothing
            }
            Some(HubEvent::Method(request)) => {
                assert!(request.command() == (Some("thermostat1"), "getReport"));
                Due::Respond(request.reply_to())
            }
            Some(HubEvent::Twin(twin)) => {
                assert!(properties(&twin.desired(), &["thermostat1"]).count() == 1);
                self.has_twin = true;
                Due::Nothing
            }
            Some(HubEvent::Desired(desired)) => {
                assert!(properties(&desired.object()?, &["thermostat1"]).count() == 1);
                Due::Acknowledge { version: desired.version }
            }
            Some(_) | None => Due::Nothing,
        };
        match due {
            Due::Nothing => Ok(()),
            Due::Respond(to) => self.client.respond(&to, 200, br#"{"max":23.5}"#).await,
            Due::Acknowledge { version } => {
                let mut json = [0; 160];
                let mut report = Report::new(&mut json);
                report.begin_component("thermostat1")?;
                let version = i64::try_from(version).unwrap_or(i64::MAX);
                let done = Acknowledgement { status: 200, version, description: "done" };
                report.acknowledge("targetTemperature", 23, done)?;
                self.client.report(report.finish()?).await.map(|_| ())
            }
        }
    }
}

impl<L: Mqtt> Device for Ours<'_, L> {
    fn telemetry(&mut self, payload: &[u8]) {
        let telemetry = Telemetry::json(payload).with_properties(&[("alert", "yes"), ("site", "42")]);
        finish(pin!(self.client.send(&telemetry)));
    }

    fn receive(&mut self) {
        if let Some(result) = poll(pin!(self.turn()), true) {
            assert!(result.is_ok(), "the device goes on");
        }
    }
}

/// A connected device, from its first subscription on.
fn serve<L: Mqtt>(story: &Story, link: L, endpoint: Endpoint<'_>) {
    let client = Client::new(link, endpoint, ClientOptions::new(1));
    let mut device = Ours { client, has_twin: false };
    story.once("subscriptions and twin", || {
        finish(pin!(device.client.start()));
        while !device.has_twin {
            device.receive();
        }
    });
    story.connected(&mut device);
}

fn registration() -> Registration<'static> {
    let config = Config::new("0ne00000001", "my-device")
        .and_then(|config| config.with_payload(br#"{"modelId":"dtmi:com:example:Thermostat;1"}"#));
    Registration::new(done(config), 1)
}

pub(crate) fn run(story: &Story) {
    let assignment = transport::register_once(story);
    transport::run(story, &assignment);
}

/// The same over a session.
#[cfg(feature = "mqtt")]
mod transport {
    use super::{
        Assignment, BUFFER, Endpoint, Poll, Story, announcement, clock, done, finish, pin, registration,
        serve,
    };
    use core::convert::Infallible;
    use core::future::poll_fn;
    use embedded_io_async::{ErrorType, Read, Write};
    use iothub_mqtt::endpoint::{MAX_CLIENT_ID, MAX_USER_NAME};
    use iothub_mqtt::provision;
    use iothub_mqtt::session::{Options, Session};
    use iothub_mqtt::translate::Connect;

    struct Stream;

    impl ErrorType for Stream {
        type Error = Infallible;
    }

    impl Write for Stream {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            clock::elsewhere(|| crate::wire::write(bytes));
            Ok(bytes.len())
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    impl Read for Stream {
        async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
            let n = clock::elsewhere(|| crate::wire::read(out));
            if n == 0 {
                poll_fn(|_| Poll::<()>::Pending).await;
            }
            Ok(n)
        }
    }

    /// RAM that one more message under way takes in the buffer for messages out: how much longer it has to be for two
    /// than for one.
    #[cfg(feature = "growth")]
    pub(crate) fn report_ram() {
        for size in [16, 64, 256, 1024, 2048] {
            let [one, two] = [1, 2].map(|count| least(size, count));
            cortex_m_semihosting::hprintln!("under way, {} bytes\t{}", size, two - one);
        }
    }

    /// The shortest buffer for so many messages.
    #[cfg(feature = "growth")]
    fn least(size: usize, count: usize) -> usize {
        let (mut short, mut enough) = (0, BUFFER);
        while enough - short > 1 {
            let middle = usize::midpoint(short, enough);
            if fits(middle, size, count) { enough = middle } else { short = middle }
        }
        enough
    }

    #[cfg(feature = "growth")]
    #[inline(never)]
    fn fits(tx: usize, size: usize, count: usize) -> bool {
        use super::{Mqtt, poll};
        use iothub_mqtt::session::QoS;
        let (mut rx, mut buffer) = ([0; 64], [0; BUFFER]);
        let connect = Connect { client_id: "my-device", user_name: "", password: None, will: None };
        let mut session: Session<'_, { provision::MIN_STAGE }> =
            Session::new(Options::default(), &mut rx, &mut buffer[..tx]);
        let mut io = session.wire(Stream, &connect);
        crate::wire::reset();
        let Some(Ok(mut link)) = poll(pin!(session.connect_over(&mut io)), true) else { return false };
        let payload = [0; BUFFER];
        let topic = "devices/my-device/messages/events/";
        let sent = (0..count).all(|_| {
            poll(pin!(link.publish(topic, &payload[..size], QoS::AtLeastOnce)), true)
                .is_some_and(|sent| sent.is_ok())
        });
        crate::wire::reset();
        sent
    }

    /// What it needs is free again when it is over.
    #[inline(never)]
    pub(super) fn register_once(story: &Story) -> Assignment {
        let mut registration = registration();
        let (mut rx, mut tx, mut body) = ([0; BUFFER], [0; BUFFER], [0; 320]);
        let mut buffers = provision::Buffers { rx: &mut rx, tx: &mut tx, body: &mut body };
        story.once("registration", || {
            finish(pin!(iothub_mqtt::register(&mut registration, Stream, None, &mut buffers)))
        })
    }

    #[inline(never)]
    pub(super) fn run(story: &Story, assignment: &Assignment) {
        let (mut rx, mut tx) = ([0; BUFFER], [0; BUFFER]);
        let endpoint = done(Endpoint::assigned(assignment));
        let (mut id, mut name) = ([0; MAX_CLIENT_ID], [0; MAX_USER_NAME]);
        let connect = Connect {
            client_id: done(endpoint.client_id(&mut id)),
            user_name: done(endpoint.user_name(&announcement(), &mut name)),
            password: None,
            will: None,
        };
        let mut session: Session<'_, { provision::MIN_STAGE }> =
            Session::new(Options::default(), &mut rx, &mut tx);
        let mut io = session.wire(Stream, &connect);
        let link = story.once("CONNECT", || finish(pin!(session.connect_over(&mut io))));
        serve(story, link, endpoint);
    }
}

/// The same over messages that arrive.
#[cfg(not(feature = "mqtt"))]
mod transport {
    use super::{
        Assignment, Endpoint, Error, Mqtt, Poll, Registration, Story, announcement, clock, done, registration,
    };
    use super::{serve, service};
    use core::future::poll_fn;
    use iothub_mqtt::dps_client::{Action, RegistrationEvent, mqtt};
    use iothub_mqtt::endpoint::{MAX_CLIENT_ID, MAX_USER_NAME};
    use iothub_mqtt::session::{Inbound, Progress, QoS, Ticket};

    /// Everything it is given has arrived. It has the buffers that a receiver needs.
    struct Messages {
        topic: heapless::String<160>,
        payload: heapless::Vec<u8, 480>,
    }

    impl Messages {
        const fn new() -> Self {
            Self { topic: heapless::String::new(), payload: heapless::Vec::new() }
        }

        fn take(&mut self) -> bool {
            let taken = clock::elsewhere(|| {
                service::next(|message| {
                    self.topic.clone_from(&message.topic);
                    self.payload.clone_from(&message.payload);
                })
            });
            taken.is_some()
        }
    }

    impl Mqtt for Messages {
        async fn publish(&mut self, topic: &str, payload: &[u8], _: QoS) -> Result<Option<Ticket>, Error> {
            clock::elsewhere(|| service::publish(topic, payload));
            Ok(None)
        }

        async fn subscribe(&mut self, _: &[&str]) -> Result<Ticket, Error> {
            Ok(Ticket::new(0))
        }

        async fn unsubscribe(&mut self, _: &[&str]) -> Result<Ticket, Error> {
            Ok(Ticket::new(0))
        }

        async fn poll(&mut self) -> Result<Option<Inbound<'_>>, Error> {
            if !self.take() {
                poll_fn(|_| Poll::<()>::Pending).await;
            }
            Ok(Some(Inbound { topic: &self.topic, payload: &self.payload, oversized: None }))
        }

        fn progress(&mut self, _: Ticket) -> Progress {
            Progress::Done
        }

        fn next_settled(&mut self) -> Option<(Ticket, Progress)> {
            None
        }

        fn forget(&mut self, _: Option<Ticket>) {}

        fn room(&self) -> usize {
            8
        }

        async fn disconnect(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    fn register(
        registration: &mut Registration<'_>,
        messages: &mut Messages,
    ) -> Result<Assignment, iothub_mqtt::dps_client::Error> {
        let mut out = [0; mqtt::MAX_USER_NAME];
        loop {
            let now = u64::from(clock::now_ms());
            match registration.next(now) {
                Action::Connect { .. } => {
                    mqtt::user_name(registration.config(), &mut out)?;
                    registration.handle(RegistrationEvent::Connected, now);
                }
                Action::Subscribe => {
                    registration.handle(RegistrationEvent::Subscribed, now);
                }
                Action::Send(request) => {
                    let mut body = [0; 320];
                    let topic = mqtt::topic(&request, &mut out)?;
                    let body = request.body(&mut body)?;
                    clock::elsewhere(|| service::publish(topic, body));
                }
                Action::Wait { until_ms } => {
                    if !messages.take() {
                        clock::leap_to(u32::try_from(until_ms).unwrap_or(u32::MAX));
                    } else if let Ok(answer) = mqtt::parse_answer(&messages.topic, &messages.payload) {
                        registration.handle(RegistrationEvent::Answer(answer), now);
                    }
                }
                Action::Finished(assignment) => return Ok(assignment.clone()),
                Action::Failed(error) => return Err(error.clone()),
                Action::Disconnect { .. } => {}
            }
        }
    }

    /// What it needs is free again when it is over.
    #[inline(never)]
    pub(super) fn register_once(story: &Story) -> Assignment {
        let mut registration = registration();
        let mut messages = Messages::new();
        story.once("registration", || done(register(&mut registration, &mut messages)))
    }

    #[inline(never)]
    pub(super) fn run(story: &Story, assignment: &Assignment) {
        let endpoint = done(Endpoint::assigned(assignment));
        story.once("CONNECT", || {
            let (mut id, mut name) = ([0; MAX_CLIENT_ID], [0; MAX_USER_NAME]);
            done(endpoint.client_id(&mut id));
            done(endpoint.user_name(&announcement(), &mut name));
        });
        serve(story, Messages::new(), endpoint);
    }
}

#[cfg(all(feature = "growth", feature = "mqtt"))]
pub(crate) use transport::report_ram;

/// There is none.
pub(crate) fn heap() -> Option<Heap> {
    None
}

//! The application's life: identity, registration, hub, and again whatever of it broke.

use core::convert::Infallible;
use core::fmt;

use dice_core::{MacAddress, RegistrationId};
use dps_client::{Assignment, Backoff, Config, Registration};
use embassy_time::{Duration, Instant, Timer, with_deadline};
use iothub_mqtt::endpoint::{MAX_CLIENT_ID, MAX_HOST, MAX_USER_NAME, PORT};
use iothub_mqtt::session::{Options, Session};
use iothub_mqtt::translate::Connect;
use iothub_mqtt::{Announcement, Client, ClientOptions, Endpoint, Telemetry, provision};

use crate::board::{Board, BoardError};
use crate::event::Event;
use crate::identity::{Identity, IdentityError, Profile};
use crate::telemetry;

/// What the user configures.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Host name of the provisioning service.
    pub endpoint: &'a str,
    /// The provisioning service's id scope.
    pub id_scope: &'a str,
    /// The id to register with; `None` builds it from MAC address and firmware version.
    pub registration_id: Option<&'a str>,
    /// How the identity is derived.
    pub profile: Profile,
    /// Time between two telemetry messages, in milliseconds.
    pub telemetry_interval_ms: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
}

impl<'a> Settings<'a> {
    /// The settings every device has, with the tutorial's interval of two seconds.
    #[must_use]
    pub fn new(id_scope: &'a str) -> Self {
        Self {
            endpoint: dps_client::GLOBAL_ENDPOINT,
            id_scope,
            registration_id: None,
            profile: Profile::default(),
            telemetry_interval_ms: 2000,
            backoff: Backoff::DEFAULT,
        }
    }
}

/// Why the application stopped: something that trying again does not mend. The text names the step.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<E> {
    /// The secret could not be read.
    Secret(E),
    /// The registration id or the measurement is refused.
    Identity(IdentityError),
    /// The settings are refused.
    Settings(dps_client::Error),
    /// A connection failed for good: most likely the server is not who it should be.
    Connection {
        /// To which host.
        host: heapless::String<{ MAX_HOST }>,
        /// Why.
        cause: E,
    },
    /// The provisioning service refused the device.
    Registration(iothub_mqtt::Error),
    /// The hub was lost in a way that no new connection mends.
    Hub(iothub_mqtt::Error),
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(cause) => write!(f, "reading the device secret: {cause}"),
            Self::Identity(cause) => write!(f, "deriving the identity: {cause}"),
            Self::Settings(cause) => write!(f, "settings: {cause}"),
            Self::Connection { host, cause } => write!(f, "connecting to {host}: {cause}"),
            Self::Registration(cause) => write!(f, "registering with the provisioning service: {cause}"),
            Self::Hub(cause) => write!(f, "working with the hub: {cause}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Failure<E> {}

/// After so many failures in a row at the hub the provisioning service is asked again, as Microsoft recommends.
const HUB_ATTEMPTS: u32 = 10;
/// Longest message body received from either service.
const RX: usize = 4096;
/// Messages on their way.
const TX: usize = 2048;

/// Runs the device until something fails for good.
pub async fn run<B: Board>(board: &mut B, settings: &Settings<'_>) -> Failure<B::Error> {
    match live(board, settings).await {
        Err(failure) => failure,
        Ok(never) => match never {},
    }
}

async fn live<B: Board>(board: &mut B, settings: &Settings<'_>) -> Result<Infallible, Failure<B::Error>> {
    let mut id_text = [0; RegistrationId::DEFAULT_MAX_LEN];
    let id = match settings.registration_id {
        Some(id) => RegistrationId::new(id),
        None => RegistrationId::default_for(MacAddress(board.mac()), board.firmware_version(), &mut id_text),
    }
    .map_err(|error| Failure::Identity(error.into()))?;
    let identity = boot(board, &settings.profile, id).await?;
    loop {
        let assignment = provision(board, settings, &identity, id.as_str()).await?;
        board.report(&Event::Assigned { hub: assignment.hub(), device_id: assignment.device_id() });
        serve(board, settings, &identity, &assignment).await?;
        board.report(&Event::Reprovisioning);
    }
}

/// Derives the identity; the secret is wiped when this returns.
async fn boot<B: Board>(
    board: &mut B,
    profile: &Profile,
    id: RegistrationId<'_>,
) -> Result<Identity, Failure<B::Error>> {
    let uds = board.uds().await.map_err(Failure::Secret)?;
    let identity = Identity::derive(profile, &uds, board.image(), board.firmware_version(), id);
    let identity = identity.map_err(Failure::Identity)?;
    board.report(&Event::IdentityDerived {
        registration_id: id.as_str(),
        firmware: identity.firmware(),
        certificate: identity.certificate(),
    });
    Ok(identity)
}

/// Asks the provisioning service which hub is ours, for as long as asking may help.
async fn provision<B: Board>(
    board: &mut B,
    settings: &Settings<'_>,
    identity: &Identity,
    id: &str,
) -> Result<Assignment, Failure<B::Error>> {
    let timing = dps_client::Timing { backoff: settings.backoff, ..dps_client::Timing::DEFAULT };
    let config = Config::new(settings.id_scope, id).map_err(Failure::Settings)?.with_timing(timing);
    let mut registration = Registration::new(config, board.random());
    let (mut rx, mut tx, mut body) = ([0; RX], [0; TX], [0; provision::MIN_BODY]);
    loop {
        match provision::ready(&mut registration).await {
            Ok(None) => {}
            Ok(Some(assignment)) => return Ok(assignment),
            Err(cause) => return Err(Failure::Registration(cause)),
        }
        let Some(stream) = connect(board, settings.endpoint, dps_client::mqtt::PORT, identity).await? else {
            registration.handle(dps_client::Event::Disconnected, Instant::now().as_millis());
            continue;
        };
        let mut buffers = provision::Buffers { rx: &mut rx, tx: &mut tx, body: &mut body };
        match provision::register_ready(&mut registration, stream, None, &mut buffers).await {
            Ok(assignment) => return Ok(assignment),
            Err(cause) if cause.is_retriable() => {
                board.report(&Event::Retrying { cause: &cause, in_ms: None });
            }
            Err(cause) => return Err(Failure::Registration(cause)),
        }
    }
}

/// A connection; `None` if there is none now but may be later.
async fn connect<B: Board>(
    board: &mut B,
    host: &str,
    port: u16,
    identity: &Identity,
) -> Result<Option<B::Stream>, Failure<B::Error>> {
    board.report(&Event::Connecting { host });
    match board.connect(host, port, identity).await {
        Ok(stream) => Ok(Some(stream)),
        Err(cause) if cause.is_retriable() => {
            board.report(&Event::Retrying { cause: &cause, in_ms: None });
            Ok(None)
        }
        Err(cause) => Err(Failure::Connection { host: host.chars().take(MAX_HOST).collect(), cause }),
    }
}

/// Works at the assigned hub over as many connections as it takes. Returns when the hub no longer takes the device.
async fn serve<B: Board>(
    board: &mut B,
    settings: &Settings<'_>,
    identity: &Identity,
    assignment: &Assignment,
) -> Result<(), Failure<B::Error>> {
    let (mut rx, mut tx) = ([0; RX], [0; TX]);
    let mut session: Session<'_> = Session::new(Options::default(), &mut rx, &mut tx);
    let endpoint = Endpoint::assigned(assignment).map_err(Failure::Hub)?;
    let mut shift = Shift { board, settings, endpoint, messages: 0, healthy: false };
    let mut attempt = 0;
    while attempt < HUB_ATTEMPTS {
        let error = match connect(shift.board, endpoint.connect_host(), PORT, identity).await? {
            None => None,
            Some(stream) => shift.connection(&mut session, stream).await.err(),
        };
        if core::mem::take(&mut shift.healthy) {
            attempt = 0;
        }
        if error.as_ref().is_some_and(iothub_mqtt::Error::is_refusal) {
            return Ok(());
        }
        let in_ms = settings.backoff.delay_ms(attempt, shift.board.random());
        if let Some(cause) = &error {
            shift.board.report(&Event::Retrying { cause, in_ms: Some(in_ms) });
        }
        attempt += 1;
        Timer::after(Duration::from_millis(in_ms.into())).await;
    }
    Ok(())
}

/// The work at one hub, across connections.
struct Shift<'a, B> {
    board: &'a mut B,
    settings: &'a Settings<'a>,
    endpoint: Endpoint<'a>,
    /// Telemetry messages sent.
    messages: u32,
    /// The present connection was good: the hub took the subscriptions.
    healthy: bool,
}

impl<B: Board> Shift<'_, B> {
    /// One connection, until it breaks.
    async fn connection<const STAGE: usize>(
        &mut self,
        session: &mut Session<'_, STAGE>,
        stream: B::Stream,
    ) -> Result<Infallible, iothub_mqtt::Error> {
        let mut client_id = [0; MAX_CLIENT_ID];
        let mut user_name = [0; MAX_USER_NAME];
        let connect = Connect {
            client_id: self.endpoint.client_id(&mut client_id)?,
            user_name: self.endpoint.user_name(&Announcement::default(), &mut user_name)?,
            password: None,
            will: None,
        };
        let link = session.connect(stream, &connect).await?;
        // Telemetry and messages are the tutorial's; what is not subscribed to is not sent.
        let options =
            ClientOptions { methods: false, twin: false, ..ClientOptions::new(self.board.random()) };
        let mut client: Client<'_, _> = Client::new(link, self.endpoint, options);
        client.start().await?;
        let interval = Duration::from_millis(self.settings.telemetry_interval_ms.into());
        let mut next_telemetry = Instant::MAX;
        loop {
            let Ok(event) = with_deadline(next_telemetry, client.poll()).await else {
                next_telemetry = Instant::now() + interval;
                self.send_reading(&mut client).await?;
                continue;
            };
            match event? {
                Some(iothub_mqtt::Event::Connected) => {
                    self.healthy = true;
                    self.board.report(&Event::HubConnected);
                    next_telemetry = Instant::now();
                }
                Some(iothub_mqtt::Event::Delivered(_)) => self.board.report(&Event::TelemetryDelivered),
                Some(iothub_mqtt::Event::Message(message)) => {
                    self.board
                        .report(&Event::Message { properties: message.properties, payload: message.payload });
                }
                // Telemetry is worth nothing later: what was lost with a session is followed by the next reading.
                _ => {}
            }
        }
    }

    async fn send_reading<L: iothub_mqtt::session::Mqtt, const TOPIC: usize>(
        &mut self,
        client: &mut Client<'_, L, TOPIC>,
    ) -> Result<(), iothub_mqtt::Error> {
        if !client.can_send() {
            return Ok(()); // The hub is slow; the next reading tells as much as this one.
        }
        let reading = self.board.read_sensors().await;
        self.messages = self.messages.wrapping_add(1);
        let body = reading.body(self.endpoint.device_id(), self.messages);
        let properties = [(telemetry::ALERT_PROPERTY, reading.alert())];
        client.send(&Telemetry::json(body.as_bytes()).with_properties(&properties)).await?;
        Ok(())
    }
}

//! A cloud, and devices that run the runner beside it and tell what happens in words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use azure_iot_tls::{Error, Identity, IdentityError, Signature, Trust, rustls};
use dps_client::{Assignment, Backoff, RegistrationState, Timing};
use embedded_io_adapters::tokio_1::FromTokio;
use iothub_mqtt::method::{ReplyTo, status};
use iothub_mqtt::runner::{
    Application, Connector, Device, DeviceCommand, DeviceEvent, Failure, Memory, Policy, Service, Settings,
    Target,
};
use iothub_mqtt::{HubEvent, Telemetry, client};
use local_cloud::{Attestation, Config, Credential, Enrollment, Handle, LocalCloud};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::pkcs8::DecodePrivateKey;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A self-signed certificate and its key.
#[derive(Clone)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    key: SigningKey,
}

impl Certificate {
    fn new(common_name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, key: SigningKey::from_pkcs8_der(&key.serialize_der()).unwrap() }
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn thumbprint(&self) -> String {
        hex::encode(Sha256::digest(&self.der))
    }
}

impl Identity for Certificate {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        (index == 0).then_some(&self.der)
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        let signature: p256::ecdsa::Signature =
            self.key.sign_prehash(digest).map_err(|_| IdentityError::Signer)?;
        Ok(Signature::from_bytes(signature.to_bytes().into()))
    }
}

type Stream = rustls::Stream<FromTokio<TcpStream>>;

/// Opens connections to the cloud, whatever names it has.
#[derive(Clone)]
struct Network {
    identity: Arc<Certificate>,
    root: Vec<u8>,
    dps: SocketAddr,
    hub: SocketAddr,
}

impl Network {
    async fn open(&self, address: SocketAddr, host: &str) -> Result<Stream, Error> {
        let tcp = TcpStream::connect(address).await.expect("the cloud is up");
        tcp.set_nodelay(true).expect("a socket option");
        let roots = [self.root.as_slice()];
        rustls::connect(FromTokio::new(tcp), &Trust::new(host, &roots)?, Some(self.identity.clone())).await
    }
}

impl Connector for Network {
    type Stream<'s> = Stream;
    type Error = Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<Stream, Error> {
        let address = match target.service {
            Service::Provisioning { .. } => self.dps,
            Service::Hub(_) => self.hub,
        };
        assert_eq!(target.port, 8883);
        self.open(address, target.host).await
    }

    fn is_retriable(error: &Error) -> bool {
        error.is_retriable()
    }
}

/// A cloud in which one device is enrolled.
pub(crate) struct Bench {
    pub(crate) cloud: Arc<Handle>,
    pub(crate) identity: Arc<Certificate>,
}

/// What a device is to do.
pub(crate) enum Do {
    Send(&'static str),
    Report(&'static str),
    Stop,
}

impl Bench {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_as("device-1", config).await
    }

    /// With a device of this name, enrolled and known to the hub.
    pub(crate) async fn start_as(id: &str, config: Config) -> Self {
        let cloud = Arc::new(LocalCloud::start(config).await.unwrap());
        let identity = Arc::new(Certificate::new("device-1"));
        cloud
            .enrollments()
            .put_individual(Enrollment::new("device-1", Attestation::certificate(identity.der.clone())));
        if id != "device-1" {
            cloud.add_device(id, Credential::Thumbprints(vec![identity.thumbprint()]));
        }
        Self { cloud, identity }
    }

    fn network(&self) -> Network {
        Network {
            identity: self.identity.clone(),
            root: self.cloud.root_der().to_vec(),
            dps: self.cloud.dps_address(),
            hub: self.cloud.hub_address(),
        }
    }

    pub(crate) async fn tls(&self, address: SocketAddr, host: &str) -> Result<Stream, Error> {
        self.network().open(address, host).await
    }

    /// Boots a device that registers first.
    pub(crate) fn boot(&self, change: impl FnOnce(&mut Settings<'static>)) -> Booted {
        self.boot_with(None, change)
    }

    /// Boots a device that knows its hub.
    pub(crate) fn boot_at_hub(&self, id: &str, change: impl FnOnce(&mut Settings<'static>)) -> Booted {
        let hub = &self.cloud.config().hub_name;
        let state = serde_json::json!({"assignedHub": hub, "deviceId": id, "status": "assigned"}).to_string();
        let state = RegistrationState::parse(state.as_bytes()).unwrap();
        self.boot_with(Some(Assignment::from_state(&state).unwrap()), change)
    }

    fn boot_with(
        &self,
        assignment: Option<Assignment>,
        change: impl FnOnce(&mut Settings<'static>),
    ) -> Booted {
        let backoff = Backoff { min_ms: 20, max_ms: 100, jitter_ms: 10 };
        let registration = dps_client::Config::new("0ne00000000", "device-1").unwrap().with_timing(Timing {
            backoff,
            poll_ms: 50,
            ..Timing::DEFAULT
        });
        let mut settings = Settings::new(registration);
        settings.policy = Policy { backoff, good_ms: 0, ..Policy::DEFAULT };
        settings.client.twin_timing.backoff = backoff;
        change(&mut settings);
        let (say, lines) = unbounded_channel();
        let (orders, commands) = unbounded_channel();
        let mut app = App { say, commands, replies: Vec::new() };
        let mut network = self.network();
        let run = async move {
            let mut device: Device<'_, _> = Device::new(settings, rand::random::<u32>);
            let mut memory: Box<Memory> = Box::default();
            device.run(&mut app, &mut network, &mut memory.buffers(), assignment).await
        };
        Booted { lines, orders, task: tokio::spawn(run) }
    }
}

struct App {
    say: UnboundedSender<String>,
    commands: UnboundedReceiver<Do>,
    /// Answers to be given: to whom, status, body.
    replies: Vec<(ReplyTo, i32, String)>,
}

const PROPERTIES: &[(&str, &str)] = &[("where", "up & away=ü+%")];

impl App {
    fn hub(&mut self, event: &HubEvent<'_>) -> String {
        match event {
            HubEvent::Connected => "connected".into(),
            HubEvent::Delivered(_) => "delivered".into(),
            HubEvent::Twin(twin) => format!("twin {}", twin.version()),
            HubEvent::Desired(desired) => {
                format!("desired {} {}", desired.version, String::from_utf8_lossy(desired.payload))
            }
            HubEvent::Reported { result: Ok(version), .. } => {
                format!("reported {}", version.unwrap_or(0))
            }
            HubEvent::Reported { result: Err(client::ReportFailure::Refused { status, .. }), .. } => {
                format!("refused {status}")
            }
            HubEvent::Message(message) => {
                let decode = |text: iothub_mqtt::property::Encoded<'_>| {
                    let mut out = vec![0; text.raw().len()];
                    text.decode(&mut out).unwrap().to_owned()
                };
                let own = message.properties.iter().filter(|(name, _)| !decode(*name).starts_with("$."));
                let own: Vec<String> = own
                    .map(|(name, value)| match value {
                        Some(value) => format!("{}={}", decode(name), decode(value)),
                        None => decode(name),
                    })
                    .collect();
                format!("message {} {{{}}}", String::from_utf8_lossy(message.payload), own.join(", "))
            }
            HubEvent::Method(request) => {
                let argument: i64 = std::str::from_utf8(request.payload).unwrap().parse().unwrap_or(0);
                self.replies.push(match request.name {
                    "double" => (request.reply_to(), status::OK, (2 * argument).to_string()),
                    _ => (request.reply_to(), status::NOT_FOUND, String::new()),
                });
                format!("method {}", request.name)
            }
            other => format!("{other:?}"),
        }
    }
}

impl Application<Error> for App {
    async fn event(&mut self, event: DeviceEvent<'_, Error>) {
        let line = match event {
            DeviceEvent::Hub(event) => self.hub(&event),
            DeviceEvent::Registering => "registering".into(),
            DeviceEvent::Registered(assignment) => {
                format!("registered {} {}", assignment.hub(), assignment.device_id())
            }
            DeviceEvent::Connecting(Target { service: Service::Hub(endpoint), host, .. }) => {
                format!("connecting {} at {host}", endpoint.hub())
            }
            DeviceEvent::Retrying { cause, .. } => format!("retrying {cause}"),
            DeviceEvent::Sent(_) => "sent".into(),
            other => format!("{other:?}"),
        };
        // Nobody may be listening any more.
        let _ = self.say.send(line);
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        if let Some((to, status, _)) = self.replies.last() {
            let (to, status) = (to.clone(), *status);
            let body = self.replies.pop().map(|(_, _, body)| body).unwrap_or_default();
            return DeviceCommand::Respond { to, status, payload: body.leak().as_bytes() };
        }
        match self.commands.recv().await {
            Some(Do::Send(body)) => {
                DeviceCommand::Telemetry(Telemetry::json(body.as_bytes()).with_properties(PROPERTIES))
            }
            Some(Do::Report(json)) => DeviceCommand::Report(json),
            Some(Do::Stop) => DeviceCommand::Stop,
            None => std::future::pending().await,
        }
    }
}

/// A running device.
pub(crate) struct Booted {
    lines: UnboundedReceiver<String>,
    orders: UnboundedSender<Do>,
    task: JoinHandle<Result<(), Failure<Error>>>,
}

impl Drop for Booted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Booted {
    /// Waits until the device says something that begins so.
    pub(crate) async fn expect(&mut self, beginning: &str) {
        self.expect_all(&[beginning]).await;
    }

    /// As [`expect`](Self::expect), for several things in any order.
    pub(crate) async fn expect_all(&mut self, beginnings: &[&str]) {
        let mut missing = beginnings.to_vec();
        let mut events = Vec::new();
        while !missing.is_empty() {
            match timeout(Duration::from_secs(20), self.lines.recv()).await {
                Ok(Some(line)) => {
                    if let Some(at) = missing.iter().position(|beginning| line.starts_with(beginning)) {
                        missing.remove(at);
                    }
                    events.push(line);
                }
                _ => panic!("the device does not say {missing:?}, but {events:#?}"),
            }
        }
    }

    pub(crate) fn order(&self, order: Do) {
        assert!(self.orders.send(order).is_ok(), "the device is gone");
    }

    /// Waits until the device has stopped.
    pub(crate) async fn end(&mut self) -> Result<(), Failure<Error>> {
        timeout(Duration::from_secs(20), &mut self.task)
            .await
            .expect("it goes on")
            .expect("it does not panic")
    }
}

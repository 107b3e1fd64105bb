//! A certificate that the service issues for a key made here, and that renews for ever.
//!
//!     cargo run -p examples --bin renew-certificate -- --help
//!
//! The device registers with the certificate that `identity` prints, and gets another one for the hub. That one is
//! renewed while the device is connected; old and new are kept until the new one has worked. `credentials.flash` stands
//! for two blocks of flash. A device without a clock has the time from SNTP, in an `azure_iot_credentials::ServerTime`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_iot_credentials::key::PrivateKey;
use azure_iot_credentials::{Policy, Renewal};
use clap::Parser as _;
use examples::credentials::{Credentials, Hub, key_and_request};
use examples::{Args, Error, Network};
use iothub_mqtt::HubEvent;
use iothub_mqtt::certificate::{self, Chain, Progress, Replace};
use iothub_mqtt::dps_client::{self, API_VERSION_CONNECTION_PROFILE, Assignment, Config, Registration};
use iothub_mqtt::provision::{self, Buffers};
use iothub_mqtt::runner::{Application, Cause, Device, DeviceCommand, DeviceEvent, Memory, Settings};
use tokio::sync::Mutex;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    /// Per cent of a certificate's life after which it is renewed
    #[arg(long, default_value_t = Policy::DEFAULT.percent)]
    renew_at: u8,
}

struct Renewing {
    id: String,
    policy: Policy,
    credentials: Arc<Mutex<Credentials>>,
    renewal: Option<Renewal<PrivateKey>>,
    body: Vec<u8>,
    reconnect: bool,
    stop: bool,
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl Renewing {
    /// The hub has let the device in: what it has shown is the one to keep, and to renew.
    async fn connected(&mut self) -> Result<(), azure_iot_credentials::Error> {
        let mut credentials = self.credentials.lock().await;
        if let Some(entry) = credentials.candidates.current().copied() {
            credentials.store.confirm(entry.number).await?;
            println!("connected with certificate {}", entry.number);
        }
        let validity = credentials.current().await?.validity;
        self.renewal = Some(Renewal::new(self.policy, validity, rand::random()));
        Ok(())
    }

    async fn progress(&mut self, progress: Progress<'_>) -> anyhow::Result<()> {
        let Some(renewal) = &mut self.renewal else { return Ok(()) };
        let asked_s = match progress {
            Progress::Accepted(_) => return Ok(()),
            Progress::Issued(chain) => {
                let mut chain_der = [0; 4096];
                let chain = chain.decode(&mut chain_der)?;
                let key = renewal.issued(chain, &self.id)?;
                self.credentials.lock().await.add(&key, chain).await?;
                self.reconnect = true;
                return Ok(());
            }
            Progress::Refused(refusal) => refusal.retry_after_s(),
            _ => None,
        };
        println!("no certificate; again in {} s", renewal.failed(now(), asked_s, rand::random()));
        Ok(())
    }

    /// A new key, and the request for it.
    fn begin(&mut self) -> anyhow::Result<()> {
        let (key, csr) = key_and_request(&self.id)?;
        let mut body = [0; 1024];
        self.body = certificate::request_body(&self.id, &csr, Replace::Any, &mut body)?.to_vec();
        self.renewal.as_mut().ok_or(azure_iot_credentials::Error::NoKey)?.begin(key);
        Ok(())
    }
}

impl Application<Error> for Renewing {
    async fn event(&mut self, event: DeviceEvent<'_, Error>) {
        let outcome = match event {
            DeviceEvent::Hub(HubEvent::Connected) => self.connected().await.map_err(anyhow::Error::new),
            DeviceEvent::Hub(HubEvent::Certificate { progress, .. }) => self.progress(progress).await,
            DeviceEvent::NotSent(error) => Err(anyhow::Error::new(error)),
            DeviceEvent::Retrying { cause: Cause::Service(error), .. } if error.is_refusal() => {
                // The next one; with none left the device has to register again.
                self.stop = self.credentials.lock().await.candidates.refused().is_none();
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = outcome {
            println!("{error}");
            if let Some(renewal) = &mut self.renewal {
                renewal.failed(now(), None, rand::random());
            }
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        if self.stop {
            return DeviceCommand::Stop;
        }
        if std::mem::take(&mut self.reconnect) {
            return DeviceCommand::Reconnect;
        }
        loop {
            match &self.renewal {
                Some(renewal) if renewal.key().is_err() => {
                    let due_in_s = renewal.due_in_s(now());
                    if due_in_s == 0 {
                        match self.begin() {
                            Ok(()) => return DeviceCommand::RequestCertificate(&self.body),
                            Err(error) => println!("no request: {error}"),
                        }
                    }
                    tokio::time::sleep(Duration::from_secs(due_in_s.clamp(1, 3600))).await;
                }
                _ => std::future::pending().await,
            }
        }
    }
}

/// Registers with the device's own certificate, and stores the one that is issued for a new key.
async fn register(args: &Args, credentials: &mut Credentials) -> anyhow::Result<Assignment> {
    let network = Network::new(args, Some(examples::certificate(&args.id)?))?;
    let (key, csr) = key_and_request(&args.id)?;
    let config = Config::new(&args.id_scope, &args.id)?
        .with_api_version(API_VERSION_CONNECTION_PROFILE)?
        .with_csr(&csr)?;
    let mut registration = Registration::new(config, rand::random());
    let stream = network.open(dps_client::GLOBAL_ENDPOINT, 8883).await?;
    let (mut rx, mut tx, mut body) = (vec![0; 12_288], [0; 2048], [0; provision::MIN_BODY + 512]);
    let mut buffers = Buffers { rx: &mut rx, tx: &mut tx, body: &mut body };
    let (mut chain, mut issued) = (vec![0; 4096], 0);
    let assignment = provision::register_with(&mut registration, stream, None, &mut buffers, |state| {
        if let Ok(Some(certificates)) = state.issued_certificate_chain() {
            issued = Chain::new(certificates).decode(&mut chain).map_or(0, <[u8]>::len);
        }
    })
    .await?;
    anyhow::ensure!(issued > 0, "the service has issued no certificate");
    credentials.add(&key, &chain[..issued]).await?;
    Ok(assignment)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Command { args, renew_at } = Command::parse();
    let mut credentials = Credentials::open("credentials.flash".into()).await?;
    let config = Config::new(&args.id_scope, &args.id)?;
    let cached = std::fs::read("assignment").ok().and_then(|bytes| Assignment::decode(&bytes, &config).ok());
    let assignment = match cached {
        Some(assignment) if credentials.candidates.current().is_some() => assignment,
        _ => register(&args, &mut credentials).await?,
    };
    std::fs::write("assignment", assignment.encode(&config, &mut [0; Assignment::MAX_ENCODED])?)?;

    let mut settings = Settings::new(config);
    settings.announcement = settings.announcement.with_api_version(certificate::API_VERSION)?;
    settings.client.certificates = true;
    let credentials = Arc::new(Mutex::new(credentials));
    let mut hub = Hub::new(Network::new(&args, None)?, credentials.clone());
    let mut application = Renewing {
        id: args.id.clone(),
        policy: Policy { percent: renew_at, ..Policy::DEFAULT },
        credentials,
        renewal: None,
        body: Vec::new(),
        reconnect: false,
        stop: false,
    };
    let mut device: Device<'_, _> = Device::new(settings, rand::random);
    let mut memory: Box<Memory> = Box::new(Memory::new());
    device.run(&mut application, &mut hub, &mut memory.buffers(), Some(assignment)).await?;
    Ok(())
}

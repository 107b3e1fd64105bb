//! The work: devices that register, connect and send, and how long each of it takes.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::mqtt::Client;

/// Devices that are at work at the same time.
pub(crate) const AT_ONCE: usize = 16;
/// What a message has in it: a typical reading.
const BODY: &[u8] =
    br#"{"deviceId":"load","temperature":22.51,"humidity":44.99,"pressure":1013.25,"messageId":1}"#;

/// An authority, and the devices whose certificates it has signed.
pub(crate) struct Fleet {
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
    pub(crate) devices: Vec<Device>,
}

/// A device.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) certificate: rcgen::Certificate,
    key: KeyPair,
}

/// Where a service is.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// As its certificate names it.
    pub(crate) name: String,
}

impl Fleet {
    pub(crate) fn make(devices: usize) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "load");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let device = |number: usize| {
            let id = format!("device-{number:05}");
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, &id);
            let certificate = params.signed_by(&key, &authority)?;
            anyhow::Ok(Device { id, certificate, key })
        };
        let devices = (0..devices).map(device).collect::<Result<_>>()?;
        Ok(Self { authority, devices })
    }
}

impl Device {
    /// Whole handshakes, with this device's certificate.
    fn tls(&self, root: &CertificateDer<'static>) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![self.certificate.der().clone()], key)?;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// How long each of many took, and all together.
#[derive(Debug)]
pub(crate) struct Times {
    each: Vec<Duration>,
    all: Duration,
}

impl Times {
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn per_second(&self) -> f64 {
        self.each.len() as f64 / self.all.as_secs_f64().max(1e-6)
    }

    pub(crate) fn count(&self) -> usize {
        self.each.len()
    }

    /// In milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let index = (self.each.len().saturating_sub(1) * percent).div_ceil(100);
        self.each.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Does each of these, some at a time, and measures how long they take.
async fn timed<T, F: Future<Output = Result<T>>>(work: impl Iterator<Item = F>) -> Result<(Times, Vec<T>)> {
    let began = Instant::now();
    let one = |work: F| async move {
        let began = Instant::now();
        let done = work.await?;
        anyhow::Ok((began.elapsed(), done))
    };
    let done: Vec<_> = stream::iter(work.map(one)).buffer_unordered(AT_ONCE).try_collect().await?;
    let all = began.elapsed();
    let (mut each, done): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    each.sort_unstable();
    Ok((Times { each, all }, done))
}

/// Every device registers with the provisioning service, from the connection to its end.
pub(crate) async fn register(
    fleet: &[Device],
    dps: &Service,
    root: &CertificateDer<'static>,
    id_scope: &str,
) -> Result<Times> {
    let one =
        |device| async move { register_one(device, dps, root, id_scope).await.context("a registration") };
    Ok(timed(fleet.iter().map(one)).await?.0)
}

async fn register_one(
    device: &Device,
    dps: &Service,
    root: &CertificateDer<'static>,
    id_scope: &str,
) -> Result<()> {
    let id = &device.id;
    let user_name = format!("{id_scope}/registrations/{id}/api-version=2019-03-31");
    let mut client = Client::connect(dps, &device.tls(root)?, id, &user_name).await?;
    client.subscribe("$dps/registrations/res/#").await?;
    let body = format!("{{\"registrationId\":\"{id}\"}}");
    client.send_qos0("$dps/registrations/PUT/iotdps-register/?$rid=1", body.as_bytes()).await?;
    loop {
        let (topic, body) = client.message().await?;
        let answer: Value = serde_json::from_slice(&body)?;
        if topic.starts_with("$dps/registrations/res/200/") {
            ensure!(answer["status"] == "assigned", "{answer}");
            return client.disconnect().await;
        }
        ensure!(topic.starts_with("$dps/registrations/res/202/"), "{topic}: {answer}");
        let operation = answer["operationId"].as_str().context("no operation")?;
        let poll =
            format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId={operation}");
        client.send_qos0(&poll, b"").await?;
    }
}

/// A device that is connected.
pub(crate) struct Connected {
    client: Client,
    topic: String,
}

/// Every device connects to the hub, and stays.
pub(crate) async fn connect(
    fleet: &[Device],
    hub: &Service,
    root: &CertificateDer<'static>,
) -> Result<(Times, Vec<Connected>)> {
    let one = |device: &'_ Device| {
        let id = device.id.clone();
        let user_name = format!("{}/{id}/?api-version=2021-04-12", hub.name);
        let tls = device.tls(root);
        async move {
            let client = Client::connect(hub, &tls?, &id, &user_name).await.context("a connection")?;
            anyhow::Ok(Connected { client, topic: format!("devices/{id}/messages/events/") })
        }
    };
    timed(fleet.iter().map(one)).await
}

async fn send(device: &mut Connected) -> Result<()> {
    device.client.publish(&device.topic, BODY).await.context("a message")
}

/// Every device sends so many messages, as fast as they are acknowledged.
pub(crate) async fn flood(fleet: &mut [Connected], each: usize) -> Result<Times> {
    let mut times = Times { each: Vec::new(), all: Duration::ZERO };
    for _ in 0..each {
        let (round, _) = timed(fleet.iter_mut().map(send)).await?;
        times.all += round.all;
        times.each.extend(round.each);
    }
    times.each.sort_unstable();
    Ok(times)
}

/// The devices send in turn, `rate` messages a second for this time, whatever the acknowledgements take.
pub(crate) async fn pace(fleet: &mut [Connected], rate: u32, time: Duration) -> Result<Times> {
    let began = tokio::time::Instant::now();
    let wanted = u32::try_from(time.as_millis())? * rate / 1000;
    let mut each = Vec::new();
    let mut sent = 0;
    while sent < wanted {
        let round = u32::try_from(fleet.len())?.min(wanted - sent);
        let work = (0..round).zip(fleet.iter_mut()).map(|(number, device)| async move {
            let due = began + Duration::from_secs(1) * (sent + number) / rate;
            tokio::time::sleep_until(due).await;
            send(device).await?;
            // From the moment it was due: a sender that is late because others were slow has waited, too.
            anyhow::Ok(due.elapsed())
        });
        let most = usize::try_from(rate)?.max(AT_ONCE);
        each.extend(stream::iter(work).buffer_unordered(most).try_collect::<Vec<_>>().await?);
        sent += round;
    }
    each.sort_unstable();
    Ok(Times { each, all: began.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use local_cloud::{Attestation, Config, Enrollment, LocalCloud};

    #[tokio::test]
    async fn a_small_fleet() {
        let fleet = Fleet::make(20).unwrap();
        let config = Config { retry_after: Some(0), ..Config::default() };
        let cloud = LocalCloud::start(config).await.unwrap();
        for device in &fleet.devices {
            let attestation = Attestation::certificate(device.certificate.der().to_vec());
            cloud.enrollments().put_individual(Enrollment::new(&device.id, attestation));
        }
        let root = CertificateDer::from(cloud.root_der().to_vec());
        let dps = Service { address: cloud.dps_address(), name: cloud.config().dps_name.clone() };
        let hub = Service { address: cloud.hub_address(), name: cloud.config().hub_name.clone() };
        let registered = register(&fleet.devices, &dps, &root, &cloud.config().id_scope).await.unwrap();
        assert_eq!(registered.count(), 20);
        let mut events = cloud.events();
        let (times, mut connected) = connect(&fleet.devices, &hub, &root).await.unwrap();
        assert_eq!((times.count(), cloud.devices().len()), (20, 20));
        assert_eq!(flood(&mut connected, 3).await.unwrap().count(), 60);
        let paced = pace(&mut connected, 100, Duration::from_millis(300)).await.unwrap();
        assert_eq!(paced.count(), 30);
        assert!(paced.all >= Duration::from_millis(290), "{:?}", paced.all);
        for _ in 0..90 {
            assert_eq!(events.telemetry().await.unwrap().body, BODY);
        }
        assert!(fleet.devices.iter().all(|device| cloud.is_connected(&device.id)));
        // Someone whom nobody has enrolled is no figure but an error.
        let stranger = Fleet::make(1).unwrap();
        assert!(register(&stranger.devices, &dps, &root, &cloud.config().id_scope).await.is_err());
    }

    #[test]
    fn percentiles() {
        let times =
            Times { each: (1..=100).map(Duration::from_millis).collect(), all: Duration::from_secs(2) };
        assert_eq!((times.percentile(50), times.percentile(99)), (51.0, 100.0));
        assert!((times.per_second() - 50.0).abs() < 1e-9);
    }
}

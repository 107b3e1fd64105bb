//! A TLS client whose private key never leaves the secure element: mutual TLS 1.2 and 1.3 with a key that the chip
//! made, and the certificate that the provisioning service issues for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_iot_credentials::certificate::Leaf;
use azure_iot_credentials::{key, request};
use azure_iot_tls::{
    ChainIdentity, Error, Identity, IdentityError, SecretKey, Signature, Trust, Versions, rustls::connect,
};
use der::Encode as _;
use der::asn1::{BitString, ObjectIdentifier};
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read as _, Write as _};
use iothub_mqtt::certificate::Chain;
use iothub_mqtt::dps_client::{self, API_VERSION_CONNECTION_PROFILE, RegistrationState};
use iothub_mqtt::runner::{
    self, Application, Connector, DeviceCommand, DeviceEvent, Memory, Service, Settings, Target,
};
use local_cloud::{
    Attestation, Config, Enrollment, Event, Handle, IssueKeys, LocalCloud, TlsVersion, TlsVersions,
};
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SubjectPublicKeyInfo};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use stsafe_a100::Irreversible;
use stsafe_a100::asynch;
use stsafe_a100::blocking::Stsafe;
use stsafe_a100::session::{HostKeys, MaybeHost};
use stsafe_a100::sim::{Profile, VirtualBus, VirtualChip, VirtualDelay};
use stsafe_a100::types::{Curve, KeyMode, MAX_SEC1, PublicKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

const HOST: &str = "hub.example";

/// A key slot with the certificate for it, used in a host session if there is one.
struct ChipIdentity {
    chip: Mutex<Stsafe<VirtualBus, VirtualDelay, MaybeHost>>,
    slot: u8,
    is_p384: bool,
    certificates: Vec<Vec<u8>>,
}

impl Identity for ChipIdentity {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.certificates.get(index).map(Vec::as_slice)
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        let mut chip = self.chip.lock().map_err(|_| IdentityError::Signer)?;
        let signature = chip.sign(self.slot, digest).map_err(|_| IdentityError::Signer)?;
        let bytes = signature.to_bytes().try_into().map_err(|_| IdentityError::Signer)?;
        Ok(Signature::from_bytes(bytes))
    }

    fn is_p384(&self) -> bool {
        self.is_p384
    }

    fn sign_p384(&self, digest: &[u8; 48]) -> Result<[u8; 96], IdentityError> {
        let mut chip = self.chip.lock().map_err(|_| IdentityError::Signer)?;
        let signature = chip.sign(self.slot, digest).map_err(|_| IdentityError::Signer)?;
        signature.to_bytes().try_into().map_err(|_| IdentityError::Signer)
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The public key as certificates hold it.
fn spki(key: &PublicKey) -> SubjectPublicKeyInfo {
    let der = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
            parameters: Some((&ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7")).into()),
        },
        subject_public_key: BitString::from_bytes(key.to_sec1(&mut [0; MAX_SEC1])).unwrap(),
    }
    .to_der()
    .unwrap();
    SubjectPublicKeyInfo::from_der(&der).unwrap()
}

/// A server that wants a client certificate below `clients`; it answers a byte with the subject's key.
async fn serve(acceptor: TlsAcceptor, pipe: DuplexStream) -> std::io::Result<usize> {
    let mut stream = acceptor.accept(pipe).await?;
    let chain = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
    let byte = stream.read_u8().await?;
    stream.write_all(&[byte ^ 0xFF]).await?;
    stream.shutdown().await?;
    Ok(chain)
}

async fn exchange(
    identity: Arc<ChipIdentity>,
    clients: &CertifiedIssuer<'static, KeyPair>,
    versions: Versions,
) -> (Result<u8, Error>, std::io::Result<usize>) {
    let servers = authority("servers");
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([HOST.to_owned()]).unwrap().signed_by(&key, &servers).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(clients.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from(leaf)],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let (near, far) = tokio::io::duplex(1 << 14);
    let server = tokio::spawn(serve(TlsAcceptor::from(Arc::new(config)), far));
    let client = async {
        let roots: [&[u8]; 1] = [servers.der()];
        let trust = Trust::new(HOST, &roots)?.versions(versions);
        let identity: Arc<dyn Identity + Send + Sync> = identity;
        let mut stream = connect(FromTokio::new(near), &trust, Some(identity)).await?;
        stream.write_all(&[0x5A]).await?;
        stream.flush().await?;
        let mut answer = [0];
        stream.read(&mut answer).await?;
        Ok(answer[0])
    };
    (client.await, server.await.unwrap())
}

#[tokio::test]
async fn the_chip_proves_the_device_and_no_other_key_does() {
    each_family_proves_the_device(Profile::az3166(), None).await;
    // The A110's table wants signatures in a host session.
    let keys = HostKeys::new([0x11; 16], [0x22; 16]);
    each_family_proves_the_device(Profile::a110(), Some(keys)).await;
}

async fn each_family_proves_the_device(profile: Profile, keys: Option<HostKeys>) {
    let clients = authority("devices");
    let chip = VirtualChip::new(profile, [9; 32]);
    let mut driver = Stsafe::new(chip.bus(), chip.delay());
    let mut make = |slot| {
        let token = Irreversible::i_know_this_cannot_be_undone();
        driver.generate_key_pair(slot, Curve::NistP256, KeyMode::SIGN_DIGEST, 0xFFFF, token).unwrap()
    };
    let key = make(0);
    make(1);
    if let Some(keys) = &keys {
        driver.put_host_keys(keys, Irreversible::i_know_this_cannot_be_undone()).unwrap();
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "device-1");
    let certificate = params.signed_by(&spki(&key), &clients).unwrap().der().to_vec();
    let identity = |slot| {
        let mut driver = Stsafe::new(chip.bus(), chip.delay());
        driver.detect().unwrap();
        let chip = Mutex::new(driver.host_session_if(keys.clone(), None));
        Arc::new(ChipIdentity { chip, slot, is_p384: false, certificates: vec![certificate.clone()] })
    };

    for versions in [Versions::Tls12, Versions::Tls13] {
        let (answer, chain) = exchange(identity(0), &clients, versions).await;
        assert_eq!((answer, chain.unwrap()), (Ok(0xA5), 1), "{versions:?}");

        // The same certificate, the key of the other slot.
        let (answer, server) = exchange(identity(1), &clients, versions).await;
        assert!(answer.is_err() && server.is_err(), "{versions:?}: {answer:?}");
    }

    // A chip that is gone is told from a server that refuses.
    let identity = identity(0);
    chip.power_off();
    let (answer, server) = exchange(identity, &clients, Versions::Both).await;
    assert_eq!(answer, Err(Error::Identity(IdentityError::Signer)));
    assert!(server.is_err());
}

/// A key that the chip has made, as certificates are asked for with it: the signature is awaited over the bus.
struct SlotSigner<'c> {
    public: key::PublicKey,
    key: asynch::SlotKey<'c, VirtualBus, VirtualDelay>,
}

impl key::AsyncRequestSigner for SlotSigner<'_> {
    fn public_key(&self) -> Result<key::PublicKey, azure_iot_credentials::Error> {
        Ok(self.public)
    }

    async fn sign(&self, digest: &[u8]) -> Result<key::Signature, azure_iot_credentials::Error> {
        let signed = self.key.sign_digest(digest).await;
        let signature = signed.map_err(|_| azure_iot_credentials::Error::Signer)?;
        key::Signature::from_bytes(self.public.curve(), signature.to_bytes())
    }
}

/// Registers with the identity that the device has for that, and waits at the hub with the certificate issued then.
struct Device {
    cloud: Arc<Handle>,
    bootstrap: Arc<dyn Identity + Send + Sync>,
    chip: VirtualChip,
    is_p384: bool,
    issued: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Connector for Device {
    type Stream<'s> = azure_iot_tls::rustls::Stream<FromTokio<TcpStream>>;
    type Error = Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<Self::Stream<'_>, Error> {
        let (address, identity) = match target.service {
            Service::Provisioning { .. } => (self.cloud.dps_address(), self.bootstrap.clone()),
            Service::Hub(_) => {
                let driver = Stsafe::new(self.chip.bus(), self.chip.delay());
                let identity: Arc<dyn Identity + Send + Sync> = Arc::new(ChipIdentity {
                    chip: Mutex::new(driver.host_session_if(None, None)),
                    slot: 0,
                    is_p384: self.is_p384,
                    certificates: self.issued.lock().unwrap().clone(),
                });
                (self.cloud.hub_address(), identity)
            }
        };
        let tcp = TcpStream::connect(address).await.unwrap();
        let roots = [self.cloud.root_der()];
        connect(FromTokio::new(tcp), &Trust::new(target.host, &roots)?, Some(identity)).await
    }

    fn is_retriable(_: &Error) -> bool {
        false
    }
}

/// Keeps what is issued, and stops when it is connected with that.
struct Connects(Arc<Mutex<Vec<Vec<u8>>>>);

impl Application<Error> for Connects {
    fn assigned(&mut self, state: &RegistrationState<'_>) {
        let issued = state.issued_certificate_chain().unwrap().expect("a certificate");
        let mut chain = [0; 4096];
        let chain = Chain::new(issued).decode(&mut chain).unwrap();
        let certificates = azure_iot_credentials::certificate::split(chain).unwrap();
        *self.0.lock().unwrap() = certificates.iter().map(|certificate| certificate.to_vec()).collect();
    }

    async fn event(&mut self, event: DeviceEvent<'_, Error>) {
        if let DeviceEvent::Retrying { cause, .. } = event {
            panic!("{cause}");
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        DeviceCommand::Stop
    }
}

/// The provisioning service issues a certificate for a key in a slot, and the hub takes the device with it: over both
/// TLS versions, with keys of both curves.
#[tokio::test]
async fn a_certificate_that_is_issued_for_the_chips_key() {
    let keys = [(Curve::NistP256, IssueKeys::Any), (Curve::NistP384, IssueKeys::P384)];
    for (tls, version) in [(TlsVersions::Tls12, TlsVersion::Tls12), (TlsVersions::Tls13, TlsVersion::Tls13)] {
        for (curve, issue_keys) in keys {
            let config = Config { tls, issue_keys, assigning_polls: 0, ..Config::default() };
            Box::pin(registers_and_connects(config, version, curve)).await;
        }
    }
}

async fn registers_and_connects(config: Config, version: TlsVersion, curve: Curve) {
    let cloud = Arc::new(LocalCloud::start(config).await.unwrap());
    let mut events = cloud.events();
    let own = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "device-1");
    let bootstrap = params.self_signed(&own).unwrap().der().to_vec();
    cloud
        .enrollments()
        .put_individual(Enrollment::new("device-1", Attestation::certificate(bootstrap.as_slice())));
    let secret = p256::SecretKey::from_pkcs8_der(&own.serialize_der()).unwrap();
    let scalar: [u8; 32] = secret.to_bytes().into();
    let bootstrap = ChainIdentity::<SecretKey>::new(&[&bootstrap], scalar).unwrap();

    let chip = VirtualChip::new(Profile::az3166(), [9; 32]);
    let mut driver = asynch::Stsafe::new(chip.bus(), chip.delay());
    let token = Irreversible::i_know_this_cannot_be_undone();
    let made = driver.generate_key_pair(0, curve, KeyMode::SIGN_DIGEST, 0xFFFF, token).await.unwrap();
    let is_p384 = curve == Curve::NistP384;
    let key_curve = if is_p384 { key::Curve::P384 } else { key::Curve::P256 };
    let public = key::PublicKey::from_point(key_curve, made.to_sec1(&mut [0; MAX_SEC1])).unwrap();
    let signer = SlotSigner { public, key: driver.slot_key(0) };
    let mut csr = [0; request::MAX_LEN];
    let csr = request::write_async("device-1", &signer, &mut csr).await.unwrap();

    let config = dps_client::Config::new("0ne00000000", "device-1").unwrap();
    let config = config
        .with_api_version(API_VERSION_CONNECTION_PROFILE)
        .and_then(|config| config.with_csr(csr))
        .unwrap();
    let issued: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let mut network = Device {
        cloud: cloud.clone(),
        bootstrap: Arc::new(bootstrap),
        chip,
        is_p384,
        issued: issued.clone(),
    };
    let mut application = Connects(issued.clone());
    let mut device: runner::Device<'_, _> = runner::Device::new(Settings::new(config), rand::random::<u32>);
    let mut memory: Box<Memory<4096, 2048, 12_288, 2048, 2048>> = Box::default();
    let mut buffers = memory.buffers();
    let running = device.run(&mut application, &mut network, &mut buffers, None);
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("in time").unwrap();

    let connected = events.find(|event| match event {
        Event::Connected { tls, .. } => Some(tls),
        _ => None,
    });
    assert_eq!(connected.await, Some(version), "{curve:?}");
    let issued = issued.lock().unwrap().concat();
    let leaf = Leaf::parse(&issued).unwrap();
    assert_eq!((leaf.common_name(), *leaf.public_key()), ("device-1", public));
}

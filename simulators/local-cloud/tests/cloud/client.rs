//! A small MQTT 3.1.1 client that can also misbehave, over rustls, and the certificates it shows.

use std::net::SocketAddr;
use std::sync::Arc;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData};
use mqtt_protocol_core::mqtt::packet::v3_1_1 as v3;
use mqtt_protocol_core::mqtt::packet::{Qos, SubEntry, SubOpts};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client certificate chain (leaf first) and the leaf's key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    pub(crate) fn self_signed(common_name: &str) -> Self {
        Self::from_params(&leaf_params(common_name))
    }

    pub(crate) fn from_params(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self::new(vec![cert.der().clone()], &key)
    }

    /// A leaf below an authority; the chain is only the leaf.
    pub(crate) fn issued(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, issuer).unwrap();
        Self::new(vec![cert.der().clone()], &key)
    }

    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        Self { chain, key: Arc::new(PrivateKeyDer::Pkcs8(key.serialize_der().into())) }
    }

    /// A self-made certificate and its key in PEM.
    pub(crate) fn from_pem_key(leaf: Vec<u8>, key: &str) -> Self {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Self { chain: vec![leaf.into()], key: Arc::new(key) }
    }

    /// Also sends this authority's certificate.
    pub(crate) fn with_issuer(mut self, issuer: &CertifiedIssuer<'_, KeyPair>) -> Self {
        self.chain.push(issuer.der().clone());
        self
    }

    /// Shows another's certificate, with its own key.
    pub(crate) fn with_leaf(mut self, other: &Self) -> Self {
        self.chain.clone_from(&other.chain);
        self
    }

    pub(crate) fn leaf(&self) -> Vec<u8> {
        self.chain.first().unwrap().to_vec()
    }

    pub(crate) fn leaf_pem(&self) -> String {
        pem(&self.leaf())
    }
}

pub(crate) fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

pub(crate) fn leaf_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

pub(crate) fn authority_params(common_name: &str, path_length: u8) -> CertificateParams {
    let mut params = leaf_params(common_name);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(path_length));
    params
}

pub(crate) type Tls = TlsStream<TcpStream>;

/// A TLS connection, or why there is none.
pub(crate) async fn connect_tls(
    address: SocketAddr,
    host: &str,
    root: &[u8],
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<Tls> {
    connect_as(Arc::new(tls_config(root, identity, versions)), address, host).await
}

/// A TLS client.
pub(crate) fn tls_config(
    root: &[u8],
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.to_vec().into()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        Some(identity) => {
            // Without rustls' check that key and certificate belong together.
            let key = rustls::crypto::ring::sign::any_supported_type(&identity.key).unwrap();
            let certified = CertifiedKey::new(identity.chain.clone(), key);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
        None => builder.with_no_client_auth(),
    }
}

/// A TLS connection of this client, or why there is none.
pub(crate) async fn connect_as(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    host: &str,
) -> std::io::Result<Tls> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// What a server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    Connack { session_present: bool, code: u8 },
    Publish { topic: String, payload: Vec<u8>, id: Option<u16>, dup: bool },
    Puback(u16),
    Suback(Vec<u8>),
    Unsuback(u16),
    Pingresp,
    Closed,
}

pub(crate) struct Client {
    stream: Tls,
    builder: PacketBuilder,
    unread: Vec<u8>,
    next_id: u16,
}

/// What a CONNECT says; change what a test needs.
#[derive(Clone)]
pub(crate) struct Connect {
    pub(crate) client_id: String,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) clean_session: bool,
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<(String, Vec<u8>)>,
}

impl Connect {
    pub(crate) fn dps(id_scope: &str, registration_id: &str) -> Self {
        Self {
            client_id: registration_id.to_owned(),
            user_name: Some(format!("{id_scope}/registrations/{registration_id}/api-version=2019-03-31")),
            password: None,
            clean_session: true,
            keep_alive: 60,
            will: None,
        }
    }

    pub(crate) fn hub(hub_name: &str, client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            user_name: Some(format!("{hub_name}/{client_id}/?api-version=2021-04-12")),
            password: None,
            clean_session: false,
            keep_alive: 240,
            will: None,
        }
    }

    fn packet(&self) -> Vec<u8> {
        let mut builder = v3::Connect::builder()
            .client_id(&self.client_id)
            .unwrap()
            .clean_session(self.clean_session)
            .keep_alive(self.keep_alive);
        if let Some(user_name) = &self.user_name {
            builder = builder.user_name(user_name).unwrap();
        }
        if let Some(password) = &self.password {
            builder = builder.password(password.as_str()).unwrap();
        }
        if let Some((topic, payload)) = &self.will {
            builder = builder.will_message(topic, payload, Qos::AtLeastOnce, false).unwrap();
        }
        builder.build().unwrap().to_continuous_buffer()
    }
}

impl Client {
    pub(crate) fn new(stream: Tls) -> Self {
        Self { stream, builder: PacketBuilder::new(), unread: Vec::new(), next_id: 0 }
    }

    /// Sends CONNECT and gives CONNACK's return code, or `None` if the server just closes.
    pub(crate) async fn connect(&mut self, connect: &Connect) -> Option<u8> {
        self.send_connect(connect).await;
        match self.recv().await {
            Received::Connack { code, .. } => Some(code),
            Received::Closed => None,
            other => panic!("{other:?} instead of CONNACK"),
        }
    }

    pub(crate) async fn send_connect(&mut self, connect: &Connect) {
        self.send_raw(&connect.packet()).await;
    }

    /// Ignores errors: a server that has closed is seen by the next `recv`.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    pub(crate) async fn recv(&mut self) -> Received {
        loop {
            if !self.unread.is_empty() {
                let mut cursor = Cursor::new(self.unread.as_slice());
                let result = self.builder.feed(&mut cursor);
                let used = usize::try_from(cursor.position()).unwrap();
                self.unread.drain(..used);
                match result {
                    PacketBuildResult::Complete(raw) => {
                        let data = raw.data_as_slice();
                        return match raw.packet_type() {
                            2 => Received::Connack { session_present: data[0] == 1, code: data[1] },
                            3 => {
                                let PacketData::Publish(arc) = &raw.data else { unreachable!() };
                                let (publish, _) = v3::Publish::parse(raw.flags(), arc.clone()).unwrap();
                                Received::Publish {
                                    topic: publish.topic_name().to_owned(),
                                    payload: publish.payload().as_slice().to_vec(),
                                    id: publish.packet_id(),
                                    dup: publish.dup(),
                                }
                            }
                            4 => Received::Puback(u16::from_be_bytes([data[0], data[1]])),
                            9 => Received::Suback(data[2..].to_vec()),
                            11 => Received::Unsuback(u16::from_be_bytes([data[0], data[1]])),
                            13 => Received::Pingresp,
                            other => panic!("packet type {other} from the server"),
                        };
                    }
                    PacketBuildResult::Incomplete => {}
                    PacketBuildResult::Error(e) => panic!("malformed packet from the server: {e:?}"),
                }
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return Received::Closed,
                Ok(n) => self.unread.extend_from_slice(&chunk[..n]),
            }
        }
    }

    fn id(&mut self) -> u16 {
        self.next_id += 1;
        self.next_id
    }

    /// Subscribes and waits for SUBACK; `None` if the server closes instead.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: Qos) -> Option<Vec<u8>> {
        let entry = SubEntry::new(filter, SubOpts::new().set_qos(qos)).unwrap();
        let packet = v3::Subscribe::builder().packet_id(self.id()).entries(vec![entry]).build().unwrap();
        self.send_raw(&packet.to_continuous_buffer()).await;
        match self.recv().await {
            Received::Suback(codes) => Some(codes),
            Received::Closed => None,
            other => panic!("{other:?} instead of SUBACK"),
        }
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) {
        let id = self.id();
        let packet = v3::Unsubscribe::builder().packet_id(id).entries(vec![filter]).unwrap().build().unwrap();
        self.send_raw(&packet.to_continuous_buffer()).await;
        assert_eq!(self.recv().await, Received::Unsuback(id));
    }

    /// Sends a PUBLISH without waiting; gives its packet id.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], qos: Qos) -> Option<u16> {
        let id = (qos != Qos::AtMostOnce).then(|| self.id());
        let mut builder = v3::Publish::builder().topic_name(topic).unwrap().qos(qos).payload(payload);
        if let Some(id) = id {
            builder = builder.packet_id(id);
        }
        self.send_raw(&builder.build().unwrap().to_continuous_buffer()).await;
        id
    }

    /// Sends with QoS 1 and waits for PUBACK; `false` if the server closes instead.
    pub(crate) async fn publish_acked(&mut self, topic: &str, payload: &[u8]) -> bool {
        let id = self.publish(topic, payload, Qos::AtLeastOnce).await.unwrap();
        match self.recv().await {
            Received::Puback(acked) => {
                assert_eq!(acked, id);
                true
            }
            Received::Closed => false,
            other => panic!("{other:?} instead of PUBACK"),
        }
    }

    /// Waits for a PUBLISH.
    pub(crate) async fn message(&mut self) -> (String, Vec<u8>, Option<u16>) {
        match self.recv().await {
            Received::Publish { topic, payload, id, .. } => (topic, payload, id),
            other => panic!("{other:?} instead of PUBLISH"),
        }
    }

    pub(crate) async fn puback(&mut self, id: u16) {
        let packet = v3::Puback::builder().packet_id(id).build().unwrap();
        self.send_raw(&packet.to_continuous_buffer()).await;
    }

    pub(crate) async fn ping(&mut self) {
        self.send_raw(&[0xc0, 0]).await;
        assert_eq!(self.recv().await, Received::Pingresp);
    }

    pub(crate) async fn disconnect(mut self) {
        self.send_raw(&[0xe0, 0]).await;
        let _ = self.stream.shutdown().await;
    }
}

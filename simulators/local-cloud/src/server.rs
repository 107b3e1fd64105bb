//! Listening sockets, TLS handshakes and what both services do alike with a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::v3_1_1::Connect;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::cert::ClientCertificate;
use super::fault::Endpoint;
use super::mqtt::{Link, LinkError, Packet};
use super::shared::Shared;
use super::tls::TlsVersion;
use super::{dps, hub};

pub(super) type Stream = tokio_rustls::server::TlsStream<TcpStream>;

/// What is served behind a port.
#[derive(Debug, Clone, Copy)]
pub(super) enum Service {
    /// This one, by whatever name it is called.
    Only(Endpoint),
    /// DPS or the hub over MQTT, whichever the client names in its TLS handshake.
    Named,
}

impl Service {
    /// The endpoint for a client that asked for this name.
    fn endpoint(self, shared: &Shared, name: Option<&str>) -> Result<Endpoint, String> {
        match (self, name) {
            (Self::Only(endpoint), _) => Ok(endpoint),
            (Self::Named, Some(name)) if name.eq_ignore_ascii_case(&shared.config.dps_name) => {
                Ok(Endpoint::Dps)
            }
            (Self::Named, Some(name)) if name.eq_ignore_ascii_case(&shared.config.hub_name) => {
                Ok(Endpoint::Hub)
            }
            (Self::Named, Some(name)) => Err(format!("TLS: no service is called {name}")),
            (Self::Named, None) => {
                Err("TLS: the client does not say which service it wants (SNI)".to_owned())
            }
        }
    }

    /// The endpoint to name while it is not known.
    fn presumed(self) -> Endpoint {
        match self {
            Self::Only(endpoint) => endpoint,
            Self::Named => Endpoint::Dps,
        }
    }
}

/// How long a client may take for the TLS handshake, and then for its CONNECT.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest silence the service bears, whatever keep-alive a client asks for.
const MAX_SILENCE: Duration = Duration::from_secs(1767);

/// Accepts connections until dropped. A change of `drops` ends the connections that are open then.
pub(super) async fn accept(
    shared: Arc<Shared>,
    service: Service,
    listener: TcpListener,
    tls: TlsAcceptor,
    drops: watch::Receiver<u64>,
) {
    // Dropping the set with this future ends all connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let (shared, tls, mut drops) = (shared.clone(), tls.clone(), drops.clone());
                    drops.mark_unchanged();
                    let address = address.to_string();
                    connections.spawn(async move {
                        tokio::select! {
                            () = serve(&shared, service, stream, &address, tls) => {}
                            _ = drops.changed() => {}
                        }
                    });
                }
                // Out of file descriptors, or a connection that was gone before it was taken.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(shared: &Arc<Shared>, service: Service, stream: TcpStream, address: &str, tls: TlsAcceptor) {
    if let Some(delay) = shared.faults.connect_delay() {
        tokio::time::sleep(delay).await;
    }
    // Small packets must not wait for each other; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let refused = |reason| shared.refused(service.presumed(), address, reason);
    let stream = match timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return refused(format!("TLS: {e}")),
        Err(_) => return refused("TLS: handshake took too long".to_owned()),
    };
    let endpoint = match service.endpoint(shared, stream.get_ref().1.server_name()) {
        Ok(endpoint) => endpoint,
        Err(reason) => return refused(reason),
    };
    let caller = match Caller::of(&stream, address) {
        Ok(caller) => caller,
        Err(e) => return refused(format!("TLS: {e}")),
    };
    let link = |stream| Link::new(stream, endpoint, shared.faults.clone());
    match endpoint {
        Endpoint::Dps => dps::mqtt::serve(shared, link(stream), caller).await,
        Endpoint::DpsHttps => dps::https::serve(shared, stream, caller).await,
        Endpoint::Hub => hub::session::serve(shared, link(stream), &caller).await,
    }
}

/// Who is at the other end of a connection, as far as TLS tells.
pub(super) struct Caller {
    pub(super) address: String,
    /// Its certificates, leaf first; empty if it sent none.
    pub(super) chain: Vec<ClientCertificate>,
    pub(super) tls: TlsVersion,
}

impl Caller {
    fn of(stream: &Stream, address: &str) -> io::Result<Self> {
        let connection = stream.get_ref().1;
        let certificates = connection.peer_certificates().unwrap_or_default();
        let chain = certificates.iter().map(|der| ClientCertificate::from_der(der).map_err(io::Error::other));
        Ok(Self {
            address: address.to_owned(),
            chain: chain.collect::<io::Result<_>>()?,
            tls: TlsVersion::of(connection).ok_or_else(|| io::Error::other("no version agreed on"))?,
        })
    }
}

/// Waits for CONNECT. A wrong protocol level is answered as the standard wants.
pub(super) async fn first_packet(link: &mut Link<Stream>) -> Result<Connect, LinkError> {
    match timeout(PATIENCE, link.recv()).await {
        Ok(Ok(Packet::Connect(connect))) => Ok(connect),
        Ok(Ok(_)) => Err(LinkError::Malformed("the first packet is not CONNECT".to_owned())),
        Ok(Err(LinkError::ProtocolLevel)) => {
            link.connack(false, 1).await?;
            Err(LinkError::ProtocolLevel)
        }
        Ok(Err(e)) => Err(e),
        Err(_) => Err(LinkError::Malformed("no CONNECT".to_owned())),
    }
}

/// The silence after which a connection with this keep-alive (seconds) is closed.
pub(super) fn patience(keep_alive: u16) -> Duration {
    if keep_alive == 0 {
        MAX_SILENCE
    } else {
        (Duration::from_secs(keep_alive.into()) * 3 / 2).min(MAX_SILENCE)
    }
}

/// The next packet, or an error when the client was silent for longer than its keep-alive allows.
pub(super) async fn next_packet(link: &mut Link<Stream>, keep_alive: u16) -> Result<Packet, LinkError> {
    match timeout(patience(keep_alive), link.recv()).await {
        Ok(result) => result,
        Err(_) => Err(LinkError::Malformed("nothing within 1.5 times the keep-alive".to_owned())),
    }
}

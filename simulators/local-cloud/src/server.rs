//! Listening sockets, TLS handshakes and what both services do alike with a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::v3_1_1::Connect;
use mqtt_protocol_core::mqtt::packet::v5_0;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cert::ClientCertificate;
use super::fault::Endpoint;
use super::mqtt::{Link, LinkError, Packet};
use super::shared::Shared;
use super::tls::TlsVersion;
use super::{dps, http, hub};

/// What MQTT runs over: TLS, or a WebSocket in it.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) type Stream = Box<dyn Io>;

/// What is served behind a port.
#[derive(Debug, Clone, Copy)]
pub(super) enum Service {
    /// This one over MQTT, by whatever name it is called.
    Mqtt(Endpoint),
    /// DPS or the hub over MQTT, whichever the client names in its TLS handshake or, if it calls this machine by
    /// another name of the certificate, in its CONNECT.
    NamedMqtt,
    /// Everything that is HTTPS, and WebSockets.
    Https,
}

impl Service {
    /// The endpoint to name while it is not known.
    fn presumed(self) -> Endpoint {
        match self {
            Self::Mqtt(endpoint) => endpoint,
            Self::NamedMqtt => Endpoint::Dps,
            Self::Https => Endpoint::DpsHttps,
        }
    }
}

/// The longest silence the service bears, whatever keep-alive a client asks for.
const MAX_SILENCE: Duration = Duration::from_secs(1767);

/// Connections that wait to be accepted; the system has a limit of its own.
const LONGEST_QUEUE: u32 = 65_535;

/// Accepts connections until dropped. A change of `drops` ends the connections that are open then.
pub(super) async fn accept(
    shared: Arc<Shared>,
    service: Service,
    listener: TcpListener,
    drops: watch::Receiver<u64>,
) {
    // Dropping the set with this future ends all connections.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, address)) = accepted else {
            // Out of file descriptors after all, or a connection that was gone before it was taken.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Whoever comes when the machine has no more connections to give waits: one here, the others in the listener's
        // queue.
        let permit = loop {
            tokio::select! {
                permit = shared.connections.clone().acquire_owned() => break permit.ok(),
                Some(_) = connections.join_next() => {}
            }
        };
        let (shared, mut drops) = (shared.clone(), drops.clone());
        drops.mark_unchanged();
        let address = address.to_string();
        connections.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = serve(&shared, service, stream, &address) => {}
                _ = drops.changed() => {}
            }
        });
    }
}

/// A listener whose queue is as long as the system allows: a whole fleet may come in one moment.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Elsewhere this would let another program take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LONGEST_QUEUE)
}

async fn serve(shared: &Arc<Shared>, service: Service, stream: TcpStream, address: &str) {
    if let Some(delay) = shared.faults.connect_delay() {
        tokio::time::sleep(delay).await;
    }
    // Over HTTPS it is decided for each request, so that the service side can take the fault back.
    if shared.faults.is_silent() && !matches!(service, Service::Https) {
        // The connection stays open, and nothing ever comes.
        return std::future::pending().await;
    }
    // Small packets must not wait for each other; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let refused = |reason| shared.refused(service.presumed(), address, reason);
    let stream = match timeout(shared.config.patience, shared.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return refused(format!("TLS: {e}")),
        Err(_) => return refused("TLS: handshake took too long".to_owned()),
    };
    let caller = match Caller::of(&stream, address) {
        Ok(caller) => caller,
        Err(e) => return refused(format!("TLS: {e}")),
    };
    let endpoint = match service {
        Service::Mqtt(endpoint) => Some(endpoint),
        Service::Https => return http::serve(shared, stream, caller).await,
        Service::NamedMqtt => match by_name(shared, &caller) {
            Ok(endpoint) => endpoint,
            Err(reason) => return refused(reason),
        },
    };
    serve_mqtt(shared, Box::new(stream), endpoint, caller).await;
}

/// Which service a client calls by the name in its TLS handshake; `None`: by a name of this machine, which both have.
///
/// # Errors
/// It calls none, or none of these.
pub(super) fn by_name(shared: &Shared, caller: &Caller) -> Result<Option<Endpoint>, String> {
    let Some(name) = caller.name.as_deref() else {
        return Err("TLS: the client does not say which service it wants (SNI)".to_owned());
    };
    let is_dps = name.eq_ignore_ascii_case(&shared.config.dps_name);
    match (is_dps, shared.hub_index(name)) {
        (true, Some(_)) => Ok(None),
        (true, None) => Ok(Some(Endpoint::Dps)),
        (false, Some(_)) => Ok(Some(Endpoint::Hub)),
        (false, None) if shared.config.is_own_name(name) => Ok(None),
        (false, None) => Err(format!("TLS: no service is called {name}")),
    }
}

/// One MQTT connection, over whatever it comes.
pub(super) async fn serve_mqtt(
    shared: &Arc<Shared>,
    stream: Stream,
    endpoint: Option<Endpoint>,
    mut caller: Caller,
) {
    let presumed = endpoint.unwrap_or(Endpoint::Dps);
    let mut link = Link::new(stream, presumed, shared.faults.clone());
    let connect = match first_packet(&mut link, shared.config.patience).await {
        Ok(First::Classic(connect)) => connect,
        Ok(First::Mqtt5(connect)) => {
            return match check_mqtt5(shared, endpoint, &caller) {
                Ok(()) => {
                    caller.by_own_name = endpoint.is_none();
                    link.set_endpoint(Endpoint::Hub);
                    hub::mqtt5::serve(shared, link, &caller, &connect).await;
                }
                Err(reason) => {
                    shared.refused(presumed, &caller.address, reason);
                    // In the words of the version that is spoken here.
                    let _ = link.connack(false, 1).await;
                    link.close().await;
                }
            };
        }
        Err(e) => {
            shared.refused(presumed, &caller.address, e.to_string());
            return link.close().await;
        }
    };
    let endpoint = endpoint.unwrap_or_else(|| {
        // Here the machine's own name stands for both services.
        caller.by_own_name = true;
        let user_name = connect.user_name().unwrap_or_default();
        if user_name.split('/').nth(1) == Some("registrations") { Endpoint::Dps } else { Endpoint::Hub }
    });
    link.set_endpoint(endpoint);
    match endpoint {
        Endpoint::Hub => hub::session::serve(shared, link, &caller, &connect).await,
        _ => dps::mqtt::serve(shared, link, caller, &connect).await,
    }
}

/// Who is at the other end of a connection, as far as TLS tells.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) address: String,
    /// Its certificates, leaf first; empty if it sent none.
    pub(super) chain: Vec<ClientCertificate>,
    pub(super) tls: TlsVersion,
    /// What it calls this machine (SNI).
    pub(super) name: Option<String>,
    /// That is neither the name of DPS nor that of a hub, and stands for both.
    pub(super) by_own_name: bool,
}

impl Caller {
    fn of(stream: &tokio_rustls::server::TlsStream<TcpStream>, address: &str) -> io::Result<Self> {
        let connection = stream.get_ref().1;
        let certificates = connection.peer_certificates().unwrap_or_default();
        let chain = certificates.iter().map(|der| ClientCertificate::from_der(der).map_err(io::Error::other));
        Ok(Self {
            address: address.to_owned(),
            chain: chain.collect::<io::Result<_>>()?,
            tls: TlsVersion::of(connection).ok_or_else(|| io::Error::other("no version agreed on"))?,
            name: connection.server_name().map(str::to_owned),
            by_own_name: false,
        })
    }

    /// The host name by which this client is to call a hub: this machine's, if it knows the hub by that.
    pub(super) fn hub_name<'a>(&'a self, hub: &'a str) -> &'a str {
        match &self.name {
            Some(name) if self.by_own_name => name,
            _ => hub,
        }
    }

    /// Whether `host` is what this client may call the hub of index 0, or any.
    pub(super) fn may_call_hub(&self, host: &str) -> bool {
        self.by_own_name && self.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(host))
    }
}

/// CONNECT in either version.
enum First {
    Classic(Connect),
    Mqtt5(Box<v5_0::Connect>),
}

/// Whether the service that the client has called speaks MQTT 5; if not, why.
fn check_mqtt5(shared: &Shared, endpoint: Option<Endpoint>, caller: &Caller) -> Result<(), String> {
    let named = caller.name.as_deref().and_then(|name| shared.hub_index(name));
    match (endpoint, named) {
        (Some(Endpoint::Hub) | None, Some(hub)) if !shared.config.is_mqtt5_hub(hub) => {
            Err("a classic hub speaks MQTT 3.1.1 only".to_owned())
        }
        (Some(Endpoint::Hub) | None, _) if !shared.config.mqtt5_hubs.is_empty() => Ok(()),
        (Some(Endpoint::Hub) | None, _) => Err("there is no hub that speaks MQTT 5".to_owned()),
        _ => Err("the provisioning service speaks MQTT 3.1.1 only".to_owned()),
    }
}

/// Waits for CONNECT. A wrong protocol level is answered as the standard wants.
async fn first_packet(link: &mut Link<Stream>, patience: Duration) -> Result<First, LinkError> {
    match timeout(patience, link.recv()).await {
        Ok(Ok(Packet::Connect(connect))) => Ok(First::Classic(connect)),
        Ok(Ok(Packet::Connect5(connect))) => Ok(First::Mqtt5(connect)),
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

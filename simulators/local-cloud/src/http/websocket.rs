//! MQTT over WebSockets (RFC 6455, subprotocol `mqtt`) at `/$iothub/websocket`, for both services.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use hyper::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::{Call, Reply, empty, reply, set};
use crate::fault::Endpoint;
use crate::server::{by_name, serve_mqtt};
use crate::shared::Shared;

/// What lies between the frames and the MQTT session.
const PIPE: usize = 64 * 1024;
/// The largest frame and message: more than an MQTT packet.
const MAX_MESSAGE: usize = 1 << 20;

/// What runs on a connection after it was turned into a WebSocket.
pub(super) type Session = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Answers the opening handshake; gives what serves MQTT from then on.
pub(super) fn upgrade(shared: &Arc<Shared>, mut call: Call) -> (Reply, Option<Session>) {
    let refuse = |status, what: &str| {
        shared.refused(Endpoint::HubHttps, &call.caller.address, format!("WebSocket: {what}"));
        (reply(shared, status, &json!({ "Message": what })), None)
    };
    let asks = call.header(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let Some(key) = call.header(SEC_WEBSOCKET_KEY).filter(|_| asks).map(str::to_owned) else {
        return refuse(StatusCode::UPGRADE_REQUIRED, "this path is for WebSockets");
    };
    if call.header(SEC_WEBSOCKET_VERSION) != Some("13") {
        return refuse(StatusCode::UPGRADE_REQUIRED, "the version is not 13");
    }
    let mqtt = |protocols: &str| protocols.split(',').any(|p| p.trim().eq_ignore_ascii_case("mqtt"));
    if !call.header(SEC_WEBSOCKET_PROTOCOL).is_some_and(mqtt) {
        return refuse(StatusCode::BAD_REQUEST, "the subprotocol is not mqtt");
    }
    // By its name, or by what its CONNECT says: a service of its own port has no name to go by.
    let endpoint = by_name(shared, &call.caller).unwrap_or_default();
    let upgrade = hyper::upgrade::on(&mut call.request);
    let (shared, caller) = (shared.clone(), call.caller);
    let session = async move {
        let (pipe, stream) = duplex(PIPE);
        // Whichever ends first ends the other by closing the pipe.
        tokio::join!(carry(upgrade, pipe), serve_mqtt(&shared, Box::new(stream), endpoint, caller));
    };
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    set(&mut response, UPGRADE, "websocket");
    set(&mut response, CONNECTION, "Upgrade");
    set(&mut response, SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes()));
    set(&mut response, SEC_WEBSOCKET_PROTOCOL, "mqtt");
    (response, Some(Box::pin(session)))
}

/// Carries bytes between WebSocket frames and the MQTT session until one of them ends.
async fn carry(upgrade: OnUpgrade, mut pipe: DuplexStream) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let limits =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
    let (mut out, mut frames) = socket.split();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(Ok(Message::Binary(bytes))) => {
                    if pipe.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                // MQTT 3.1.1, 6: another kind of frame closes the connection.
                _ => break,
            },
            read = pipe.read(&mut chunk) => match read {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    let bytes = chunk.get(..n).unwrap_or_default().to_vec();
                    if out.send(Message::binary(bytes)).await.is_err() {
                        break;
                    }
                }
            },
        }
    }
    // The other side may have gone already, or listen no more.
    let _ = timeout(Duration::from_secs(1), out.close()).await;
}

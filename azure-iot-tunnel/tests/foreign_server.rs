//! Against a server that others wrote (tungstenite): it judges our frames, and fragments, pings and closes itself.

use std::time::Duration;

use azure_iot_tunnel::Error;
use azure_iot_tunnel::websocket::{Upgrade, WebSocket};
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read as _, Write as _};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{DuplexStream, duplex};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

type Client = WebSocket<FromTokio<DuplexStream>, fn() -> u32>;

#[allow(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the signature of the library")]
fn choose_mqtt(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.uri().path(), "/$iothub/websocket");
    let protocol = request.headers()["Sec-WebSocket-Protocol"].clone();
    response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    Ok(response)
}

async fn pair() -> (Client, WebSocketStream<DuplexStream>) {
    let (here, there) = duplex(1000);
    let upgrade = Upgrade::new("hub.example").unwrap();
    let client = WebSocket::open(FromTokio::new(here), &upgrade, rand::random as fn() -> u32);
    let (client, server) = tokio::join!(client, accept_hdr_async(there, choose_mqtt));
    (client.unwrap(), server.unwrap())
}

/// Sends back what comes: each message as it is, in fragments of 100 bytes with a ping in between, and after a ping.
async fn echo(mut server: WebSocketStream<DuplexStream>) -> Option<CloseFrame> {
    let mut pongs = 0;
    while let Some(message) = server.next().await {
        match message.expect("a frame that is allowed") {
            Message::Binary(data) => {
                server.send(Message::Ping(Bytes::from(vec![pongs; 125]))).await.unwrap();
                let count = data.chunks(100).count();
                for (index, chunk) in data.chunks(100).enumerate() {
                    let kind = if index == 0 { Data::Binary } else { Data::Continue };
                    let frame = Frame::message(chunk.to_vec(), OpCode::Data(kind), index + 1 == count);
                    server.send(Message::Frame(frame)).await.unwrap();
                    if index == 0 {
                        server.send(Message::Ping(Bytes::from_static(b"between"))).await.unwrap();
                    }
                }
            }
            Message::Pong(payload) => pongs += u8::from(payload.len() == 125),
            Message::Close(frame) => {
                assert!(pongs > 0);
                return frame;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("no Close frame")
}

#[tokio::test]
async fn data_there_and_back() {
    let (mut client, server) = pair().await;
    let server = tokio::spawn(echo(server));
    for length in [1, 2, 125, 126, 127, 500, 1016, 1017, 2033, 20_000] {
        let data: Vec<u8> = (0..length).map(|_| rand::random()).collect();
        let (mut back, mut room) = (Vec::new(), [0; 333]);
        for part in data.chunks(700) {
            client.write_all(part).await.unwrap();
            client.flush().await.unwrap();
            let until = back.len() + part.len();
            while back.len() < until {
                let count = client.read(&mut room).await.unwrap();
                back.extend_from_slice(&room[..count]);
            }
        }
        assert!(back == data, "{length}");
    }
    client.close().await.unwrap();
    assert_eq!(server.await.unwrap().unwrap().code, CloseCode::Normal);
}

#[tokio::test]
async fn closed_by_the_server() {
    for (code, expected) in
        [(CloseCode::Normal, Ok(0)), (CloseCode::Policy, Err(Error::Closed { code: 1008 }))]
    {
        let (mut client, mut server) = pair().await;
        server.close(Some(CloseFrame { code, reason: "enough".into() })).await.unwrap();
        let read = client.read(&mut [0; 10]).await;
        assert_eq!(read.map_err(|error| error.map_io(|_| ())), expected);
        // The answer has come, and is accepted.
        let answer = tokio::time::timeout(Duration::from_secs(5), server.next()).await.unwrap();
        assert!(matches!(answer, Some(Ok(Message::Close(Some(frame)))) if frame.code == code));
        assert!(server.next().await.is_none());
    }
}

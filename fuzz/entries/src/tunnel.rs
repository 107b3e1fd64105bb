//! What a proxy answers, how a server opens a WebSocket, and its frames: in pieces of any size the same comes of
//! them, and what is taken of frames is what tungstenite takes.

use std::convert::Infallible;
use std::io::{Cursor, Read as _, Write as StdWrite};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use azure_iot_tunnel::Error;
use azure_iot_tunnel::proxy::{self, Connect, Credentials};
use azure_iot_tunnel::websocket::{Key, Upgrade, WebSocket};
use embedded_io_async::{ErrorType, Read, Write};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message};

/// Gives bytes in pieces; takes everything.
struct Script<'a> {
    input: &'a [u8],
    piece: usize,
    output: Vec<u8>,
}

impl<'a> Script<'a> {
    fn new(input: &'a [u8], piece: usize) -> Self {
        Self { input, piece, output: Vec::new() }
    }
}

impl ErrorType for Script<'_> {
    type Error = Infallible;
}

impl Read for Script<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let room = buf.len().min(self.piece);
        Ok((&mut self.input).take(room as u64).read(buf).expect("from memory"))
    }
}

impl Write for Script<'_> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        let count = buf.len().min(self.piece);
        self.output.extend_from_slice(&buf[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The script never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for nothing"),
    }
}

pub(crate) fn run(input: &[u8]) {
    let [kind, input @ ..] = input else { return };
    match kind % 3 {
        0 => proxy_answer(input),
        1 => opening(input),
        _ => frames(input),
    }
}

fn proxy_answer(input: &[u8]) {
    let credentials = Credentials::new("device", "password").expect("they are valid");
    let connect = Connect::new("::1", 443).expect("an address").with_credentials(credentials);
    let outcome = |piece| {
        let mut stream = Script::new(input, piece);
        let mut buffer = [0; 128];
        let outcome = now(proxy::open(&mut stream, &connect, &mut buffer));
        assert_eq!(buffer, [0; 128]);
        (outcome, stream.input)
    };
    let (outcome_in_pieces, rest) = outcome(1);
    let (whole, rest_of_whole) = outcome(usize::MAX);
    assert_eq!(outcome_in_pieces, whole);
    if whole.is_ok() {
        assert_eq!(rest, rest_of_whole);
        let head = &input[..input.len() - rest.len()];
        assert!(head.starts_with(b"HTTP/1.") && (head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n")));
    }
}

type Socket<'a> = WebSocket<Script<'a>, fn() -> u32, 512>;

fn open<'a>(stream: Script<'a>) -> Result<Socket<'a>, Error<Infallible>> {
    let upgrade = Upgrade::new("hub.example").expect("a name");
    now(WebSocket::open(stream, &upgrade, (|| 0) as fn() -> u32))
}

fn opening(input: &[u8]) {
    let ends = [1, 2, usize::MAX].map(|piece| open(Script::new(input, piece)).map(read_all));
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0], ends[2]);
    if ends[0].is_ok() {
        let accept = Key::new([0; 16]).accept();
        assert!(input.windows(accept.len()).any(|window| window == accept));
    }
}

/// The data, and how it ended.
fn read_all(mut socket: Socket<'_>) -> (Vec<u8>, Result<(), Error<Infallible>>) {
    let (mut data, mut room) = (Vec::new(), [0; 100]);
    let end = loop {
        match now(socket.read(&mut room)) {
            Ok(0) => break Ok(()),
            Ok(count) => data.extend_from_slice(&room[..count]),
            Err(error) => break Err(error),
        }
    };
    (data, end)
}

fn frames(input: &[u8]) {
    let bytes = [answer().as_slice(), input].concat();
    let ends =
        [1, 7, usize::MAX].map(|piece| read_all(open(Script::new(&bytes, piece)).expect("a good answer")));
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0], ends[2]);
    let (ours, end) = &ends[0];
    if matches!(end, Err(Error::Frame(_))) {
        return;
    }
    // They give whole messages only: of one that does not end, what has come is in ours alone.
    assert!(ours.starts_with(&theirs(input)), "{end:?}");
}

/// What tungstenite reads, to whom everything that we take has to be allowed.
fn theirs(input: &[u8]) -> Vec<u8> {
    let stream = ReadOnly(Cursor::new(input));
    let mut socket = tungstenite::WebSocket::from_raw_socket(stream, Role::Client, None);
    let mut data = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => data.extend_from_slice(&bytes),
            Ok(Message::Close(_)) => return data,
            Ok(message) => assert!(!message.is_text()),
            Err(tungstenite::Error::Protocol(error)) => {
                let cut = tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
                assert_eq!(error, cut);
                return data;
            }
            // The end, or more than it wants to keep.
            Err(_) => return data,
        }
    }
}

struct ReadOnly<'a>(Cursor<&'a [u8]>);

impl std::io::Read for ReadOnly<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl StdWrite for ReadOnly<'_> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn answer() -> Vec<u8> {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: ";
    [&head[..], &Key::new([0; 16]).accept(), b"\r\n\r\n"].concat()
}

/// The kind, then what comes in.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let messages = [
        &[0x82, 3, b'a', b'b', b'c', 0x02, 1, b'd', 0x89, 2, b'h', b'i', 0x00, 0, 0x80, 1, b'e', 0x8A, 0][..],
        &[0x82, 126, 0, 126],
        &[7; 126],
        &[0x88, 4, 3, 0xE8, b'o', b'k'],
    ]
    .concat();
    vec![
        of(0, b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n\x16\x03"),
        of(0, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\n\n"),
        of(0, b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"),
        of(1, &[answer(), messages.clone()].concat()),
        of(2, &messages),
        of(2, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3]),
        of(2, &[0x88, 0]),
    ]
}

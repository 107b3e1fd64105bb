//! Every adapter with streams that break: cut after every byte of the handshake, and with each byte of it changed.
//! There must be an error each time, and no waiting for what does not come.

use crate::adapter::{Adapter, each_adapter};
use crate::pki::{self, Family, HOST, NOW, Server};

use crate::rogue::{Fault, serve};
use azure_iot_tls::{Error, Trust, Versions};
use embedded_io_adapters::tokio_1::FromTokio;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

each_adapter!(cut_at_every_byte, flipped_at_every_byte);

/// What happens to the server's bytes on their way.
#[derive(Clone, Copy)]
enum Mischief {
    /// The stream ends after as many bytes.
    Cut(usize),
    /// This byte is changed.
    Flip(usize),
}

/// What went by.
#[derive(Default)]
struct Seen {
    /// How much the server sent.
    sent: usize,
    /// Where in its record the changed byte was.
    changed: Option<usize>,
}

/// Passes bytes on both ways until either side is done.
async fn between(client: DuplexStream, server: DuplexStream, mischief: Mischief) -> Seen {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let up = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let mut seen = Seen::default();
        let (mut header, mut in_record) = ([0; 5], 0);
        let mut buf = [0; 4096];
        while let Ok(count @ 1..) = from_server.read(&mut buf).await {
            let bytes = &mut buf[..count];
            let position = seen.sent;
            for (at, byte) in (position..).zip(bytes.iter()) {
                if let Mischief::Flip(flipped) = mischief
                    && flipped == at
                {
                    seen.changed = Some(in_record);
                }
                if let Some(slot) = header.get_mut(in_record) {
                    *slot = *byte;
                }
                in_record += 1;
                let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
                if in_record >= 5 && in_record == 5 + length {
                    in_record = 0;
                }
            }
            let pass = match mischief {
                Mischief::Cut(at) => at.saturating_sub(position).min(count),
                Mischief::Flip(at) => {
                    if let Some(byte) = at.checked_sub(position).and_then(|at| bytes.get_mut(at)) {
                        *byte ^= 0x55;
                    }
                    count
                }
            };
            seen.sent += count;
            if to_client.write_all(&bytes[..pass]).await.is_err() || pass < count {
                break;
            }
        }
        let _ = to_client.shutdown().await;
        seen
    };
    tokio::join!(up, down).1
}

/// What the client received, and what went by; `None` if the client waited for more.
async fn attempt<A: Adapter>(
    adapter: &A,
    version: Versions,
    mischief: Mischief,
) -> Option<(Result<Vec<u8>, Error>, Seen)> {
    static SERVER: LazyLock<Server> = LazyLock::new(|| pki::server(Family::P256));
    let server = &*SERVER;
    let (client, near) = tokio::io::duplex(20_000);
    let (far, rogue) = tokio::io::duplex(20_000);
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW).versions(version);
    let talk = async { adapter.talk(FromTokio::new(client), &trust, None, b"hello", 5).await };
    let all = async {
        tokio::join!(talk, serve(rogue, server, version, Fault::Nothing), between(near, far, mischief))
    };
    // Time stands still as long as anybody has something to do, so that this limit costs no time.
    let (answer, (), seen) = tokio::time::timeout(Duration::from_secs(20), all).await.ok()?;
    Some((answer, seen))
}

/// How much the server sends in a good handshake, in bytes.
async fn length<A: Adapter>(adapter: &A, version: Versions) -> usize {
    let (answer, seen) = attempt(adapter, version, Mischief::Cut(usize::MAX)).await.unwrap();
    assert_eq!(answer.as_deref(), Ok(&b"hello"[..]));
    seen.sent - ANSWER
}

/// A record of 5 bytes in its shortest form; it is not of the handshake.
const ANSWER: usize = 5 + 5 + 1 + 16;

async fn cut_at_every_byte<A: Adapter>(adapter: &A) {
    tokio::time::pause();
    for version in A::VERSIONS.iter().copied() {
        for at in 0..length(adapter, version).await {
            let (answer, _) = attempt(adapter, version, Mischief::Cut(at)).await.expect("an answer");
            assert_eq!(answer, Err(Error::Truncated), "{version:?} {at}");
        }
    }
}

async fn flipped_at_every_byte<A: Adapter>(adapter: &A) {
    tokio::time::pause();
    for version in A::VERSIONS.iter().copied() {
        let mut waited = 0;
        for at in 0..length(adapter, version).await {
            match attempt(adapter, version, Mischief::Flip(at)).await {
                // The version in a record's header is the one thing that nothing depends on.
                Some((Ok(_), seen)) => assert!(matches!(seen.changed, Some(1 | 2)), "{version:?} {at}"),
                Some((Err(_), _)) => {}
                // Of what is announced to be longer, there may be more to come.
                None => waited += 1,
            }
        }
        assert!(waited <= 30, "{version:?} {waited}");
    }
}

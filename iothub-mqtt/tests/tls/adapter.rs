//! The adapters behind one face: connect, say something, hear the answer.

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read, Write};
use iothub_mqtt::tls::{Error, Identity, Trust, Versions};
use std::sync::Arc;
use tokio::io::DuplexStream;

pub(crate) type Pipe = FromTokio<DuplexStream>;
pub(crate) type Device = Option<Arc<dyn Identity + Send + Sync>>;

/// An adapter under test.
pub(crate) trait Adapter {
    /// The versions it has.
    const VERSIONS: &'static [Versions];

    /// Connects, sends `say` and reads until the server has said as many bytes as `hear`, or has closed.
    async fn talk(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: Device,
        say: &[u8],
        hear: usize,
    ) -> Result<Vec<u8>, Error>;
}

/// What [`Adapter::talk`] does once there is a stream.
pub(crate) async fn exchange(
    stream: &mut (impl Read<Error = Error> + Write<Error = Error>),
    say: &[u8],
    hear: usize,
) -> Result<Vec<u8>, Error> {
    stream.write_all(say).await?;
    stream.flush().await?;
    let mut heard = vec![0; hear];
    let mut len = 0;
    while len < hear {
        match stream.read(&mut heard[len..]).await? {
            0 => break,
            count => len += count,
        }
    }
    heard.truncate(len);
    Ok(heard)
}

#[cfg(feature = "rustls")]
pub(crate) struct Rustls;

#[cfg(feature = "rustls")]
impl Adapter for Rustls {
    const VERSIONS: &'static [Versions] = &[Versions::Tls12, Versions::Tls13];

    async fn talk(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: Device,
        say: &[u8],
        hear: usize,
    ) -> Result<Vec<u8>, Error> {
        let mut stream = iothub_mqtt::tls::rustls::connect(pipe, trust, device).await?;
        let heard = exchange(&mut stream, say, hear).await?;
        stream.close().await?;
        Ok(heard)
    }
}

/// Runs a generic async case once for each adapter that is compiled in.
macro_rules! each_adapter {
    ($($case:ident),* $(,)?) => {
        #[cfg(feature = "rustls")]
        mod with_rustls {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::adapter::Rustls).await;
            })*
        }
    };
}
pub(crate) use each_adapter;

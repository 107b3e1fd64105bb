//! The adapters behind one face: connect, say something, hear the answer.

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read, Write};
use iothub_mqtt::tls::{Alert, Error, Identity, IdentityError, Trust, Versions};
use std::sync::Arc;
use tokio::io::DuplexStream;

pub(crate) type Pipe = FromTokio<DuplexStream>;
pub(crate) type Device = Option<Arc<dyn Identity + Send + Sync>>;

/// An adapter under test.
pub(crate) trait Adapter {
    /// The versions it has.
    const VERSIONS: &'static [Versions];

    /// What it says to a broken signer: one that does not use it needs the key itself.
    const NO_SIGNER: IdentityError = IdentityError::Signer;

    /// The error that it reports for `error` in this version: some cannot tell all apart, as their documentation says.
    fn reports(_version: Versions, error: Error) -> Error {
        error
    }

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

#[cfg(feature = "mbedtls")]
pub(crate) struct Mbedtls;

#[cfg(feature = "mbedtls")]
impl Adapter for Mbedtls {
    const VERSIONS: &'static [Versions] = &[Versions::Tls12, Versions::Tls13];
    const NO_SIGNER: IdentityError = IdentityError::KeyNotExportable;

    fn reports(version: Versions, error: Error) -> Error {
        match error {
            Error::ClientRefused { .. } if version == Versions::Tls13 => {
                Error::ClientRefused { alert: Alert::UNKNOWN }
            }
            error => error,
        }
    }

    async fn talk(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: Device,
        say: &[u8],
        hear: usize,
    ) -> Result<Vec<u8>, Error> {
        use iothub_mqtt::tls::mbedtls::Stack;

        let _turn = mbedtls_turn().await;
        let random: &'static mut rand::rngs::StdRng = Box::leak(Box::new(rand::make_rng()));
        let stack = Stack::new(random)?;
        let mut stream =
            stack.connect(pipe, trust, device.as_deref().map(|device| device as &dyn Identity)).await?;
        let heard = exchange(&mut stream, say, hear).await?;
        stream.close().await?;
        Ok(heard)
    }
}

/// There is one Mbed TLS in this process, and its clock is to be set once.
#[cfg(feature = "mbedtls")]
async fn mbedtls_turn() -> tokio::sync::MutexGuard<'static, ()> {
    use iothub_mqtt::tls::mbedtls::{CLOCK, mbedtls_rs::sys::hook::wall_clock::hook_wall_clock};
    use std::sync::Once;
    use tokio::sync::Mutex;

    static TURN: Mutex<()> = Mutex::const_new(());
    static HOOK: Once = Once::new();
    let turn = TURN.lock().await;
    // SAFETY: under the lock nothing else calls Mbed TLS, and the clock is a static.
    HOOK.call_once(|| unsafe { hook_wall_clock(Some(&CLOCK)) });
    turn
}

/// Runs a generic async case once for each adapter that is compiled in.
macro_rules! each_adapter {
    ($($case:ident),* $(,)?) => {
        #[cfg(feature = "mbedtls")]
        mod with_mbedtls {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::adapter::Mbedtls).await;
            })*
        }
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

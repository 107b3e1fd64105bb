//! The adapters behind one face: connect, send a request, read the answer.

use azure_iot_tls::{Alert, AsyncIdentity, Error, Identity, Trust, Versions};
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read, Write};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::DuplexStream;

pub(crate) type Pipe = FromTokio<DuplexStream>;
pub(crate) type Device = Option<Arc<dyn Identity + Send + Sync>>;

/// An adapter under test.
pub(crate) trait Adapter {
    /// The versions it has.
    const VERSIONS: &'static [Versions];

    /// Whether it verifies RSA signatures.
    const RSA: bool = true;

    /// Whether it sends the whole of the device's chain, not only the leaf.
    const CLIENT_CHAIN: bool = true;

    /// Whether it signs with a device's key on P-384.
    const P384: bool = false;

    /// Whether it judges by a clock of its own if it is given no time.
    const HAS_CLOCK: bool = false;

    /// What it says to a critical name constraint.
    const CRITICAL_CONSTRAINT: Error = Error::WrongUsage;

    /// The error that it reports for `error` in this version: some cannot tell all apart, as their documentation says.
    fn reports(_version: Versions, error: Error) -> Error {
        error
    }

    /// The error that it reports for an alert that is the first the server says after the handshake.
    fn reports_late(_version: Versions, alert: Alert) -> Error {
        Error::from_alert(alert)
    }

    /// Connects, sends `request` and reads until the server has sent as many bytes as `answer_len`, or has closed.
    async fn talk(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: Device,
        request: &[u8],
        answer_len: usize,
    ) -> Result<Vec<u8>, Error>;

    /// The same for a device whose key is somewhere else; polls it unless the adapter can await it.
    #[cfg(all(feature = "psa", feature = "signature"))]
    async fn talk_external(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: &'static (impl AsyncIdentity + Sync),
        request: &[u8],
        answer_len: usize,
    ) -> Result<Vec<u8>, Error> {
        self.talk(pipe, trust, Some(Arc::new(azure_iot_tls::Waiting(device))), request, answer_len).await
    }
}

/// Awaits by polling new futures once each, as long as there is patience for that.
macro_rules! impatient {
    ($patience:ident, $future:expr) => {
        loop {
            if $patience == 0 {
                break $future.await;
            }
            $patience -= 1;
            let polled = {
                let mut future = pin!($future);
                poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
            };
            match polled {
                Poll::Ready(output) => break output,
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
    };
}

/// What [`Adapter::talk`] does once there is a stream: impatiently, dropping each future that does not have its
/// answer at once, which must do no harm.
pub(crate) async fn exchange(
    stream: &mut (impl Read<Error = Error> + Write<Error = Error>),
    mut request: &[u8],
    answer_len: usize,
) -> Result<Vec<u8>, Error> {
    let mut patience = 10_000;
    while !request.is_empty() {
        let count = impatient!(patience, stream.write(request))?;
        request = &request[count..];
    }
    impatient!(patience, stream.flush())?;
    let mut answer = vec![0; answer_len];
    let mut len = 0;
    while len < answer_len {
        match impatient!(patience, stream.read(&mut answer[len..]))? {
            0 => break,
            count => len += count,
        }
    }
    answer.truncate(len);
    Ok(answer)
}

#[cfg(feature = "rustls")]
pub(crate) struct Rustls;

#[cfg(feature = "rustls")]
impl Adapter for Rustls {
    const VERSIONS: &'static [Versions] = &[Versions::Tls12, Versions::Tls13];
    const P384: bool = true;
    const HAS_CLOCK: bool = true;

    async fn talk(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: Device,
        request: &[u8],
        answer_len: usize,
    ) -> Result<Vec<u8>, Error> {
        let mut stream = azure_iot_tls::rustls::connect(pipe, trust, device).await?;
        let answer = exchange(&mut stream, request, answer_len).await?;
        stream.close().await?;
        Ok(answer)
    }
}

#[cfg(feature = "mbedtls")]
pub(crate) struct Mbedtls;

#[cfg(feature = "mbedtls")]
impl Mbedtls {
    async fn talk_with(
        pipe: Pipe,
        trust: &Trust<'_>,
        device: Option<&(impl AsyncIdentity + ?Sized)>,
        request: &[u8],
        answer_len: usize,
    ) -> Result<Vec<u8>, Error> {
        let random: &'static mut rand::rngs::StdRng = Box::leak(Box::new(rand::make_rng()));
        let stack = azure_iot_tls::mbedtls::Stack::new(random)?;
        let mut stream = stack.connect(pipe, trust, device).await?;
        let answer = exchange(&mut stream, request, answer_len).await?;
        stream.close().await?;
        Ok(answer)
    }
}

#[cfg(feature = "mbedtls")]
impl Adapter for Mbedtls {
    const VERSIONS: &'static [Versions] = &[Versions::Tls12, Versions::Tls13];
    const CRITICAL_CONSTRAINT: Error = Error::BadCertificate;

    fn reports(version: Versions, error: Error) -> Error {
        use azure_iot_tls::Signed;

        match error {
            Error::ClientRefused { .. } if version == Versions::Tls13 => {
                Error::ClientRefused { alert: Alert::UNKNOWN }
            }
            Error::BadFinished if version == Versions::Tls13 => Error::BadSignature(Signed::Handshake),
            Error::NoCertificateVerify | Error::NoFinished if version == Versions::Tls13 => {
                Error::UnexpectedMessage
            }
            error => error,
        }
    }

    fn reports_late(version: Versions, _: Alert) -> Error {
        let alert = Alert::UNKNOWN;
        if version == Versions::Tls13 { Error::ClientRefused { alert } } else { Error::Alert { alert } }
    }

    async fn talk(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: Device,
        request: &[u8],
        answer_len: usize,
    ) -> Result<Vec<u8>, Error> {
        let device = device.as_deref().map(|device| device as &dyn Identity);
        Self::talk_with(pipe, trust, device, request, answer_len).await
    }

    #[cfg(all(feature = "psa", feature = "signature"))]
    async fn talk_external(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: &'static (impl AsyncIdentity + Sync),
        request: &[u8],
        answer_len: usize,
    ) -> Result<Vec<u8>, Error> {
        Self::talk_with(pipe, trust, Some(device), request, answer_len).await
    }
}

#[cfg(feature = "embedded-tls")]
pub(crate) struct EmbeddedTls;

#[cfg(feature = "embedded-tls")]
impl Adapter for EmbeddedTls {
    const VERSIONS: &'static [Versions] = &[Versions::Tls13];
    const RSA: bool = false;
    const CLIENT_CHAIN: bool = false;

    fn reports(_: Versions, error: Error) -> Error {
        match error {
            Error::ClientRefused { .. } => Error::ClientRefused { alert: Alert::UNKNOWN },
            error => error,
        }
    }

    fn reports_late(_: Versions, _: Alert) -> Error {
        Error::ClientRefused { alert: Alert::UNKNOWN }
    }

    async fn talk(
        &self,
        pipe: Pipe,
        trust: &Trust<'_>,
        device: Device,
        request: &[u8],
        answer_len: usize,
    ) -> Result<Vec<u8>, Error> {
        use azure_iot_tls::embedded_tls::{Buffers, FULL_RX, USUAL_TX, connect};

        let mut buffers = Box::new(Buffers::<FULL_RX, USUAL_TX>::new());
        let mut random: rand::rngs::StdRng = rand::make_rng();
        let device = device.as_deref().map(|device| device as &dyn Identity);
        let mut stream = connect(pipe, &mut buffers, trust, device, &mut random).await?;
        let answer = exchange(&mut stream, request, answer_len).await?;
        stream.close().await?;
        Ok(answer)
    }
}

/// There is one Mbed TLS in this process.
#[cfg(feature = "mbedtls")]
pub(crate) async fn mbedtls_turn() -> tokio::sync::MutexGuard<'static, ()> {
    use tokio::sync::Mutex;

    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// Runs a generic async case once for each adapter that is compiled in.
macro_rules! each_adapter {
    ($($case:ident),* $(,)?) => {
        #[cfg(feature = "embedded-tls")]
        mod with_embedded_tls {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::adapter::EmbeddedTls).await;
            })*
        }
        #[cfg(feature = "mbedtls")]
        mod with_mbedtls {
            $(#[tokio::test]
            async fn $case() {
                let _turn = crate::adapter::mbedtls_turn().await;
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

//! A way through an HTTP proxy: CONNECT (RFC 9110, section 9.3.6), with Basic authentication (RFC 7617) if it wants
//! to know who asks.
//!
//! [`open`] needs a connection to the proxy, and makes of it one to the host behind: TLS begins on the same stream.
//! Whether names are looked up, and by whom, is the proxy's matter.
//!
//! ```
//! use azure_iot_tunnel::proxy::{self, Connect, Credentials};
//! use azure_iot_tunnel::Error;
//! use embedded_io_async::{Read, Write};
//!
//! /// `stream` is a TCP connection to the proxy.
//! async fn through<S: Read + Write>(stream: &mut S) -> Result<(), Error<S::Error>> {
//!     let connect = Connect::new("my-hub.azure-devices.net", 8883)?
//!         .with_credentials(Credentials::new("device", "password")?);
//!     proxy::open(stream, &connect, &mut [0; proxy::BUFFER]).await
//! }
//! ```
//!
//! Basic authentication is readable for everybody between device and proxy, unless the stream to the proxy is a TLS
//! stream itself. Digest and NTLM are not supported.

use crate::host::Host;
use crate::http::{HeadReader, Part};
use crate::{Error, RequestError};
use azure_iot_common::text::Writer;
use base64ct::{Base64, Encoding as _};
use core::fmt;
use embedded_io_async::{Read, Write};
use zeroize::{Zeroize as _, Zeroizing};

/// Enough for the request and for the first line of the answer: with a host of 253 bytes and 180 bytes of user name
/// and password.
pub const BUFFER: usize = 1024;

/// A user name and its password for the proxy. They are not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    user: &'a str,
    password: &'a str,
}

impl<'a> Credentials<'a> {
    /// A user name without colon, and a password; both in UTF-8 without control characters.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] if they cannot be sent.
    pub fn new(user: &'a str, password: &'a str) -> Result<Self, RequestError> {
        let controls = |text: &str| text.bytes().position(|byte| byte.is_ascii_control());
        if let Some(at) = user.bytes().position(|byte| byte == b':').or(controls(user)) {
            return Err(RequestError::Invalid { what: "the proxy's user name", at });
        }
        if let Some(at) = controls(password) {
            return Err(RequestError::Invalid { what: "the proxy's password", at });
        }
        Ok(Self { user, password })
    }

    /// `user:password` in base64, three bytes at a time.
    fn write(self, out: &mut Writer<'_>) {
        let mut bytes = self.user.bytes().chain([b':']).chain(self.password.bytes());
        let (mut group, mut text) = (Zeroizing::new([0; 3]), Zeroizing::new([0; 4]));
        loop {
            let mut count = 0;
            for (place, byte) in group.iter_mut().zip(bytes.by_ref()) {
                *place = byte;
                count += 1;
            }
            let taken = group.get(..count).unwrap_or_default();
            // Four characters have room in four bytes; of nothing there are none.
            out.text(Base64::encode(taken, text.as_mut_slice()).unwrap_or_default());
            if count < 3 {
                return;
            }
        }
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// The host behind the proxy, and who asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    host: Host<'a>,
    port: u16,
    credentials: Option<Credentials<'a>>,
}

impl<'a> Connect<'a> {
    /// A name or an address (that of IPv6 with or without brackets), and a TCP port.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] if the host is none.
    pub fn new(host: &'a str, port: u16) -> Result<Self, RequestError> {
        Ok(Self { host: Host::new(host)?, port, credentials: None })
    }

    /// With user name and password, sent at once: no proxy is asked first whether it wants them.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials<'a>) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// The request. It holds the credentials: wipe `out` when it was sent.
    ///
    /// # Errors
    /// [`RequestError::BufferTooSmall`].
    pub fn write<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8], RequestError> {
        let mut head = Writer::new(out);
        head.text("CONNECT ");
        self.write_authority(&mut head);
        head.text(" HTTP/1.1\r\nHost: ");
        self.write_authority(&mut head);
        if let Some(credentials) = self.credentials {
            head.text("\r\nProxy-Authorization: Basic ");
            credentials.write(&mut head);
        }
        head.text("\r\n\r\n");
        head.finish()
    }

    fn write_authority(&self, out: &mut Writer<'_>) {
        self.host.write(out);
        out.byte(b':').decimal(self.port.into());
    }
}

/// Whether an answer with this status opens the way.
///
/// # Errors
/// [`Error::ProxyAuthentication`], [`Error::ProxyRefused`].
pub fn check<E>(status: u16) -> Result<(), Error<E>> {
    match status {
        200..=299 => Ok(()),
        401 | 407 => Err(Error::ProxyAuthentication),
        status => Err(Error::ProxyRefused { status }),
    }
}

/// Asks the proxy at the other end of `stream` for a way to the host. Nothing that follows its answer is read: the
/// stream is then one to the host.
///
/// `buffer` takes the request, then the first line of the answer; [`BUFFER`] bytes are enough in practice. It is
/// wiped, also when the future is dropped. There is no time limit here; if the future is dropped or fails, the
/// connection is of no use any more.
///
/// # Errors
/// [`Error::Io`], [`Error::WriteZero`], [`Error::Truncated`], [`Error::Request`]; of the answer
/// [`Error::NotHttp`], [`Error::HeadTooLong`], [`Error::ProxyAuthentication`], [`Error::ProxyRefused`]. Refusals are
/// known with the first line; the rest of such an answer is not read.
pub async fn open<S: Read + Write>(
    stream: &mut S,
    connect: &Connect<'_>,
    buffer: &mut [u8],
) -> Result<(), Error<S::Error>> {
    let buffer = Wiped(buffer);
    send(stream, connect.write(buffer.0)?).await?;
    let mut head = HeadReader::status_only(buffer.0);
    read_head(stream, &mut head, |part| match part {
        Part::Status { status, .. } => check(status),
        Part::Header { .. } | Part::End => Ok(()),
    })
    .await
}

/// A buffer that is wiped at the end, whatever that is.
struct Wiped<'b>(&'b mut [u8]);

impl Drop for Wiped<'_> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Writes and flushes.
pub(crate) async fn send<S: Write>(stream: &mut S, mut bytes: &[u8]) -> Result<(), Error<S::Error>> {
    while !bytes.is_empty() {
        let count = stream.write(bytes).await.map_err(Error::Io)?;
        if count == 0 {
            return Err(Error::WriteZero);
        }
        bytes = bytes.get(count..).unwrap_or_default();
    }
    stream.flush().await.map_err(Error::Io)
}

/// Reads a head and not a byte more; `judge` sees its parts.
pub(crate) async fn read_head<S: Read>(
    stream: &mut S,
    head: &mut HeadReader<'_>,
    mut judge: impl FnMut(Part<'_>) -> Result<(), Error<S::Error>>,
) -> Result<(), Error<S::Error>> {
    let mut bytes = [0; 2];
    while !head.is_done() {
        let wanted = bytes.get_mut(..head.wanted()).unwrap_or_default();
        let count = stream.read(wanted).await.map_err(Error::Io)?;
        if count == 0 {
            return Err(Error::Truncated);
        }
        let mut rest = bytes.get(..count).unwrap_or_default();
        while !rest.is_empty() && !head.is_done() {
            let (taken, part) = head.feed(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            part.map_or(Ok(()), &mut judge)?;
        }
    }
    Ok(())
}

//! The opening handshake (RFC 6455, section 4): a GET that asks for another protocol, and the judgement of its answer.

use crate::host::Host;
use crate::http::Part;
use crate::{Error, HandshakeFault, RequestError};
use azure_iot_common::text::Writer;
use base64ct::{Base64, Encoding as _};
use sha1::{Digest as _, Sha1};

/// What the key is hashed with (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const SUBPROTOCOL: &str = "mqtt";

/// Which WebSocket to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade<'a> {
    host: Host<'a>,
    port: u16,
    path: &'a str,
}

impl<'a> Upgrade<'a> {
    /// That of a device service, for a device with a certificate. `host` is the name that the server proved to have.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] if it is neither a name nor an address.
    pub fn new(host: &'a str) -> Result<Self, RequestError> {
        Ok(Self { host: Host::new(host)?, port: super::PORT, path: super::PATH })
    }

    /// At another path, with its query: [`PATH_WITHOUT_CERTIFICATE`](super::PATH_WITHOUT_CERTIFICATE), say.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] if it does not begin with a slash, or has blanks, a `#`, or other than ASCII
    /// characters.
    pub fn with_path(self, path: &'a str) -> Result<Self, RequestError> {
        let at = path.bytes().position(|byte| !byte.is_ascii_graphic() || byte == b'#');
        match at.or((!path.starts_with('/')).then_some(0)) {
            Some(at) => Err(RequestError::Invalid { what: "the WebSocket's path", at }),
            None => Ok(Self { path, ..self }),
        }
    }

    /// At another port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The request.
    ///
    /// # Errors
    /// [`RequestError::BufferTooSmall`].
    pub fn write<'b>(&self, key: &Key, out: &'b mut [u8]) -> Result<&'b [u8], RequestError> {
        let mut head = Writer::new(out);
        head.text("GET ").text(self.path).text(" HTTP/1.1\r\nHost: ");
        self.host.write(&mut head);
        if self.port != super::PORT {
            head.byte(b':').decimal(self.port.into());
        }
        head.text("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
        head.text("Sec-WebSocket-Protocol: ").text(SUBPROTOCOL);
        head.text("\r\nSec-WebSocket-Key: ").bytes(&key.text).text("\r\n\r\n");
        head.finish()
    }
}

/// The key of a request, in base64. It keeps caches from giving an old answer; it is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    text: [u8; 24],
}

impl Key {
    /// Of 16 bytes chosen at random for this connection.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        let mut text = [0; 24];
        // 16 bytes are 24 characters.
        let _ = Base64::encode(&random, &mut text);
        Self { text }
    }

    /// What `Sec-WebSocket-Accept` has to be in the answer.
    #[must_use]
    pub fn accept(&self) -> [u8; 28] {
        let digest = Sha1::new().chain_update(self.text).chain_update(GUID).finalize();
        let mut text = [0; 28];
        // 20 bytes are 28 characters.
        let _ = Base64::encode(digest.as_slice(), &mut text);
        text
    }
}

/// Judges an answer as its parts come.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "which of four headers were there")]
pub struct Answer {
    accept: [u8; 28],
    upgrades: bool,
    connects: bool,
    accepts: bool,
    is_mqtt: bool,
}

impl Answer {
    /// Before the first line of the answer to a request with this key.
    #[must_use]
    pub fn to(key: &Key) -> Self {
        Self { accept: key.accept(), upgrades: false, connects: false, accepts: false, is_mqtt: false }
    }

    /// Takes the next part; after [`Part::End`] the WebSocket is open.
    ///
    /// # Errors
    /// [`Error::UpgradeRefused`], [`Error::Handshake`].
    pub fn judge<E>(&mut self, part: Part<'_>) -> Result<(), Error<E>> {
        match part {
            Part::Status { status: 101, is_http11: true } => {}
            Part::Status { status: 101, .. } => Err(HandshakeFault::Upgrade)?,
            Part::Status { status, .. } => return Err(Error::UpgradeRefused { status }),
            Part::Header { name, value } => self.header(name, value)?,
            Part::End => self.end()?,
        }
        Ok(())
    }

    fn header(&mut self, name: &str, value: &[u8]) -> Result<(), HandshakeFault> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        let lists = |wanted: &[u8]| {
            value.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(wanted))
        };
        if is("Upgrade") {
            self.upgrades |= lists(b"websocket");
        } else if is("Connection") {
            self.connects |= lists(b"upgrade");
        } else if is("Sec-WebSocket-Accept") {
            if value != self.accept || self.accepts {
                return Err(HandshakeFault::Accept);
            }
            self.accepts = true;
        } else if is("Sec-WebSocket-Protocol") {
            if value != SUBPROTOCOL.as_bytes() || self.is_mqtt {
                return Err(HandshakeFault::Protocol);
            }
            self.is_mqtt = true;
        } else if is("Sec-WebSocket-Extensions") && !value.is_empty() {
            return Err(HandshakeFault::Extension);
        }
        Ok(())
    }

    fn end(&self) -> Result<(), HandshakeFault> {
        match self {
            Self { upgrades: false, .. } => Err(HandshakeFault::Upgrade),
            Self { connects: false, .. } => Err(HandshakeFault::Connection),
            Self { accepts: false, .. } => Err(HandshakeFault::Accept),
            Self { is_mqtt: false, .. } => Err(HandshakeFault::Protocol),
            _ => Ok(()),
        }
    }
}

//! A signature session: the host hashes the traffic as the chip does, so that it can check the chip's signature.
//!
//! Hashed are, in order: the Start Session *response*, every later command and response, and the Get Signature
//! *command*. Each item is `01|02 ‖ len(2) ‖ header ‖ body`: 01 a command with its C-MAC, 02 a response without its
//! R-MAC, `len` counting header and body.

use sha2::{Digest as _, Sha256, Sha384};

use super::{Channel, Fault, HostChannel, LastCommand, Scope, sealed};
use crate::code::Code;
use crate::codec::len16;
use crate::curve::{Curve, MAX_FIELD};
use crate::error::CryptoError;
use crate::frame::CrcMode;
use crate::response::HostKeySlot;
use crate::rules::Rule;
use crate::status::Status;

/// The hash of a finished signature session: what the chip signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionDigest {
    bytes: [u8; MAX_FIELD],
    len: u8,
}

impl SessionDigest {
    fn new(digest: &[u8]) -> Self {
        let mut bytes = [0; MAX_FIELD];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = *from;
        }
        Self { bytes, len: u8::try_from(digest.len()).unwrap_or(0) }
    }

    /// 32 bytes (SHA-256) or 48 (SHA-384).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[derive(Clone)]
enum Hash {
    Sha256(Sha256),
    Sha384(Sha384),
}

impl Hash {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha384(hash) => hash.update(bytes),
        }
    }

    fn item(&mut self, kind: u8, header: u8, body: &[u8]) {
        let [high, low] = len16(1 + body.len()).to_be_bytes();
        self.update(&[kind, high, low, header]);
        self.update(body);
    }

    fn finish(self) -> SessionDigest {
        match self {
            Self::Sha256(hash) => SessionDigest::new(&hash.finalize()),
            Self::Sha384(hash) => SessionDigest::new(&hash.finalize()),
        }
    }
}

/// Where the session is.
enum State {
    /// Not started, ended, or broken by an exchange that failed.
    Idle,
    /// The command to start it was sent.
    Starting,
    /// Traffic is hashed.
    Running {
        hash: Hash,
        /// The last command's response is still to come; a command in its place breaks the session.
        unanswered: bool,
    },
    /// The signature was asked for.
    Finished(SessionDigest),
}

/// Another channel, its traffic hashed for a signature session.
pub struct Signed<S> {
    inner: S,
    curve: Curve,
    state: State,
}

impl<S> core::fmt::Debug for Signed<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Signed").field("curve", &self.curve).finish_non_exhaustive()
    }
}

const COMMAND: u8 = 0x01;
const RESPONSE: u8 = 0x02;

impl<S> Signed<S> {
    pub(crate) fn new(inner: S, curve: Curve) -> Self {
        Self { inner, curve, state: State::Idle }
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { unanswered: false, .. })
    }

    /// The hash, once the signature was asked for.
    pub(crate) fn take_digest(&mut self) -> Option<SessionDigest> {
        match core::mem::replace(&mut self.state, State::Idle) {
            State::Finished(digest) => Some(digest),
            _ => None,
        }
    }

    fn on_command(&mut self, header: u8, body: &[u8]) {
        let code = header & 0x1F;
        if code == Code::StartSession.bits() {
            self.state = State::Starting;
            return;
        }
        self.state = match core::mem::replace(&mut self.state, State::Idle) {
            State::Running { mut hash, unanswered: false } => {
                hash.item(COMMAND, header, body);
                if code == Code::GetSignature.bits() {
                    State::Finished(hash.finish())
                } else {
                    State::Running { hash, unanswered: true }
                }
            }
            _ => State::Idle,
        };
    }

    fn on_response(&mut self, header: u8, body: &[u8]) {
        if matches!(self.state, State::Starting) {
            self.state = State::Idle;
            if Status::from_header(header).is_ok() {
                let hash = match self.curve.field_len() {
                    MAX_FIELD => Hash::Sha384(Sha384::new()),
                    _ => Hash::Sha256(Sha256::new()),
                };
                self.state = State::Running { hash, unanswered: true };
            }
        }
        if let State::Running { hash, unanswered } = &mut self.state {
            hash.item(RESPONSE, header, body);
            *unanswered = false;
        }
    }
}

impl<S> sealed::Sealed for Signed<S> {}

impl<S: Channel> Channel for Signed<S> {
    type Pending = S::Pending;

    const MAX_UPDATE: usize = S::MAX_UPDATE;

    fn wants_counter(&self, rule: Rule) -> bool {
        self.inner.wants_counter(rule)
    }

    fn set_counter(&mut self, slot: HostKeySlot) -> Result<(), CryptoError> {
        self.inner.set_counter(slot)
    }

    fn seal(
        &mut self,
        rule: Rule,
        frame: &mut [u8],
        len: usize,
        crc: CrcMode,
    ) -> Result<(usize, S::Pending), Fault> {
        self.inner.seal(rule, frame, len, crc)
    }

    fn not_sent(&mut self, pending: S::Pending) {
        self.inner.not_sent(pending);
    }

    fn sent(&mut self, frame: &[u8]) {
        self.inner.sent(frame);
        if let Some((&header, body)) = frame.split_first() {
            self.on_command(header, body);
        }
    }

    fn received(&mut self, header: u8, data: &[u8]) {
        self.inner.received(header, data);
        self.on_response(header, data);
    }

    fn open(
        &mut self,
        pending: S::Pending,
        rule: Rule,
        frame: &mut [u8],
        crc: CrcMode,
    ) -> Result<usize, Fault> {
        self.inner.open(pending, rule, frame, crc)
    }
}

impl<S: HostChannel> HostChannel for Signed<S> {
    fn resync(&mut self, slot: HostKeySlot) -> Result<LastCommand, CryptoError> {
        self.inner.resync(slot)
    }

    fn set_scope(&mut self, scope: Scope) {
        self.inner.set_scope(scope);
    }
}

//! The chip behind its bus: a command frame in, a response frame out.

use std::collections::VecDeque;
use std::vec::Vec;

use sha2::{Digest as _, Sha256, Sha384};

use super::fuse::{Blown, Fuse};
use super::state::{HostState, State};
use crate::code::Code;
use crate::codec::Writer;
use crate::command::{Command, WakeUp};
use crate::crc::crc16;
use crate::crypto::SoftCrypto;
use crate::curve::Curve;
use crate::error::{InputError, ProtocolError};
use crate::frame::{
    CommandFrame, CrcMode, Header, MAX_COMMAND, MAX_RESPONSE, ResponseFrame, response_header,
};
use crate::mac::{self, Counter, Direction, HostKeys, ResponseMac};
use crate::rules::{CommandAccess, Rule};
use crate::status::Status;

/// Why a command has no answer to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The power went, or a reset came.
    Blown(Blown),
    /// The chip hangs until it is reset: it was given an all-zero digest.
    Hang,
    /// The command is refused.
    Refused(Status),
}

impl From<Blown> for Stop {
    fn from(blown: Blown) -> Self {
        Self::Blown(blown)
    }
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// A signature session: the hash over what passed the bus since it began.
pub(super) struct SignatureSession {
    pub(super) slot: usize,
    hash: SessionHash,
}

enum SessionHash {
    Sha256(Sha256),
    Sha384(Sha384),
}

impl SignatureSession {
    pub(super) fn new(slot: usize, curve: Curve) -> Self {
        let hash = match curve.field_len() {
            32 => SessionHash::Sha256(Sha256::new()),
            _ => SessionHash::Sha384(Sha384::new()),
        };
        Self { slot, hash }
    }

    fn update(&mut self, lead: u8, header: u8, body: &[&[u8]]) {
        let len: usize = 1 + body.iter().map(|part| part.len()).sum::<usize>();
        let [.., high, low] = len.to_be_bytes();
        let head = [lead, high, low, header];
        for part in core::iter::once(&&head[..]).chain(body) {
            match &mut self.hash {
                SessionHash::Sha256(hash) => hash.update(part),
                SessionHash::Sha384(hash) => hash.update(part),
            }
        }
    }

    pub(super) fn digest(&self) -> Vec<u8> {
        match &self.hash {
            SessionHash::Sha256(hash) => hash.clone().finalize().to_vec(),
            SessionHash::Sha384(hash) => hash.clone().finalize().to_vec(),
        }
    }
}

/// What a reset clears.
#[derive(Default)]
pub(super) struct Volatile {
    pub(super) session: Option<SignatureSession>,
    pub(super) challenge: Option<Vec<u8>>,
    /// Told to hibernate.
    pub(super) asleep: Option<WakeUp>,
}

pub(super) struct Model {
    pub(super) state: State,
    pub(super) volatile: Volatile,
    /// Random bytes a test wants to see next.
    pub(super) scripted: VecDeque<u8>,
    /// The memory has changed since this was last cleared.
    pub(super) dirty: bool,
}

/// The host channel of one command.
struct Channel {
    keys: HostKeys,
    counter: Counter,
}

impl Model {
    pub(super) fn new(state: State) -> Self {
        Self { state, volatile: Volatile::default(), scripted: VecDeque::new(), dirty: true }
    }

    /// Takes a command frame and gives the response frame.
    pub(super) fn answer(&mut self, frame: &[u8], fuse: &mut Fuse) -> Result<Vec<u8>, Stop> {
        let crc = self.state.crc();
        let command = match CommandFrame::parse(frame, crc) {
            Ok(command) => command,
            Err(_) if frame.len() > MAX_COMMAND => return Ok(refusal(Status::BufferLength, crc)),
            Err(_) => return Ok(refusal(Status::CommunicationError, crc)),
        };
        let channel = match self.authenticate(&command, fuse) {
            Ok(channel) => channel,
            Err(Stop::Refused(status)) => return Ok(refusal(status, crc)),
            Err(stop) => return Err(stop),
        };
        // The command enters a signature session's hash before it is executed: Get Signature signs itself.
        let c_mac = command.mac.as_ref().map_or(&[][..], |mac| mac.as_bytes());
        self.hash(0x01, command.header.to_byte(), &[command.data, c_mac]);
        match self.execute_frame(&command, channel.as_ref(), fuse) {
            Ok(data) => Ok(self.respond(&command, data, channel.as_ref(), crc)),
            Err(Stop::Refused(status)) => Ok(self.refuse(status, crc)),
            Err(stop) => Err(stop),
        }
    }

    /// Judges header and C-MAC; a valid C-MAC uses its counter up, whatever becomes of the command.
    fn authenticate(&mut self, command: &CommandFrame<'_>, fuse: &mut Fuse) -> Result<Option<Channel>, Stop> {
        let Header { code, c_mac, r_mac, host } = command.header;
        if Code::from_bits(code).is_none() {
            return Err(Status::UnsupportedCommand.into());
        }
        match (c_mac, r_mac, host) {
            (false, false, false) => return Ok(None),
            (true, _, true) => {}
            // Without the host flag the MACs belong to an admin session, which this chip never has.
            (_, _, false) => return Err(Status::WrongSession.into()),
            (false, _, true) => return Err(Status::InconsistentData.into()),
        }
        let channel = self.channel()?;
        let expected =
            mac::c_mac(&mut SoftCrypto, &channel.keys, channel.counter, command.header, command.data);
        if command.mac != Some(expected) {
            return Err(Status::InvalidCMac.into());
        }
        fuse.step()?;
        if let Some(host) = &mut self.state.host {
            host.counter += 1;
        }
        self.dirty = true;
        fuse.step()?;
        Ok(Some(channel))
    }

    /// The host keys and the counter of the next C-MAC.
    fn channel(&self) -> Result<Channel, Status> {
        let HostState { mac, cipher, counter } = self.state.host.as_ref().ok_or(Status::KeyNotFound)?;
        let (Some(mac), Some(cipher)) = (mac.0.first_chunk(), cipher.0.first_chunk()) else {
            return Err(Status::KeyNotFound);
        };
        let counter = Counter::new(*counter).ok_or(Status::MacCounterLimit)?;
        Ok(Channel { keys: HostKeys::new(*mac, *cipher), counter })
    }

    /// What the chip demands of the command with this code.
    fn rule(&self, code: u8) -> Result<Rule, Status> {
        let code = Code::from_bits(code).ok_or(Status::UnsupportedCommand)?;
        Ok(self.state.chip.rules().ok_or(Status::UnexpectedError)?.of(code))
    }

    fn execute_frame(
        &mut self,
        command: &CommandFrame<'_>,
        channel: Option<&Channel>,
        fuse: &mut Fuse,
    ) -> Result<Vec<u8>, Stop> {
        let rule = self.rule(command.header.code)?;
        let code = rule.code;
        if matches!(rule.access, CommandAccess::Never | CommandAccess::Admin) {
            return Err(Status::NotAuthorised.into());
        }
        if rule.needs_host() && channel.is_none() {
            return Err(Status::AccessCondition.into());
        }
        let mut plain = command.data.to_vec();
        if let Some(channel) = channel.filter(|_| rule.encryption.command) {
            let len =
                mac::decrypt(&mut SoftCrypto, &channel.keys, channel.counter, Direction::Command, &mut plain)
                    .map_err(|_| Status::DecryptionError)?;
            plain.truncate(len);
        }
        let parsed = match Command::parse(code.bits(), &plain) {
            Ok(parsed) => parsed,
            Err(ProtocolError::UnknownCommand(_)) => return Err(Status::UnsupportedCommand.into()),
            Err(_) => self.parse_with_stray_crc(command.header, &plain).ok_or(Status::InconsistentData)?,
        };
        // An A100 refuses the query for the table with this status, as ST's middleware tells; the rest is our choice.
        if parsed.only_family().is_some_and(|only| only != self.state.chip.family()) {
            return Err(match code {
                Code::StartSession | Code::GetSignature => Status::UnsupportedCommand,
                _ => Status::InconsistentData,
            }
            .into());
        }
        self.execute(&parsed, channel.is_some(), fuse)
    }

    /// A chip without checksums still understands a host that sends one.
    fn parse_with_stray_crc<'a>(&self, header: Header, data: &'a [u8]) -> Option<Command<'a>> {
        let (body, sum) = data.split_last_chunk::<2>()?;
        let whole = [&[header.to_byte()], body].concat();
        if self.state.crc() == CrcMode::On || crc16(&whole).to_be_bytes() != *sum {
            return None;
        }
        Command::parse(header.code, body).ok()
    }

    fn respond(
        &mut self,
        command: &CommandFrame<'_>,
        mut data: Vec<u8>,
        channel: Option<&Channel>,
        crc: CrcMode,
    ) -> Vec<u8> {
        let mut mac = None;
        if let Some(Channel { keys, counter }) = channel {
            if self.rule(command.header.code).is_ok_and(|rule| rule.encryption.response) {
                let len = data.len();
                data.resize(mac::encrypted_len(len), 0);
                if mac::encrypt(&mut SoftCrypto, keys, *counter, Direction::Response, &mut data, len).is_err()
                {
                    return self.refuse(Status::UnexpectedError, crc);
                }
            }
            if command.header.r_mac {
                mac =
                    Some(
                        ResponseMac::start(&mut SoftCrypto, keys, *counter, command.header, command.data)
                            .finish(&mut SoftCrypto, response_header(Status::Ok, true), &data),
                    );
            }
        }
        self.hash(0x02, response_header(Status::Ok, mac.is_some()), &[&data]);
        emit(&ResponseFrame { status: Status::Ok, data: &data, mac }, crc)
            .unwrap_or_else(|_| refusal(Status::BufferLength, crc))
    }

    fn refuse(&mut self, status: Status, crc: CrcMode) -> Vec<u8> {
        self.hash(0x02, response_header(status, false), &[]);
        refusal(status, crc)
    }

    fn hash(&mut self, lead: u8, header: u8, body: &[&[u8]]) {
        if let Some(session) = &mut self.volatile.session {
            session.update(lead, header, body);
        }
    }

    pub(super) fn random(&mut self, out: &mut [u8]) {
        self.state.random.fill(out);
        self.dirty = true;
        for byte in out {
            if let Some(scripted) = self.scripted.pop_front() {
                *byte = scripted;
            }
        }
    }
}

/// A data field, written by `fill`.
pub(super) fn field(fill: impl FnOnce(&mut Writer<'_>) -> Result<(), InputError>) -> Result<Vec<u8>, Status> {
    let mut buf = [0; MAX_RESPONSE];
    let mut w = Writer::new(&mut buf);
    fill(&mut w).map_err(|_| Status::BufferLength)?;
    Ok(w.finish().to_vec())
}

fn emit(frame: &ResponseFrame<'_>, crc: CrcMode) -> Result<Vec<u8>, InputError> {
    let mut buf = [0; MAX_RESPONSE];
    let len = frame.emit(crc, &mut buf)?;
    Ok(buf.get(..len).unwrap_or_default().to_vec())
}

/// The answer of a command that is refused: a status, no data, no R-MAC.
pub(super) fn refusal(status: Status, crc: CrcMode) -> Vec<u8> {
    // A frame without data always fits.
    emit(&ResponseFrame { status, data: &[], mac: None }, crc).unwrap_or_default()
}

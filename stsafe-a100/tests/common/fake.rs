//! A chip that answers every command in the right shape, with faults where a test wants them. It checks C-MACs, keeps
//! the counter, makes R-MACs and encrypts; what it answers means nothing.

use embedded_hal::i2c::{ErrorKind, ErrorType, NoAcknowledgeSource, Operation};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use stsafe_a100::config::{Rule, Rules};
use stsafe_a100::error::Status;
use stsafe_a100::session::SoftCrypto;
use stsafe_a100::wire::{
    Authorisation, Code, Command, CommandFrame, Counter, CrcMode, Curve, Direction, Family, HostKeySlot,
    HostKeys, MAX_RESPONSE, Mac, Point, ProductData, Query, ResponseFrame, ResponseMac, Writer, c_mac,
    decrypt, emit_point, emit_public_key_slot, encrypt, response_header,
};

/// What goes wrong on the bus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The transfer with this number fails before the chip sees it, this many times in a row.
    Transfer { at: usize, times: usize, kind: ErrorKind },
    /// The transfer with this number fails after the chip saw it.
    AfterTransfer { at: usize, kind: ErrorKind },
    /// The answer to the command with this number ends after so many bytes.
    Truncated { command: usize, len: usize },
    /// One bit of that answer is turned; with its checksum made right again or not.
    Bit { command: usize, bit: usize, crc: bool },
}

pub const NACK: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);

/// The chip, and the bus it sits on.
#[derive(Debug)]
pub struct Fake {
    pub keys: HostKeys,
    pub counter: u32,
    /// The family it plays, and what it demands.
    pub rules: Rules,
    pub fault: Option<Fault>,
    /// Transfers so far.
    pub transfers: usize,
    /// Command frames taken so far.
    pub commands: usize,
    /// MACed commands accepted so far.
    pub accepted: usize,
    /// What it answers instead of executing anything.
    pub answer_with: Option<Vec<u8>>,
    /// The answer being read.
    pub answer: Vec<u8>,
    /// Every answer, before any fault.
    pub answers: Vec<Vec<u8>>,
}

/// The key in every slot.
pub fn signing_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[0x11; 32]).unwrap()
}

pub fn keys() -> HostKeys {
    HostKeys::new([0x4D; 16], [0xC5; 16])
}

impl Fake {
    pub fn new() -> Self {
        Self {
            keys: keys(),
            counter: 0x0000_00FE,
            rules: Rules::A100,
            fault: None,
            transfers: 0,
            commands: 0,
            accepted: 0,
            answer_with: None,
            answer: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn n(&self) -> Counter {
        Counter::new(self.counter).unwrap()
    }

    /// Executes a frame and gives the answer's frame.
    fn execute(&mut self, frame: &[u8]) -> Vec<u8> {
        let refuse = |status| emit(&ResponseFrame { status, data: &[], mac: None });
        let Ok(frame) = CommandFrame::parse(frame, CrcMode::On) else {
            return refuse(Status::CommunicationError);
        };
        let n = self.n();
        let mut data = frame.data.to_vec();
        let mut r_mac = None;
        if let Some(mac) = frame.mac {
            if mac != c_mac(&mut SoftCrypto, &self.keys, n, frame.header, frame.data) {
                return refuse(Status::InvalidCMac);
            }
            self.counter += 1;
            self.accepted += 1;
            let started = || ResponseMac::start(&mut SoftCrypto, &self.keys, n, frame.header, frame.data);
            r_mac = frame.header.r_mac.then(started);
        }
        let code = Code::from_bits(frame.header.code).unwrap();
        let encryption = self.rules.of(code).encryption;
        if encryption.command {
            let len = decrypt(&mut SoftCrypto, &self.keys, n, Direction::Command, &mut data).unwrap();
            data.truncate(len);
        }
        let command = Command::parse(frame.header.code, &data).unwrap();
        let mut answer = respond(&command, self.counter, &self.rules);
        if encryption.response {
            let len = answer.len();
            answer.resize(len + 16, 0);
            let len = encrypt(&mut SoftCrypto, &self.keys, n, Direction::Response, &mut answer, len).unwrap();
            answer.truncate(len);
        }
        let header = response_header(Status::Ok, true);
        let mac: Option<Mac> = r_mac.map(|r_mac| r_mac.finish(&mut SoftCrypto, header, &answer));
        emit(&ResponseFrame { status: Status::Ok, data: &answer, mac })
    }

    fn spoil(&mut self) {
        match self.fault {
            Some(Fault::Truncated { command, len }) if command == self.commands => self.answer.truncate(len),
            Some(Fault::Bit { command, bit, crc }) if command == self.commands => {
                if let Some(byte) = self.answer.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                if crc {
                    seal(&mut self.answer);
                }
            }
            _ => {}
        }
    }

    fn transfer(&mut self, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let number = self.transfers;
        self.transfers += 1;
        if let Some(Fault::Transfer { at, times, kind }) = self.fault
            && (at..at + times).contains(&number)
        {
            return Err(kind);
        }
        match operations {
            [Operation::Write(frame)] => {
                if let Some(answer) = &self.answer_with {
                    self.answer.clone_from(answer);
                } else {
                    self.answer = self.execute(frame);
                    self.answers.push(self.answer.clone());
                }
                self.spoil();
                self.commands += 1;
            }
            [Operation::Read(out)] => {
                let answer = self.answer.iter().copied().chain(std::iter::repeat(0xFF));
                out.iter_mut().zip(answer).for_each(|(to, from)| *to = from);
            }
            other => panic!("{other:?}"),
        }
        match self.fault {
            Some(Fault::AfterTransfer { at, kind }) if at == number => Err(kind),
            _ => Ok(()),
        }
    }
}

/// Makes the last two bytes of a response the right checksum.
pub fn seal(frame: &mut [u8]) {
    if let [header, _, _, body @ .., high, low] = frame {
        let sum = stsafe_a100::wire::Crc::new().update(&[*header]).update(body).finish();
        [*high, *low] = sum.to_be_bytes();
    }
}

fn emit(frame: &ResponseFrame<'_>) -> Vec<u8> {
    let mut out = vec![0; MAX_RESPONSE];
    let len = frame.emit(CrcMode::On, &mut out).unwrap();
    out.truncate(len);
    out
}

fn respond(command: &Command<'_>, counter: u32, rules: &Rules) -> Vec<u8> {
    let mut buf = [0; 512];
    let mut w = Writer::new(&mut buf);
    let point = Point { x: &[1; 32], y: &[2; 32] };
    match *command {
        Command::Echo(data) => w.bytes(data),
        Command::GenerateRandom { len } => w.bytes(&[0x5A; 255][..usize::from(len)]),
        Command::GenerateChallenge => w.bytes(&[7; 16]),
        Command::Decrement { .. } => w.u32(41),
        // Zone 0 starts like a certificate of 300 bytes, zone 5 is a counter.
        Command::Read { zone: 0, len: 4, .. } => w.bytes(&[0x30, 0x82, 0x01, 0x28]),
        Command::Read { zone: 5, len, .. } => w.u32(42).and_then(|()| w.bytes(&[9; 504][..usize::from(len)])),
        Command::Read { len, .. } => w.bytes(&[8; 504][..usize::from(len)]),
        Command::WrapLocalEnvelope { data, .. } => w.bytes(data).and_then(|()| w.bytes(&[3; 8])),
        Command::UnwrapLocalEnvelope { envelope, .. } => w.bytes(&envelope[8..]),
        Command::GenerateKeyPair { .. } => emit_point(&point, &mut w),
        Command::GenerateSignature { digest, .. } => {
            let signature: p256::ecdsa::Signature = signing_key().sign_prehash(digest).unwrap();
            let (r, s) = signature.split_bytes();
            w.lv2(&r).and_then(|()| w.lv2(&s))
        }
        Command::GetSignature { .. } => w.lv2(&[4; 32]).and_then(|()| w.lv2(&[5; 32])),
        Command::VerifySignature { .. } | Command::VerifyEntitySignature(_) => w.u8(1),
        Command::EstablishKey { .. } => w.lv2(&[6; 32]),
        Command::VerifyPassword(_) => w.bytes(&[1, 3]),
        Command::Query(query) => match query {
            Query::EnvelopeKeyTable => w.bytes(&[2, 0, 1, 0, 1, 0]),
            Query::LifeCycle => w.u8(3),
            Query::I2cParameters => w.bytes(&[0x40, 0]),
            Query::PublicKeySlot => emit_public_key_slot(Some((Curve::NistP256, point)), &mut w),
            Query::ProductData => {
                let product = ProductData {
                    mask_id: if rules.family() == Family::A110 { [0, 0x46, 1] } else { [0, 0x40, 0] },
                    serial: [1; 9],
                    io_buffer: Some(507),
                    atomicity_buffer: Some(64),
                    nvm: Some(6144),
                    test_date: None,
                    version: Some(1),
                    module_date: None,
                };
                product.emit(&mut w)
            }
            Query::DataPartition => w.bytes(&[2, 0, 0, 0, 3, 0xE8, 5, 1, 0, 0, 64, 0, 0, 0, 42]),
            Query::PrivateKeyTable => w.bytes(&[2, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0]),
            Query::HostKeySlot => HostKeySlot::Present { counter: Counter::new(counter) }.emit(&mut w),
            Query::CommandAuthorisation => {
                let count = u8::try_from(Code::ALL.len()).unwrap();
                w.bytes(&[0, count]).unwrap();
                Code::ALL.into_iter().try_for_each(|code| {
                    let Rule { access, encryption, .. } = rules.of(code);
                    Authorisation { code: code.bits(), access, encryption }.emit(&mut w)
                })
            }
        },
        _ => Ok(()),
    }
    .unwrap();
    w.finish().to_vec()
}

impl ErrorType for Fake {
    type Error = ErrorKind;
}

impl embedded_hal::i2c::I2c for Fake {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        self.transfer(operations)
    }
}

/// A bus on which a transfer does not end at once: the chip sees it before or after the wait.
#[derive(Debug)]
pub struct Slow {
    pub fake: Fake,
    /// The transfer to wait at, and whether the chip sees it before the wait.
    pub wait: Option<(usize, bool)>,
}

impl ErrorType for Slow {
    type Error = ErrorKind;
}

impl embedded_hal_async::i2c::I2c for Slow {
    async fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        match self.wait {
            Some((at, seen)) if at == self.fake.transfers => {
                if seen {
                    self.fake.transfer(operations)?;
                } else {
                    self.fake.transfers += 1;
                }
                std::future::pending().await
            }
            _ => self.fake.transfer(operations),
        }
    }
}

//! The commands: what each one's data field holds, emitted by the host and parsed by a (virtual) chip.

mod attribute;
mod key;
mod query;

pub use attribute::{Attribute, I2cParameters, LifeCycle, LifeCycleState, LowPower};
pub use key::{EnvelopeKeyKind, KeyMode};
pub use query::Query;

use crate::code::Code;
use crate::codec::{Reader, Writer, len16};
use crate::curve::{Curve, Point, Rs, check_digest};
use crate::error::{InputError, ProtocolError};
use crate::frame::MAX_DATA;
use crate::response::Family;
use crate::zone::{MAX_ATOMIC, ZoneOptions};

/// Most bytes a local envelope can hold.
pub const MAX_WRAP: usize = 480;
/// Bytes an envelope is longer than its content.
pub const ENVELOPE_OVERHEAD: usize = 8;
/// Bytes of a challenge of the chip.
pub const CHALLENGE_LEN: usize = 16;
/// Bytes of a password.
pub const PASSWORD_LEN: usize = 16;

/// How to hibernate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WakeUp {
    /// 1: an I2C START condition or the reset pin wakes the chip.
    I2cOrReset,
    /// 2: only the reset pin wakes the chip.
    ResetOnly,
}

/// A command with its arguments, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Returns the bytes.
    Echo(&'a [u8]),
    /// Restarts the chip; an open session ends.
    Reset,
    /// Gives random bytes.
    GenerateRandom {
        /// How many, 1 to 255.
        len: u8,
    },
    /// Gives a challenge of [`CHALLENGE_LEN`] bytes, to be signed by another entity.
    GenerateChallenge,
    /// Starts a signature session.
    StartSignatureSession {
        /// The private key's slot.
        slot: u8,
    },
    /// Lowers a counter and overwrites bytes beside it, in one step.
    Decrement {
        /// Options; never atomic.
        options: ZoneOptions,
        /// The zone.
        zone: u8,
        /// Where the bytes go.
        offset: u16,
        /// By how much the counter goes down.
        amount: u32,
        /// The bytes.
        data: &'a [u8],
    },
    /// Reads a zone.
    Read {
        /// Options; never atomic.
        options: ZoneOptions,
        /// The zone.
        zone: u8,
        /// From where.
        offset: u16,
        /// How many bytes, not counting a counter's value.
        len: u16,
    },
    /// Writes to a zone.
    Update {
        /// Options.
        options: ZoneOptions,
        /// The zone.
        zone: u8,
        /// Where to.
        offset: u16,
        /// The bytes.
        data: &'a [u8],
    },
    /// Deletes the password.
    DeletePassword,
    /// Sleeps.
    Hibernate(WakeUp),
    /// Encrypts data under a local envelope key.
    WrapLocalEnvelope {
        /// The envelope key's slot.
        slot: u8,
        /// 16 to [`MAX_WRAP`] bytes, a multiple of 8.
        data: &'a [u8],
    },
    /// Decrypts an envelope.
    UnwrapLocalEnvelope {
        /// The envelope key's slot.
        slot: u8,
        /// The envelope, [`ENVELOPE_OVERHEAD`] bytes longer than its content.
        envelope: &'a [u8],
    },
    /// Sets an attribute.
    PutAttribute(Attribute<'a>),
    /// Makes a key pair, replacing the slot's.
    GenerateKeyPair {
        /// The private key's slot.
        slot: u8,
        /// How often the key may be used; 0xFFFF: without limit.
        use_limit: u16,
        /// What the key may be used for.
        mode: KeyMode,
        /// The curve.
        curve: Curve,
    },
    /// Makes a local envelope key in an empty slot.
    GenerateEnvelopeKey {
        /// The slot.
        slot: u8,
        /// AES-128 or AES-256.
        kind: EnvelopeKeyKind,
        /// Usually empty.
        seed: &'a [u8],
    },
    /// Asks for a property.
    Query(Query),
    /// Ends a signature session with a signature over it.
    GetSignature {
        /// Bytes of the host that enter the signature; may be empty.
        challenge: &'a [u8],
    },
    /// Signs a digest.
    GenerateSignature {
        /// The private key's slot.
        slot: u8,
        /// 32 or 48 bytes, as the key's curve; not all zero.
        digest: &'a [u8],
    },
    /// Verifies a signature with a key of the host's choice.
    VerifySignature {
        /// The curve.
        curve: Curve,
        /// The public key.
        key: Point<'a>,
        /// The signature.
        signature: Rs<'a>,
        /// The digest; not all zero.
        digest: &'a [u8],
    },
    /// Verifies a signature over the last challenge with the key of the public key slot.
    VerifyEntitySignature(Rs<'a>),
    /// Computes an ECDH shared secret.
    EstablishKey {
        /// The private key's slot.
        slot: u8,
        /// The peer's public key.
        peer: Point<'a>,
    },
    /// Checks the password.
    VerifyPassword(&'a [u8; PASSWORD_LEN]),
}

const RANDOM: u8 = 0x00;
const RANDOM_CHALLENGE: u8 = 0x01;
const SIGNATURE_SESSION: u8 = 0x08;
const DELETE_PASSWORD: u8 = 0x09;
const ENVELOPE_KEY: u8 = 0x07;
const KEY_PAIR: u8 = 0x13;
const VERIFY_MESSAGE: u8 = 0x00;
const VERIFY_ENTITY: u8 = 0x01;

impl<'a> Command<'a> {
    /// The command's code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Echo(_) => Code::Echo,
            Self::Reset => Code::Reset,
            Self::GenerateRandom { .. } | Self::GenerateChallenge => Code::GenerateRandom,
            Self::StartSignatureSession { .. } => Code::StartSession,
            Self::Decrement { .. } => Code::Decrement,
            Self::Read { .. } => Code::Read,
            Self::Update { .. } => Code::Update,
            Self::DeletePassword => Code::Delete,
            Self::Hibernate(_) => Code::Hibernate,
            Self::WrapLocalEnvelope { .. } => Code::WrapLocalEnvelope,
            Self::UnwrapLocalEnvelope { .. } => Code::UnwrapLocalEnvelope,
            Self::PutAttribute(_) => Code::PutAttribute,
            Self::GenerateKeyPair { .. } | Self::GenerateEnvelopeKey { .. } => Code::GenerateKey,
            Self::Query(_) => Code::Query,
            Self::GetSignature { .. } => Code::GetSignature,
            Self::GenerateSignature { .. } => Code::GenerateSignature,
            Self::VerifySignature { .. } | Self::VerifyEntitySignature(_) => Code::VerifySignature,
            Self::EstablishKey { .. } => Code::EstablishKey,
            Self::VerifyPassword(_) => Code::VerifyPassword,
        }
    }

    /// The only family that has the command; `None` if all have it.
    #[must_use]
    pub const fn only_family(&self) -> Option<Family> {
        match self {
            Self::GenerateChallenge
            | Self::VerifyEntitySignature(_)
            | Self::StartSignatureSession { .. }
            | Self::GetSignature { .. }
            | Self::PutAttribute(Attribute::PublicKey { .. })
            | Self::Query(Query::PublicKeySlot) => Some(Family::A100),
            Self::Query(Query::CommandAuthorisation) => Some(Family::A110),
            _ => None,
        }
    }

    /// Appends the data field.
    ///
    /// # Errors
    /// [`InputError`] for arguments the chip must not get, or if the field exceeds the writer.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        match *self {
            Self::Echo(data) => {
                check_max(data, MAX_DATA)?;
                w.bytes(data)
            }
            Self::Reset => Ok(()),
            Self::GenerateRandom { len: 0 } => Err(InputError::Length { actual: 0 }),
            Self::GenerateRandom { len } => w.bytes(&[RANDOM, len]),
            Self::GenerateChallenge => w.u8(RANDOM_CHALLENGE),
            Self::StartSignatureSession { slot } => w.bytes(&[SIGNATURE_SESSION, slot]),
            Self::Decrement { options, zone, offset, amount, data } => {
                check_not_atomic(options)?;
                w.bytes(&[options.to_byte(), zone])?;
                w.u16(offset)?;
                w.u32(amount)?;
                w.bytes(data)
            }
            Self::Read { options, zone, offset, len } => {
                check_not_atomic(options)?;
                w.bytes(&[options.to_byte(), zone])?;
                w.u16(offset)?;
                w.u16(len)
            }
            Self::Update { options, zone, offset, data } => {
                if options.atomic {
                    check_max(data, MAX_ATOMIC)?;
                }
                w.bytes(&[options.to_byte(), zone])?;
                w.u16(offset)?;
                w.bytes(data)
            }
            Self::DeletePassword => w.u8(DELETE_PASSWORD),
            Self::Hibernate(WakeUp::I2cOrReset) => w.u8(1),
            Self::Hibernate(WakeUp::ResetOnly) => w.u8(2),
            Self::WrapLocalEnvelope { slot, data } => {
                check_envelope(data, data.len())?;
                w.u8(slot)?;
                w.bytes(data)
            }
            Self::UnwrapLocalEnvelope { slot, envelope } => {
                check_envelope(envelope, envelope.len().saturating_sub(ENVELOPE_OVERHEAD))?;
                w.u8(slot)?;
                w.bytes(envelope)
            }
            Self::PutAttribute(attribute) => attribute.emit(w),
            Self::GenerateKeyPair { slot, use_limit, mode, curve } => {
                w.bytes(&[KEY_PAIR, slot])?;
                w.u16(use_limit)?;
                w.u16(mode.bits())?;
                curve.emit(w)
            }
            Self::GenerateEnvelopeKey { slot, kind, seed } => {
                w.bytes(&[ENVELOPE_KEY, slot, kind.code()])?;
                w.bytes(seed)
            }
            Self::Query(query) => w.u8(query.tag()),
            Self::GetSignature { challenge } => w.bytes(challenge),
            Self::GenerateSignature { slot, digest } => {
                check_digest(digest)?;
                w.u8(slot)?;
                w.lv2(digest)
            }
            Self::VerifySignature { curve, key, signature, digest } => {
                check_digest(digest)?;
                for len in [key.x.len(), signature.r.len(), digest.len()] {
                    if len != curve.field_len() {
                        return Err(InputError::CurveMismatch);
                    }
                }
                w.u8(VERIFY_MESSAGE)?;
                curve.emit(w)?;
                key.emit(w)?;
                signature.emit(w)?;
                w.lv2(digest)
            }
            Self::VerifyEntitySignature(signature) => {
                w.u8(VERIFY_ENTITY)?;
                signature.emit(w)
            }
            Self::EstablishKey { slot, peer } => {
                w.u8(slot)?;
                peer.emit(w)
            }
            Self::VerifyPassword(password) => w.bytes(password),
        }
    }

    /// Takes a data field apart (the chip's side; decrypt it before). Values are not judged beyond the shape of the
    /// field, so that a virtual chip can give the status a chip would give.
    ///
    /// # Errors
    /// [`ProtocolError::UnknownCommand`] for a code this driver does not have; [`ProtocolError::DataLength`] or
    /// [`ProtocolError::Value`] for a field of another shape.
    pub fn parse(code: u8, data: &'a [u8]) -> Result<Self, ProtocolError> {
        let code = Code::from_bits(code).ok_or(ProtocolError::UnknownCommand(code))?;
        let mut r = Reader::new(data);
        let command = match code {
            Code::Echo => Self::Echo(r.rest()),
            Code::Reset => Self::Reset,
            Code::GenerateRandom => match r.u8()? {
                RANDOM => Self::GenerateRandom { len: r.u8()? },
                RANDOM_CHALLENGE => Self::GenerateChallenge,
                other => return Err(r.bad(other)),
            },
            Code::StartSession => {
                expect(&mut r, SIGNATURE_SESSION)?;
                Self::StartSignatureSession { slot: r.u8()? }
            }
            Code::Decrement => Self::Decrement {
                options: options(&mut r)?,
                zone: r.u8()?,
                offset: r.u16()?,
                amount: r.u32()?,
                data: r.rest(),
            },
            Code::Read => {
                Self::Read { options: options(&mut r)?, zone: r.u8()?, offset: r.u16()?, len: r.u16()? }
            }
            Code::Update => {
                Self::Update { options: options(&mut r)?, zone: r.u8()?, offset: r.u16()?, data: r.rest() }
            }
            Code::Delete => {
                expect(&mut r, DELETE_PASSWORD)?;
                Self::DeletePassword
            }
            Code::Hibernate => Self::Hibernate(match r.u8()? {
                1 => WakeUp::I2cOrReset,
                2 => WakeUp::ResetOnly,
                other => return Err(r.bad(other)),
            }),
            Code::WrapLocalEnvelope => Self::WrapLocalEnvelope { slot: r.u8()?, data: r.rest() },
            Code::UnwrapLocalEnvelope => Self::UnwrapLocalEnvelope { slot: r.u8()?, envelope: r.rest() },
            Code::PutAttribute => Self::PutAttribute(Attribute::parse(&mut r)?),
            Code::GenerateKey => match r.u8()? {
                KEY_PAIR => Self::GenerateKeyPair {
                    slot: r.u8()?,
                    use_limit: r.u16()?,
                    mode: KeyMode::from_bits(r.u16()?),
                    curve: Curve::parse(&mut r)?,
                },
                ENVELOPE_KEY => Self::GenerateEnvelopeKey {
                    slot: r.u8()?,
                    kind: EnvelopeKeyKind::parse(&mut r)?,
                    seed: r.rest(),
                },
                other => return Err(r.bad(other)),
            },
            Code::Query => Self::Query(Query::parse(&mut r)?),
            Code::GetSignature => Self::GetSignature { challenge: r.rest() },
            Code::GenerateSignature => Self::GenerateSignature { slot: r.u8()?, digest: r.lv2()? },
            Code::VerifySignature => match r.u8()? {
                VERIFY_MESSAGE => Self::VerifySignature {
                    curve: Curve::parse(&mut r)?,
                    key: Point::parse(&mut r)?,
                    signature: Rs::parse(&mut r)?,
                    digest: r.lv2()?,
                },
                VERIFY_ENTITY => Self::VerifyEntitySignature(Rs::parse(&mut r)?),
                other => return Err(r.bad(other)),
            },
            Code::EstablishKey => Self::EstablishKey { slot: r.u8()?, peer: Point::parse(&mut r)? },
            Code::VerifyPassword => Self::VerifyPassword(r.array()?),
        };
        r.end()?;
        Ok(command)
    }
}

fn expect(r: &mut Reader<'_>, tag: u8) -> Result<(), ProtocolError> {
    match r.u8()? {
        value if value == tag => Ok(()),
        other => Err(r.bad(other)),
    }
}

fn options(r: &mut Reader<'_>) -> Result<ZoneOptions, ProtocolError> {
    let byte = r.u8()?;
    ZoneOptions::from_byte(byte).ok_or_else(|| r.bad(byte))
}

fn check_max(data: &[u8], max: usize) -> Result<(), InputError> {
    if data.len() > max { Err(InputError::TooLong { max: len16(max) }) } else { Ok(()) }
}

fn check_not_atomic(options: ZoneOptions) -> Result<(), InputError> {
    if options.atomic { Err(InputError::Value) } else { Ok(()) }
}

/// The content of an envelope: AES key wrap works on whole halves of a block, at least two.
fn check_envelope(given: &[u8], content: usize) -> Result<(), InputError> {
    if (16..=MAX_WRAP).contains(&content) && content.is_multiple_of(8) {
        Ok(())
    } else {
        Err(InputError::Length { actual: len16(given.len()) })
    }
}

#[cfg(test)]
mod tests;

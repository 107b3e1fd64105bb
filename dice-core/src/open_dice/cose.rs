//! COSE (RFC 9052, RFC 9053): `COSE_Key` and `COSE_Sign1` as the profile uses them.

use super::cbor::{CborProblem, Kind, Reader, Writer};
use super::{Algorithm, KeyPair, PublicKey};
use crate::key::P256;
use crate::{Error, Result};

// Labels of COSE_Key (RFC 9052 §7.1, RFC 9053 §7).
const KTY: i64 = 1;
const ALG: i64 = 3;
const KEY_OPS: i64 = 4;
const CRV: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;

/// Key operation "verify" (RFC 9052 §7.1).
const VERIFY: u64 = 2;

/// Key type and curve in the IANA registries "COSE Key Types" and "COSE Elliptic Curves".
const fn key_type(algorithm: Algorithm) -> (i64, i64) {
    match algorithm {
        Algorithm::P256 => (2, 1),
        #[cfg(feature = "p384")]
        Algorithm::P384 => (2, 2),
        #[cfg(feature = "ed25519")]
        Algorithm::Ed25519 => (1, 6),
    }
}

impl Algorithm {
    /// The algorithms that are switched on.
    const ALL: &[Self] = &[
        Self::P256,
        #[cfg(feature = "p384")]
        Self::P384,
        #[cfg(feature = "ed25519")]
        Self::Ed25519,
    ];

    /// Whether keys are points of two coordinates.
    const fn has_y(self) -> bool {
        match self {
            Self::P256 => true,
            #[cfg(feature = "p384")]
            Self::P384 => true,
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => false,
        }
    }
}

impl PublicKey {
    /// Writes the key as `COSE_Key`, with the algorithm and "verify" as its only operation.
    pub fn write_cose(&self, writer: &mut Writer<'_>) {
        let algorithm = self.algorithm();
        let (kty, crv) = key_type(algorithm);
        let coordinates = self.as_bytes();
        writer.map(if algorithm.has_y() { 6 } else { 5 });
        writer.integer(KTY);
        writer.integer(kty);
        writer.integer(ALG);
        writer.integer(algorithm.cose_id());
        writer.integer(KEY_OPS);
        writer.array(1);
        writer.unsigned(VERIFY);
        writer.integer(CRV);
        writer.integer(crv);
        writer.integer(X);
        if algorithm.has_y() {
            let (x, y) = coordinates.split_at_checked(coordinates.len() / 2).unwrap_or_default();
            writer.bytes(x);
            writer.integer(Y);
            writer.bytes(y);
        } else {
            writer.bytes(coordinates);
        }
    }

    /// Reads a `COSE_Key`.
    ///
    /// Algorithm and operations may be left out; if they are there, the algorithm has to be the curve's and the
    /// operations have to include "verify". Labels may come in any order, other labels and compressed points are
    /// refused.
    ///
    /// # Errors
    /// [`Error::Cbor`] with the position of what is wrong, [`Error::Algorithm`] for keys that are not supported, and
    /// [`Error::PublicKey`] if the coordinates are no valid key.
    pub fn read_cose(reader: &mut Reader<'_>) -> Result<Self> {
        let start = reader.clone();
        let pairs = reader.map()?;
        let (mut kty, mut alg, mut operations, mut crv, mut x, mut y) = (None, None, None, None, None, None);
        for _ in 0..pairs {
            let label_at = reader.clone();
            let label = reader.integer()?;
            let first = match label {
                KTY => kty.replace(reader.integer()?).is_none(),
                ALG => alg.replace(reader.integer()?).is_none(),
                KEY_OPS => operations.replace(read_operations(reader)?).is_none(),
                CRV => crv.replace(reader.integer()?).is_none(),
                X => x.replace(reader.bytes()?).is_none(),
                Y => y.replace(reader.bytes()?).is_none(),
                _ => return Err(label_at.problem(CborProblem::Value)),
            };
            if !first {
                return Err(label_at.problem(CborProblem::DuplicateLabel { label }));
            }
        }
        let missing = |label| start.problem(CborProblem::MissingLabel { label });
        let kind = (kty.ok_or(missing(KTY))?, crv.ok_or(missing(CRV))?);
        let x = x.ok_or(missing(X))?;
        let Some(algorithm) = Algorithm::ALL.iter().copied().find(|known| key_type(*known) == kind) else {
            return Err(alg.map_or(start.problem(CborProblem::Value), |cose_id| Error::Algorithm { cose_id }));
        };
        if alg.is_some_and(|id| id != algorithm.cose_id()) || operations == Some(false) {
            return Err(start.problem(CborProblem::Value));
        }
        if !algorithm.has_y() {
            return match y {
                None => Self::from_bytes(algorithm, x),
                Some(_) => Err(start.problem(CborProblem::Value)),
            };
        }
        let y = y.ok_or(missing(Y))?;
        let mut joined = [0; MAX_PUBLIC_KEY_LEN];
        let half = algorithm.public_key_len() / 2;
        if x.len() != half || y.len() != half {
            return Err(Error::PublicKey);
        }
        joined.iter_mut().zip(x.iter().chain(y)).for_each(|(to, from)| *to = *from);
        Self::from_bytes(algorithm, joined.get(..2 * half).unwrap_or_default())
    }
}

/// The longest raw public key in bytes.
const MAX_PUBLIC_KEY_LEN: usize = 96;

/// Whether the list of key operations includes "verify".
fn read_operations(reader: &mut Reader<'_>) -> Result<bool> {
    let mut verify = false;
    for _ in 0..reader.array()? {
        verify |= reader.integer()? == 2;
    }
    Ok(verify)
}

/// What comes before the protected header in a `Sig_structure` (RFC 9052 §4.4): the array and its context string.
const SIG_STRUCTURE_START: &[u8] = b"\x84\x6aSignature1";
/// The external data of a `Sig_structure`: an empty byte string.
const NO_EXTERNAL_DATA: u8 = 0x40;
/// The unprotected header of a `COSE_Sign1`: an empty map.
const NO_UNPROTECTED: u8 = 0xa0;

/// Writes the protected header: a byte string with a map that names the algorithm.
fn write_protected(writer: &mut Writer<'_>, algorithm: Algorithm) {
    writer.bytes_of(|writer| {
        writer.map(1);
        writer.integer(1); // alg
        writer.integer(algorithm.cose_id());
    });
}

/// Writes the untagged `COSE_Sign1` around what `payload` writes, and gives the part of `out` used.
///
/// The structure that is signed differs from the message only in its beginning and one byte in its middle. So it is
/// written to `out` first, signed there, and then turned into the message.
pub(super) fn sign1<'b, B: P256>(
    key: &KeyPair<B>,
    payload: impl Fn(&mut Writer<'_>),
    out: &'b mut [u8],
) -> Result<&'b [u8]> {
    let algorithm = key.algorithm();
    let available = out.len();
    let protected_len = Writer::measure(|writer| write_protected(writer, algorithm));
    let to_be_signed = |writer: &mut Writer<'_>| {
        writer.raw(SIG_STRUCTURE_START);
        write_protected(writer, algorithm);
        writer.raw(&[NO_EXTERNAL_DATA]);
        writer.bytes_of(&payload);
    };
    let signed_len = Writer::measure(to_be_signed);
    let removed = SIG_STRUCTURE_START.len() - 1;
    let message_len = signed_len.saturating_sub(removed);
    let signature_len = algorithm.signature_len();
    let needed = message_len.saturating_add(2 + signature_len);
    // The message with its signature is longer than the structure, so that one check covers both.
    if available < needed {
        return Err(Error::BufferTooSmall { needed, available });
    }
    let mut writer = Writer::new(&mut *out);
    to_be_signed(&mut writer);
    let signature = key.sign(writer.finish()?)?;

    out.copy_within(SIG_STRUCTURE_START.len()..signed_len, 1);
    if let Some(unprotected) = out.get_mut(1 + protected_len) {
        *unprotected = NO_UNPROTECTED;
    }
    let mut writer = Writer::resume(out, message_len);
    writer.bytes(signature.as_bytes());
    writer.finish()
}

/// A parsed `COSE_Sign1` whose signature has not been checked yet.
#[derive(Clone, Debug)]
pub struct Sign1<'a> {
    algorithm: Algorithm,
    protected: &'a [u8],
    payload: Reader<'a>,
    payload_bytes: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Reads an untagged `COSE_Sign1`: the protected header names the algorithm and nothing else, the unprotected one
    /// is empty, the payload is inside.
    ///
    /// # Errors
    /// [`Error::Cbor`] with the position of what is wrong, [`Error::Algorithm`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let start = reader.clone();
        let items = reader.array()?;
        if items != 4 {
            return Err(start.problem(CborProblem::Count { found: items }));
        }
        let protected_at = reader.clone();
        let protected = reader.bytes()?;
        let mut header = protected_at.clone().bytes_reader()?;
        expect_pairs(&mut header, 1)?;
        expect_label(&mut header, 1)?;
        let algorithm = Algorithm::from_cose_id(header.integer()?)?;
        header.finish()?;
        expect_pairs(reader, 0)?;
        let mut payload_at = reader.clone();
        let payload_bytes = reader.bytes()?;
        let payload = payload_at.bytes_reader()?;
        let signature_at = reader.clone();
        let signature = reader.bytes()?;
        let expected = algorithm.signature_len();
        if signature.len() != expected {
            let found = signature.len();
            return Err(signature_at.problem(CborProblem::Length { expected, found }));
        }
        Ok(Self { algorithm, protected, payload, payload_bytes, signature })
    }

    /// The signature algorithm the message names.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A reader for the payload.
    #[must_use]
    pub fn payload(&self) -> Reader<'a> {
        self.payload.clone()
    }

    /// The bytes of the payload.
    #[must_use]
    pub const fn payload_bytes(&self) -> &'a [u8] {
        self.payload_bytes
    }

    /// The signature in its fixed form.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`Error::SignatureMismatch`], also if the message names another algorithm than the key's.
    pub fn verify(&self, key: &PublicKey) -> Result<()> {
        if key.algorithm() != self.algorithm {
            return Err(Error::SignatureMismatch);
        }
        let mut buffers = [[0; 9]; 2];
        let [protected_head, payload_head] = &mut buffers;
        let protected_head = bytes_head(protected_head, self.protected.len())?;
        let payload_head = bytes_head(payload_head, self.payload_bytes.len())?;
        let signed: [&[u8]; 6] = [
            SIG_STRUCTURE_START,
            protected_head,
            self.protected,
            &[NO_EXTERNAL_DATA],
            payload_head,
            self.payload_bytes,
        ];
        key.verify(&signed, self.signature)
    }
}

/// The bytes that begin a byte string of `len` bytes.
fn bytes_head(buffer: &mut [u8; 9], len: usize) -> Result<&[u8]> {
    let mut writer = Writer::new(buffer);
    writer.head(Kind::Bytes, u64::try_from(len).unwrap_or(u64::MAX));
    writer.finish()
}

/// Reads the beginning of a map that has to have this number of pairs.
pub(super) fn expect_pairs(reader: &mut Reader<'_>, pairs: usize) -> Result<()> {
    let start = reader.clone();
    let found = reader.map()?;
    if found == pairs { Ok(()) } else { Err(start.problem(CborProblem::Count { found })) }
}

/// Reads a map label that has to be this one.
pub(super) fn expect_label(reader: &mut Reader<'_>, expected: i64) -> Result<()> {
    let start = reader.clone();
    let found = reader.integer()?;
    if found == expected { Ok(()) } else { Err(start.problem(CborProblem::Label { expected, found })) }
}

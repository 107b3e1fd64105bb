//! The crate's one error type: what was wrong, where, and with what value.

#[cfg(feature = "cbor")]
use crate::open_dice::{ChainProblem, cbor::CborProblem};
use core::fmt;

/// Everything that can go wrong in this crate.
///
/// Each variant names the input at fault and, where there is one, the position; none carries secret material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Hexadecimal text has the wrong number of characters.
    HexLength {
        /// Characters wanted.
        expected: usize,
        /// Characters found.
        found: usize,
    },
    /// A character is not a hexadecimal digit.
    HexDigit {
        /// Position of the character, counted in characters from 0.
        index: usize,
        /// The character itself. A wrong character of a mistyped secret is not the secret.
        found: char,
    },
    /// All 32 bytes of a device secret are the same: an erased or cleared memory, not a secret.
    UdsAllEqual {
        /// The repeated byte.
        byte: u8,
    },
    /// The caller's buffer is too small.
    BufferTooSmall {
        /// Bytes needed. For structures that end in an ECDSA signature this counts the longest signature.
        needed: usize,
        /// Bytes available.
        available: usize,
    },
    /// A derived or given private scalar is zero or not below the group order.
    ///
    /// For a derived key the chance is about 2<sup>-32</sup>; another secret has to be used.
    ScalarOutOfRange,
    /// Bytes are not a public key on the curve, or not in the encoding wanted.
    PublicKey,
    /// A signature's encoding is not strict DER or its integers are out of range.
    SignatureEncoding,
    /// A signature does not verify.
    SignatureMismatch,
    /// A key derivation was asked for more output than the function can give.
    OutputTooLong {
        /// Bytes asked for.
        requested: usize,
        /// The most the function gives.
        limit: usize,
    },
    /// A registration id is empty or longer than its use allows.
    RegistrationIdLength {
        /// Characters found.
        found: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A registration id has a character other than `a-z`, `0-9` and `-`.
    RegistrationIdCharacter {
        /// Position of the character, counted in characters from 0.
        index: usize,
        /// The character itself.
        found: char,
    },
    /// A firmware version is not three decimal numbers with dots between them.
    FirmwareVersion {
        /// Position of the first character that does not fit, or the length if something is missing.
        index: usize,
    },
    /// The measured RIoT core has fewer bytes than the `riot` profile takes.
    CoreTooShort {
        /// Bytes measured.
        found: u64,
        /// The least the profile takes.
        minimum: u64,
    },
    /// Nothing was measured: the firmware has no bytes.
    EmptyMeasurement,
    /// A text that goes into a certificate is empty or too long.
    TextLength {
        /// Which text.
        text: &'static str,
        /// Bytes found.
        found: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A text that goes into a certificate has a character that is not allowed there.
    TextCharacter {
        /// Which text.
        text: &'static str,
        /// Position of the character, counted in characters from 0.
        index: usize,
        /// The character itself.
        found: char,
    },
    /// There is no complete PEM block with the label wanted.
    PemMissing {
        /// The label.
        label: crate::pem::Label,
    },
    /// A PEM block contains something other than base64.
    PemBase64 {
        /// Position in the text, in bytes, of the group of four characters that is wrong.
        offset: usize,
    },
    /// A DER value could not be built or read.
    Der(der::Error),
    /// A key or signature algorithm that is not supported, or whose feature is off.
    Algorithm {
        /// Its identifier in the IANA registry "COSE Algorithms".
        cose_id: i64,
    },
    /// CBOR data is malformed or not what belongs there.
    #[cfg(feature = "cbor")]
    Cbor {
        /// Position of the item at fault, in bytes from the start of the input.
        offset: usize,
        /// What is wrong with it.
        problem: CborProblem,
    },
    /// A certificate does not fit into its place in a chain.
    #[cfg(feature = "cbor")]
    Chain {
        /// The certificate's place, counted from 0 below the root.
        layer: usize,
        /// What does not fit.
        problem: ChainProblem,
    },
    /// A certificate of a chain is refused.
    #[cfg(feature = "verify")]
    Refused {
        /// The certificate at fault, counted from 0 below the trust anchor. An anchor at fault counts as 0 too.
        certificate: usize,
        /// Why.
        reason: crate::verify::Reason,
    },
}

/// Shorthand for results of this crate.
pub type Result<T> = core::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::HexLength { expected, found } => {
                write!(f, "{expected} hexadecimal digits wanted, {found} characters found")
            }
            Self::HexDigit { index, found } => {
                write!(f, "{} is not a hexadecimal digit", Character { index, found })
            }
            Self::UdsAllEqual { byte } => {
                write!(
                    f,
                    "every byte of the device secret is {byte:#04x}: this is blank memory, not a secret"
                )
            }
            Self::BufferTooSmall { needed, available } => {
                write!(f, "buffer of {available} bytes is too small, {needed} are needed")
            }
            Self::ScalarOutOfRange => f.write_str("private scalar is zero or not below the group order"),
            Self::PublicKey => f.write_str("not a valid public key on the curve"),
            Self::SignatureEncoding => f.write_str("signature is not well formed"),
            Self::SignatureMismatch => f.write_str("signature does not verify"),
            Self::OutputTooLong { requested, limit } => {
                write!(f, "{requested} bytes of derived key asked for, the function gives at most {limit}")
            }
            Self::RegistrationIdLength { found, limit } => {
                write!(f, "registration id has {found} characters, 1 to {limit} are allowed here")
            }
            Self::RegistrationIdCharacter { index, found } => write!(
                f,
                "{} of the registration id: only a-z, 0-9 and - are allowed",
                Character { index, found }
            ),
            Self::FirmwareVersion { index } => write!(
                f,
                "firmware version is wrong at position {index} (counted from 0): \
                 three decimal numbers with dots between them are wanted, as in 2.0.0"
            ),
            Self::CoreTooShort { found, minimum } => {
                write!(f, "the RIoT core has {found} bytes, at least {minimum} have to be measured")
            }
            Self::EmptyMeasurement => f.write_str("no firmware was measured: it has no bytes"),
            Self::TextLength { text, found, limit } => {
                write!(f, "{text} has {found} bytes, 1 to {limit} are allowed")
            }
            Self::TextCharacter { text, index, found } => {
                write!(f, "{} of {text} is not allowed", Character { index, found })
            }
            Self::PemMissing { label } => write!(f, "there is no complete PEM block \"{}\"", label.as_str()),
            Self::PemBase64 { offset } => write!(f, "the PEM text is not base64 at byte {offset}"),
            // The cause's own words, tables of names among them, are for those who ask for `source`.
            Self::Der(ref cause) => match cause.position() {
                Some(position) => write!(f, "DER is not as it must be at byte {}", u32::from(position)),
                None => f.write_str("DER is not as it must be"),
            },
            Self::Algorithm { cose_id } => write!(f, "COSE algorithm {cose_id} is not supported"),
            #[cfg(feature = "cbor")]
            Self::Cbor { offset, problem } => write!(f, "CBOR at byte {offset}: {problem}"),
            #[cfg(feature = "verify")]
            Self::Refused { certificate, ref reason } => {
                write!(f, "certificate {certificate} is refused: {reason}")
            }
            #[cfg(feature = "cbor")]
            Self::Chain { layer, problem } => write!(f, "certificate of layer {layer}: {problem}"),
        }
    }
}

/// A character that does not belong where it is, escaped unless it is ASCII (that needs no tables of Unicode).
struct Character {
    index: usize,
    found: char,
}

impl fmt::Display for Character {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, found } = self;
        write!(f, "character '{}' at position {index} (counted from 0)", found.escape_default())
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Der(cause) => Some(cause),
            #[cfg(feature = "verify")]
            Self::Refused { reason: crate::verify::Reason::Malformed(cause), .. } => Some(cause),
            _ => None,
        }
    }
}

impl From<der::Error> for Error {
    fn from(cause: der::Error) -> Self {
        Self::Der(cause)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Error {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

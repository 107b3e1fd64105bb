//! The two small extensions: UEID and TcbFreshness.

use crate::Result;
use crate::asn1::{DerReader, DerWriter};

/// Content of the Ueid extension: a universal entity id (RFC 9711 §4.2.1), one identifier per device.
///
/// The first byte says of which type the identifier is; 1 stands for random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ueid<'a>(pub &'a [u8]);

/// Content of the TcbFreshness extension: a nonce the verifier gave, to show that the evidence is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcbFreshness<'a>(pub &'a [u8]);

macro_rules! token {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// Writes the content of the extension: `SEQUENCE { OCTET STRING }`.
            pub fn write_der(&self, writer: &mut DerWriter<'_>) {
                writer.sequence(|writer| writer.octet_string(self.0));
            }

            /// Reads the content of the extension.
            ///
            /// # Errors
            /// [`Error::Der`](crate::Error::Der) with the position of what does not fit.
            pub fn parse(der: &'a [u8]) -> Result<Self> {
                let mut reader = DerReader::new(der);
                let mut sequence = reader.sequence()?;
                let bytes = sequence.octet_string()?;
                sequence.finish()?;
                reader.finish()?;
                Ok(Self(bytes.rest()))
            }
        }
    };
}

token!(Ueid);
token!(TcbFreshness);

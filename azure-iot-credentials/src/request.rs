//! The certificate signing request (PKCS#10, RFC 2986): a common name, a public key, and the key's signature over both.
//! No extensions are asked for: the service takes none over.

use crate::Error;
use crate::key::{AsyncRequestSigner, Curve, Digest, MAX_SCALAR, PublicKey, RequestSigner, Signature};

/// The longest common name (RFC 5280, ub-common-name), in bytes here.
pub const MAX_NAME: usize = 64;
/// The longest request, in bytes.
pub const MAX_LEN: usize = OUTER + MAX_INFO + 12 + 4 + MAX_SIGNATURE;

/// Room for the header around everything.
const OUTER: usize = 4;
/// The longest `CertificationRequestInfo`: header, version, name, key on P-384, no attributes.
const MAX_INFO: usize = 3 + 3 + (13 + MAX_NAME) + 120 + 2;
/// The longest `Ecdsa-Sig-Value`.
const MAX_SIGNATURE: usize = 2 + 2 * (2 + 1 + MAX_SCALAR);

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
/// `SubjectPublicKeyInfo` up to the point (RFC 5480), and `AlgorithmIdentifier` of the signature (RFC 5758).
const KEY_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const KEY_P384: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// `id-at-commonName`.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

/// Writes a request for `common_name` (the registration id, which is the device id), signed by `key`, into `out`.
/// [`MAX_LEN`] bytes are always enough.
///
/// # Errors
/// [`Error::Name`]; [`Error::BufferTooSmall`]; those of the key.
pub fn write<'b>(
    common_name: &str,
    key: &(impl RequestSigner + ?Sized),
    out: &'b mut [u8],
) -> Result<&'b [u8], Error> {
    let unsigned = Unsigned::new(common_name, &key.public_key()?)?;
    let signature = key.sign(unsigned.digest().as_bytes())?;
    unsigned.write(&signature, out)
}

/// As [`write`](fn@write), with a key whose signature is awaited.
///
/// # Errors
/// As [`write`](fn@write).
pub async fn write_async<'b>(
    common_name: &str,
    key: &(impl AsyncRequestSigner + ?Sized),
    out: &'b mut [u8],
) -> Result<&'b [u8], Error> {
    let unsigned = Unsigned::new(common_name, &key.public_key()?)?;
    let signature = key.sign(unsigned.digest().as_bytes()).await?;
    unsigned.write(&signature, out)
}

/// A request before it is signed: its `CertificationRequestInfo`.
struct Unsigned {
    curve: Curve,
    info: Bytes<MAX_INFO>,
}

impl Unsigned {
    fn new(common_name: &str, public: &PublicKey) -> Result<Self, Error> {
        let name = u8::try_from(common_name.len()).map_err(|_| Error::Name)?;
        if name == 0 || common_name.len() > MAX_NAME {
            return Err(Error::Name);
        }
        let key_head = match public.curve() {
            Curve::P256 => KEY_P256,
            Curve::P384 => KEY_P384,
        };
        // Its header is written when its length is known.
        let mut content = Bytes::<{ MAX_INFO - 3 }>::new();
        content.push(&[INTEGER, 1, 0]);
        content.push(&[SEQUENCE, name + 11, 0x31, name + 9, SEQUENCE, name + 7]);
        content.push(COMMON_NAME);
        content.push(&[0x0c, name]);
        content.push(common_name.as_bytes());
        content.push(key_head);
        content.push(public.point());
        content.push(&[0xa0, 0]);
        let mut info = Bytes::new();
        info.header(SEQUENCE, content.as_slice().len());
        info.push(content.as_slice());
        Ok(Self { curve: public.curve(), info })
    }

    /// What the key signs.
    fn digest(&self) -> Digest {
        Digest::of(self.curve, self.info.as_slice())
    }

    /// Writes the request with that signature.
    fn write<'b>(&self, signature: &Signature, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
        if signature.curve() != self.curve {
            return Err(Error::Signer);
        }
        let mut value = Bytes::<MAX_SIGNATURE>::new();
        write_signature(signature, &mut value);

        let mut request = Bytes::<{ MAX_LEN - OUTER }>::new();
        request.push(self.info.as_slice());
        request.push(match self.curve {
            Curve::P256 => ECDSA_SHA256,
            Curve::P384 => ECDSA_SHA384,
        });
        request.header(3, 1 + value.as_slice().len());
        request.push(&[0]);
        request.push(value.as_slice());
        let mut outer = Bytes::<OUTER>::new();
        outer.header(SEQUENCE, request.as_slice().len());

        let needed = outer.as_slice().len() + request.as_slice().len();
        let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })?;
        let bytes = outer.as_slice().iter().chain(request.as_slice());
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(out)
    }
}

/// `Ecdsa-Sig-Value` (RFC 3279, section 2.2.3).
fn write_signature(signature: &Signature, out: &mut Bytes<MAX_SIGNATURE>) {
    let (r, s) = signature.as_bytes().split_at(signature.curve().scalar_len());
    let mut content = Bytes::<{ MAX_SIGNATURE - 2 }>::new();
    for half in [r, s] {
        let zeros = half.iter().take_while(|byte| **byte == 0).count().min(half.len().saturating_sub(1));
        let digits = half.get(zeros..).unwrap_or_default();
        let sign = digits.first().is_some_and(|first| *first >= 0x80);
        content.header(INTEGER, digits.len() + usize::from(sign));
        if sign {
            content.push(&[0]);
        }
        content.push(digits);
    }
    out.header(SEQUENCE, content.as_slice().len());
    out.push(content.as_slice());
}

/// Bytes of a bounded number: the constants above say that everything fits.
struct Bytes<const SIZE: usize>(heapless::Vec<u8, SIZE>);

impl<const SIZE: usize> Bytes<SIZE> {
    fn new() -> Self {
        Self(heapless::Vec::new())
    }

    fn push(&mut self, bytes: &[u8]) {
        // It fits.
        let _ = self.0.extend_from_slice(bytes);
    }

    /// Tag and length, below 64 KiB.
    fn header(&mut self, tag: u8, length: usize) {
        let [.., high, low] = length.to_be_bytes();
        match (high, low) {
            (0, 0..=0x7f) => self.push(&[tag, low]),
            (0, _) => self.push(&[tag, 0x81, low]),
            _ => self.push(&[tag, 0x82, high, low]),
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

//! A private key that is somewhere else: in a secure element, behind a bus, in another core.
//!
//! Mbed TLS signs in the middle of a step of its handshake and cannot be interrupted there as a client: the signature
//! must be at hand when it asks. So it is made before. The handshake is stopped in front of that step, the digest that
//! is going to be signed is computed from the handshake as it stands, and whoever drives the session gets the signature
//! in its own time. The step then finds it, in place of a key. A digest that is another one than was signed is refused
//! there, so a mistake about what Mbed TLS would sign ends the handshake and cannot become a wrong signature.

use core::ffi::{c_int, c_uchar, c_void};
use core::{mem, ptr, slice};

use mbedtls_rs::sys::{
    MBEDTLS_ERR_PK_SIG_LEN_MISMATCH, MBEDTLS_ERR_SSL_INTERNAL_ERROR, MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED,
    mbedtls_md_type_t, mbedtls_md_type_t_MBEDTLS_MD_SHA256 as SHA256,
    mbedtls_md_type_t_MBEDTLS_MD_SHA384 as SHA384, mbedtls_pk_context, mbedtls_pk_info_t,
    mbedtls_pk_restart_ctx, mbedtls_pk_type_t, mbedtls_pk_type_t_MBEDTLS_PK_ECDSA as ECDSA,
    mbedtls_pk_type_t_MBEDTLS_PK_OPAQUE as OPAQUE, mbedtls_sha256, mbedtls_ssl_ciphersuite_from_id,
    mbedtls_ssl_context, mbedtls_ssl_protocol_version_MBEDTLS_SSL_VERSION_TLS1_3 as TLS1_3,
};

use crate::Code;
use crate::structure::{Owned, Structure};

/// Where a handshake is: `mbedtls_ssl_states`, which is as wide as the target's C compiler makes it.
#[allow(clippy::cast_possible_wrap, clippy::cast_lossless, reason = "small numbers of a type that differs")]
pub(crate) mod at {
    use core::ffi::c_int;
    use mbedtls_rs::sys;

    pub(crate) const CLIENT_CERTIFICATE: c_int =
        sys::mbedtls_ssl_states_MBEDTLS_SSL_CLIENT_CERTIFICATE as c_int;
    pub(crate) const CERTIFICATE_VERIFY: c_int =
        sys::mbedtls_ssl_states_MBEDTLS_SSL_CERTIFICATE_VERIFY as c_int;
    pub(crate) const CLIENT_CERTIFICATE_VERIFY: c_int =
        sys::mbedtls_ssl_states_MBEDTLS_SSL_CLIENT_CERTIFICATE_VERIFY as c_int;
    pub(crate) const HANDSHAKE_OVER: c_int = sys::mbedtls_ssl_states_MBEDTLS_SSL_HANDSHAKE_OVER as c_int;
}

/// Bytes of a digest that a P-256 key signs.
pub const DIGEST_LEN: usize = 32;
/// The longest P-256 signature in DER, in bytes.
pub const MAX_SIGNATURE: usize = 72;
/// The longest hash of a handshake, in bytes: SHA-384.
const MAX_HASH: usize = 48;

/// What stands for the key: the digest that has to be signed, and its signature as soon as there is one.
#[derive(Default)]
pub(crate) struct ExternalKey {
    /// The device's certificate was sent: there will be a signature. Always so where TLS 1.3 gets that far.
    shown: bool,
    digest: Option<[u8; DIGEST_LEN]>,
    signature: Signature,
}

#[derive(Clone, Copy)]
struct Signature {
    der: [u8; MAX_SIGNATURE],
    length: usize,
}

impl Default for Signature {
    fn default() -> Self {
        Self { der: [0; MAX_SIGNATURE], length: 0 }
    }
}

// SAFETY: there is nothing in it that has to be freed.
unsafe impl Structure for ExternalKey {
    unsafe fn init(_: *mut Self) {}
    unsafe fn free(_: *mut Self) {}
}

impl Owned<ExternalKey> {
    /// Puts it in the place of the key of `context`.
    ///
    /// # Safety
    /// The context must be a new one, and freed before this.
    pub(crate) unsafe fn stand_in(&self, context: &Owned<mbedtls_pk_context>) {
        // SAFETY: as the caller says. `KEY` lives for ever, and has no function that frees a key.
        unsafe {
            (*context.as_ptr()).private_pk_info = (&raw const KEY).cast::<mbedtls_pk_info_t>();
            (*context.as_ptr()).private_pk_ctx = self.as_ptr().cast();
        }
    }

    /// The digest whose signature is waited for.
    pub(crate) fn digest(&self) -> Option<[u8; DIGEST_LEN]> {
        // SAFETY: its own structure, which only Mbed TLS uses otherwise, and that is not running.
        let key = unsafe { &*self.as_ptr() };
        key.digest.filter(|_| key.signature.length == 0)
    }

    /// Takes the signature of that digest, in DER.
    pub(crate) fn set_signature(&self, der: &[u8]) {
        // SAFETY: as above.
        let signature = unsafe { &mut (*self.as_ptr()).signature };
        signature.der.iter_mut().zip(der).for_each(|(to, from)| *to = *from);
        signature.length = if der.len() > MAX_SIGNATURE { 0 } else { der.len() };
    }

    /// Whether the next step of the handshake needs a signature that is not there.
    ///
    /// # Errors
    /// Mbed TLS's, from the hash of the handshake.
    ///
    /// # Safety
    /// A context inside its handshake.
    pub(crate) unsafe fn is_asked(&self, ssl: *mut mbedtls_ssl_context) -> Result<bool, Code> {
        // SAFETY: as the caller says, and its own structure.
        let (key, state, tls13) = unsafe { (&mut *self.as_ptr(), state(ssl), is_tls13(ssl)) };
        let asked = if tls13 {
            state == at::CLIENT_CERTIFICATE_VERIFY
        } else {
            state == at::CERTIFICATE_VERIFY && key.shown
        };
        if asked && key.digest.is_none() {
            // SAFETY: as the caller says.
            key.digest = Some(unsafe { digest(ssl)? });
        }
        Ok(asked && key.signature.length == 0)
    }

    /// Does a step of the handshake and sees whether the device's certificate was sent in it.
    ///
    /// # Safety
    /// A context inside its handshake.
    pub(crate) unsafe fn watched(
        &self,
        ssl: *mut mbedtls_ssl_context,
        step: impl FnOnce() -> c_int,
    ) -> Result<c_int, Code> {
        // SAFETY: as the caller says.
        if unsafe { state(ssl) != at::CLIENT_CERTIFICATE || is_tls13(ssl) } {
            return Ok(step());
        }
        // In TLS 1.2 the steps are the same whether or not the server asks for a certificate; the messages are not.
        // SAFETY: as the caller says, before and after the step, which frees nothing here if it succeeds.
        unsafe {
            let before = transcript(ssl)?;
            let code = step();
            (*self.as_ptr()).shown = code == 0 && transcript(ssl)? != before;
            Ok(code)
        }
    }
}

/// # Safety
/// A context inside its handshake.
pub(crate) unsafe fn state(ssl: *const mbedtls_ssl_context) -> c_int {
    // SAFETY: as the caller says.
    unsafe { (*ssl).private_state }
}

/// # Safety
/// A context inside its handshake.
unsafe fn is_tls13(ssl: *const mbedtls_ssl_context) -> bool {
    // SAFETY: as the caller says.
    unsafe { (*ssl).private_tls_version == TLS1_3 }
}

unsafe extern "C" {
    /// The hash of all messages of the handshake so far (`library/ssl_misc.h` of Mbed TLS 3.6, for both versions).
    fn mbedtls_ssl_get_handshake_transcript(
        ssl: *mut mbedtls_ssl_context,
        md: mbedtls_md_type_t,
        out: *mut c_uchar,
        size: usize,
        length: *mut usize,
    ) -> c_int;
}

/// The handshake's hash, by the hash function of the cipher suite.
///
/// # Safety
/// A context inside its handshake, after the server has chosen.
#[allow(clippy::useless_conversion, reason = "its type is as wide as the target's C compiler makes it")]
unsafe fn transcript(ssl: *mut mbedtls_ssl_context) -> Result<([u8; MAX_HASH], usize), Code> {
    let (mut hash, mut length) = ([0; MAX_HASH], 0);
    // SAFETY: as the caller says: there is a session then, with a cipher suite; and a buffer of that length.
    unsafe {
        let session = (*ssl).private_session_negotiate.as_ref().ok_or(INTERNAL)?;
        let suite = mbedtls_ssl_ciphersuite_from_id(session.private_ciphersuite).as_ref().ok_or(INTERNAL)?;
        let is_sha384 = mbedtls_md_type_t::from(suite.private_mac) == SHA384;
        let md = if is_sha384 { SHA384 } else { SHA256 };
        let out = hash.as_mut_ptr();
        Code::check(mbedtls_ssl_get_handshake_transcript(ssl, md, out, hash.len(), &raw mut length))?;
    }
    Ok((hash, length))
}

const INTERNAL: Code = Code(MBEDTLS_ERR_SSL_INTERNAL_ERROR);

/// What CertificateVerify is going to sign. In TLS 1.2 the hash of the handshake (RFC 5246 §7.4.8), of which ECDSA with
/// P-256 takes the first 32 bytes (FIPS 186-5 §6.4.1); in TLS 1.3 a hash of that (RFC 8446 §4.4.3).
///
/// # Safety
/// A context inside its handshake, after the server has chosen.
unsafe fn digest(ssl: *mut mbedtls_ssl_context) -> Result<[u8; DIGEST_LEN], Code> {
    const CONTEXT: &[u8; 34] = b"TLS 1.3, client CertificateVerify\0";
    // SAFETY: as the caller says.
    let ((hash, length), tls13) = unsafe { (transcript(ssl)?, is_tls13(ssl)) };
    if !tls13 {
        return hash.first_chunk().copied().ok_or(INTERNAL);
    }
    let mut message = [b' '; 64 + CONTEXT.len() + MAX_HASH];
    let parts = CONTEXT.iter().chain(&hash);
    message.iter_mut().skip(64).zip(parts).for_each(|(to, from)| *to = *from);
    let mut digest = [0; DIGEST_LEN];
    // SAFETY: buffers of these lengths; the hash is not longer than its buffer.
    let code =
        unsafe { mbedtls_sha256(message.as_ptr(), 64 + CONTEXT.len() + length, digest.as_mut_ptr(), 0) };
    Code::check(code).map(|_| digest)
}

/// `struct mbedtls_pk_info_t` of Mbed TLS 3.6 (`library/pk_wrap.h`), as it is without restartable computations. Mbed
/// TLS does not export it, so that nothing but the handshakes of the tests would notice another one.
#[repr(C)]
struct KeyKind {
    kind: mbedtls_pk_type_t,
    name: &'static [u8; 9],
    bits: unsafe extern "C" fn(*mut mbedtls_pk_context) -> usize,
    can_do: unsafe extern "C" fn(mbedtls_pk_type_t) -> c_int,
    verify: Option<Never>,
    sign: unsafe extern "C" fn(
        *mut mbedtls_pk_context,
        mbedtls_md_type_t,
        *const c_uchar,
        usize,
        *mut c_uchar,
        usize,
        *mut usize,
        Option<unsafe extern "C" fn(*mut c_void, *mut c_uchar, usize) -> c_int>,
        *mut c_void,
    ) -> c_int,
    decrypt: Option<Never>,
    encrypt: Option<Never>,
    check_pair: Option<Never>,
    alloc: Option<Never>,
    free: Option<Never>,
    debug: Option<Never>,
}

/// A function that there is not.
type Never = unsafe extern "C" fn();

const _: () = assert!(
    mem::size_of::<mbedtls_pk_restart_ctx>() == mem::size_of::<c_void>(),
    "the feature ecp-restartable of mbedtls-rs-sys changes the structure of a key: it cannot be used with this crate"
);

/// An ECDSA key of 256 bits. Its type is that of keys whose inside is not known, so that Mbed TLS does not look there.
static KEY: KeyKind = KeyKind {
    kind: OPAQUE,
    name: b"external\0",
    bits,
    can_do,
    verify: None,
    sign,
    decrypt: None,
    encrypt: None,
    check_pair: None,
    alloc: None,
    free: None,
    debug: None,
};

unsafe extern "C" fn bits(_: *mut mbedtls_pk_context) -> usize {
    256
}

unsafe extern "C" fn can_do(kind: mbedtls_pk_type_t) -> c_int {
    c_int::from(kind == ECDSA)
}

/// Gives the signature that was made before, if it is one of this digest.
unsafe extern "C" fn sign(
    context: *mut mbedtls_pk_context,
    _: mbedtls_md_type_t,
    hash: *const c_uchar,
    hash_length: usize,
    out: *mut c_uchar,
    size: usize,
    length: *mut usize,
    _: Option<unsafe extern "C" fn(*mut c_void, *mut c_uchar, usize) -> c_int>,
    _: *mut c_void,
) -> c_int {
    // SAFETY: Mbed TLS gives its context, whose key `stand_in` has set, and a hash of that length.
    let (key, hash) = unsafe {
        (&*(*context).private_pk_ctx.cast::<ExternalKey>(), slice::from_raw_parts(hash, hash_length))
    };
    let Some(signature) = key.signature.der.get(..key.signature.length).filter(|der| !der.is_empty()) else {
        return MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED;
    };
    if key.digest.as_ref() != hash.first_chunk() {
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    }
    if signature.len() > size {
        return MBEDTLS_ERR_PK_SIG_LEN_MISMATCH;
    }
    // SAFETY: Mbed TLS gives a place of `size` bytes, and one for the length.
    unsafe {
        ptr::copy_nonoverlapping(signature.as_ptr(), out, signature.len());
        *length = signature.len();
    }
    0
}

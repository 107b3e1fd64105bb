//! The path of certificates that Mbed TLS has found, as its caller sees it.

use core::ffi::{c_int, c_void};
use core::marker::PhantomData;
use core::slice;

use mbedtls_rs::sys::mbedtls_x509_crt;

/// The most certificates of a path: Mbed TLS is built for eight between leaf and root.
pub const MAX_PATH: usize = 10;

/// Judges the server's certificates.
pub trait Judge {
    /// Judges what Mbed TLS has found; `0` accepts the server, and everything else (flags `MBEDTLS_X509_BADCERT_...`,
    /// by which Mbed TLS chooses its alert) refuses it.
    ///
    /// Mbed TLS has verified the signatures along the path, but only if [`Found::flags`] has none that says otherwise.
    fn judge(&mut self, found: &Found<'_>) -> u32;
}

/// What Mbed TLS has found.
#[derive(Debug)]
pub struct Found<'f> {
    path: [&'f [u8]; MAX_PATH],
    length: usize,
    leaf: *const mbedtls_x509_crt,
    flags: u32,
    _presented: PhantomData<&'f mbedtls_x509_crt>,
}

impl<'f> Found<'f> {
    /// The path in DER, the leaf first and the root last; or as far as there was one.
    #[must_use]
    pub fn path(&self) -> &[&'f [u8]] {
        self.path.get(..self.length).unwrap_or_default()
    }

    /// Mbed TLS's own findings (`MBEDTLS_X509_BADCERT_...`), about all of the path.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// What the server has sent, in its order: the leaf first.
    #[must_use]
    pub fn presented(&self) -> Presented<'f> {
        Presented { next: self.leaf, _certificates: PhantomData }
    }
}

/// Certificates of a server in DER, in its order.
#[derive(Debug, Clone)]
pub struct Presented<'f> {
    next: *const mbedtls_x509_crt,
    _certificates: PhantomData<&'f mbedtls_x509_crt>,
}

impl<'f> Iterator for Presented<'f> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<&'f [u8]> {
        // SAFETY: null, or a certificate of the list that Mbed TLS has shown and keeps as long as `'f`.
        let certificate = unsafe { self.next.as_ref() }?;
        self.next = certificate.next;
        // SAFETY: as above.
        Some(unsafe { der(certificate) })
    }
}

/// The bytes of a certificate.
///
/// # Safety
/// It must keep them as long as `'f`.
unsafe fn der<'f>(certificate: *const mbedtls_x509_crt) -> &'f [u8] {
    // SAFETY: the caller says so.
    let raw = unsafe { (*certificate).raw };
    if raw.p.is_null() {
        return &[];
    }
    // SAFETY: Mbed TLS's own buffer, of its own length.
    unsafe { slice::from_raw_parts(raw.p, raw.len) }
}

/// One verification: Mbed TLS shows the certificates one by one, from the root down.
pub(crate) struct Verification<'v> {
    judge: &'v mut dyn Judge,
    path: [*const mbedtls_x509_crt; MAX_PATH],
    length: usize,
    flags: u32,
}

/// `MBEDTLS_X509_BADCERT_OTHER`
const OTHER: u32 = 0x0100;

impl<'v> Verification<'v> {
    pub(crate) fn new(judge: &'v mut dyn Judge) -> Self {
        Self { judge, path: [core::ptr::null(); MAX_PATH], length: 0, flags: 0 }
    }

    /// Takes the certificate at this depth, the leaf's being 0; gives the flags that Mbed TLS is to find for it.
    ///
    /// # Safety
    /// The certificates must stay until depth 0 was taken.
    unsafe fn take(&mut self, certificate: *const mbedtls_x509_crt, depth: usize, flags: u32) -> u32 {
        let Some(slot) = self.path.get_mut(depth) else { return OTHER };
        *slot = certificate;
        self.length = self.length.max(depth + 1);
        self.flags |= flags;
        if depth > 0 {
            return 0; // the judgement comes at the leaf
        }
        // SAFETY: as the caller says. Places that Mbed TLS left out are empty, and so is their certificate.
        let path = self.path.map(|place| if place.is_null() { &[][..] } else { unsafe { der(place) } });
        let found = Found {
            path,
            length: self.length,
            leaf: certificate,
            flags: self.flags,
            _presented: PhantomData,
        };
        let verdict = self.judge.judge(&found);
        (self.length, self.flags) = (0, 0);
        verdict
    }
}

/// Mbed TLS's callback; `context` is a [`Verification`].
pub(crate) unsafe extern "C" fn verify(
    context: *mut c_void,
    certificate: *mut mbedtls_x509_crt,
    depth: c_int,
    flags: *mut u32,
) -> c_int {
    // SAFETY: `Session::with` has set it for the time of this call, and nobody else uses it meanwhile; Mbed TLS gives
    // valid pointers, and keeps the certificates until it has shown the leaf.
    unsafe {
        let verification = &mut *context.cast::<Verification<'_>>();
        *flags = verification.take(certificate, usize::try_from(depth).unwrap_or(usize::MAX), *flags);
    }
    0
}

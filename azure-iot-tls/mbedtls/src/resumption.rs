//! A session as bytes, by which a later connection is resumed: a ticket (RFC 5077, RFC 8446 §4.6.1) or a session
//! identifier (RFC 5246 §7.3) with the secret that belongs to it.

use alloc::vec::Vec;
use core::mem;
use core::ptr;

use mbedtls_rs::sys::{
    mbedtls_ssl_session, mbedtls_ssl_session_load, mbedtls_ssl_session_save, mbedtls_ssl_set_session,
};
use zeroize::Zeroizing;

use crate::structure::Owned;
use crate::{Code, Session, Version};

/// The longest saved session in bytes. The ClientHello that offers it has to fit the send buffer of 2 KiB, whichever
/// the host: all but ticket and name take 400 bytes at most.
pub const MAX_SAVED: usize = 1536;
/// The shortest identifier with which Mbed TLS resumes a session of TLS 1.2.
const MIN_ID: usize = 16;

/// A session that can be resumed. Its bytes are wiped when it is dropped.
pub struct Saved {
    bytes: Zeroizing<Vec<u8>>,
    lifetime: u32,
}

impl core::fmt::Debug for Saved {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Saved").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Saved {
    /// For how long the server says that it takes the session, in seconds from now. TLS 1.2 only: 0 if it says nothing.
    #[must_use]
    pub const fn lifetime(&self) -> u32 {
        self.lifetime
    }
}

impl Session<'_> {
    /// Offers to go on with a session, in place of a full handshake. To be called before the handshake, at most once.
    ///
    /// Only the version of that session is offered to the server, which may choose a full handshake of it.
    ///
    /// # Errors
    /// Mbed TLS's, for memory; nothing is offered then.
    pub fn offer(&mut self, saved: &Saved) -> Result<(), Code> {
        let session = Owned::<mbedtls_ssl_session>::new()?;
        let bytes = &saved.bytes;
        // SAFETY: a structure of its own, bytes of that length, and the context of this session, which copies it.
        unsafe {
            Code::check(mbedtls_ssl_session_load(session.as_ptr(), bytes.as_ptr(), bytes.len()))?;
            Code::check(mbedtls_ssl_set_session(self.ssl.as_ptr(), session.as_ptr()))?;
        }
        Ok(())
    }

    /// Whether the session is one without a certificate of the server: after a handshake that was resumed, and before
    /// any.
    #[must_use]
    pub fn has_no_certificate(&self) -> bool {
        // SAFETY: the context of this session, whose session Mbed TLS keeps.
        unsafe { (*self.ssl.as_ptr()).private_session.as_ref() }
            .is_none_or(|session| session.private_peer_cert.is_null())
    }

    /// The session, once it can be resumed: in TLS 1.2 after the handshake, in TLS 1.3 when another ticket has come.
    /// `None` if the server offers nothing, if that is too long, or if there is no memory for it.
    pub fn save(&mut self) -> Option<Saved> {
        let is_tls13 = self.version()? == Version::Tls13;
        if is_tls13 && !mem::take(&mut self.ticket) {
            return None;
        }
        // SAFETY: the session of this context, which nobody else uses before this function returns.
        let session = unsafe { (*self.ssl.as_ptr()).private_session.as_mut() }?;
        if session.private_ticket_len == 0 && (is_tls13 || session.private_id_len < MIN_ID) {
            return None;
        }
        // What the session was verified by is not needed to resume it, and longer than all the rest.
        let certificate = mem::replace(&mut session.private_peer_cert, ptr::null_mut());
        let bytes = save(session);
        session.private_peer_cert = certificate;
        Some(Saved { bytes: bytes?, lifetime: session.private_ticket_lifetime })
    }
}

fn save(session: &mbedtls_ssl_session) -> Option<Zeroizing<Vec<u8>>> {
    let mut length = 0;
    // SAFETY: a session, and no buffer: it is asked for the length only, and the code says that that is too short.
    let _ = unsafe { mbedtls_ssl_session_save(session, ptr::null_mut(), 0, &raw mut length) };
    if length == 0 || length > MAX_SAVED {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::new());
    bytes.try_reserve_exact(length).ok()?;
    bytes.resize(length, 0);
    // SAFETY: a session, and a buffer of that length.
    let code = unsafe { mbedtls_ssl_session_save(session, bytes.as_mut_ptr(), bytes.len(), &raw mut length) };
    Code::check(code).ok()?;
    Some(bytes)
}

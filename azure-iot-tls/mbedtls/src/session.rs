//! One connection: Mbed TLS's state machine, which never waits.

use core::ffi::{CStr, c_int, c_uchar, c_void};
use core::marker::PhantomData;
use core::ptr;
use core::slice;

use mbedtls_rs::TlsReference;
use mbedtls_rs::sys::{
    MBEDTLS_ERR_SSL_ALLOC_FAILED, MBEDTLS_ERR_SSL_CRYPTO_IN_PROGRESS, MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY,
    MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET, MBEDTLS_ERR_SSL_WANT_READ, mbedtls_pk_context,
    mbedtls_pk_parse_key, mbedtls_ssl_close_notify, mbedtls_ssl_conf_authmode, mbedtls_ssl_conf_ca_chain,
    mbedtls_ssl_conf_ciphersuites, mbedtls_ssl_conf_own_cert, mbedtls_ssl_conf_rng,
    mbedtls_ssl_conf_tls13_key_exchange_modes, mbedtls_ssl_config, mbedtls_ssl_config_defaults,
    mbedtls_ssl_context, mbedtls_ssl_get_verify_result, mbedtls_ssl_handshake_step,
    mbedtls_ssl_protocol_version, mbedtls_ssl_protocol_version_MBEDTLS_SSL_VERSION_TLS1_2 as TLS1_2,
    mbedtls_ssl_protocol_version_MBEDTLS_SSL_VERSION_TLS1_3 as TLS1_3, mbedtls_ssl_read,
    mbedtls_ssl_send_alert_message, mbedtls_ssl_set_bio, mbedtls_ssl_set_hostname, mbedtls_ssl_set_verify,
    mbedtls_ssl_setup, mbedtls_ssl_write, mbedtls_x509_crt, mbedtls_x509_crt_parse_der_nocopy,
    psa_crypto_init, psa_generate_random,
};

#[cfg(feature = "resumption")]
use mbedtls_rs::sys::{
    mbedtls_ssl_conf_session_tickets, mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets,
};

use crate::external_key::{DIGEST_LEN, ExternalKey, at, state};
use crate::structure::Owned;
use crate::verification::{Judge, Verification, verify};

/// The constants of Mbed TLS that its functions take as `int`.
#[expect(clippy::cast_possible_wrap, reason = "small numbers")]
mod constant {
    use core::ffi::c_int;
    use mbedtls_rs::sys;

    pub(super) const IS_CLIENT: c_int = sys::MBEDTLS_SSL_IS_CLIENT as c_int;
    pub(super) const STREAM: c_int = sys::MBEDTLS_SSL_TRANSPORT_STREAM as c_int;
    pub(super) const DEFAULT: c_int = sys::MBEDTLS_SSL_PRESET_DEFAULT as c_int;
    pub(super) const VERIFY_REQUIRED: c_int = sys::MBEDTLS_SSL_VERIFY_REQUIRED as c_int;
    /// The cipher suites that are offered, AES-128 with SHA-256 first: on a device the others cost up to twice as much
    /// for each byte, and are no stronger than P-256.
    pub(super) static CIPHER_SUITES: [c_int; 7] = [
        sys::MBEDTLS_TLS1_3_AES_128_GCM_SHA256 as c_int,
        sys::MBEDTLS_TLS1_3_AES_256_GCM_SHA384 as c_int,
        sys::MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as c_int,
        sys::MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 as c_int,
        sys::MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 as c_int,
        sys::MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 as c_int,
        0,
    ];
    pub(super) const FRESH: c_int = sys::MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL as c_int;
    pub(super) const FRESH_OR_RESUMED: c_int =
        sys::MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL as c_int;
}

/// An error code of Mbed TLS: negative, `MBEDTLS_ERR_...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub i32);

impl Code {
    /// There is not enough memory.
    pub const MEMORY: Self = Self(MBEDTLS_ERR_SSL_ALLOC_FAILED);
    /// More has to come from the server first: call again then.
    pub const WANT_READ: Self = Self(MBEDTLS_ERR_SSL_WANT_READ);
    /// A signature has to be made first: call again when it was [given](Session::give_signature).
    pub const WANT_SIGNATURE: Self = Self(MBEDTLS_ERR_SSL_CRYPTO_IN_PROGRESS);

    pub(crate) fn check(code: c_int) -> Result<usize, Self> {
        usize::try_from(code).map_err(|_| Self(code))
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    const fn number(self) -> mbedtls_ssl_protocol_version {
        match self {
            Self::Tls12 => TLS1_2,
            Self::Tls13 => TLS1_3,
        }
    }
}

/// What a device shows: a chain, the leaf first, and the leaf's key.
#[derive(Debug)]
pub struct Client<'a, C> {
    /// The certificates, DER.
    pub chain: C,
    /// The leaf's key.
    pub key: Key<'a>,
}

/// The key of a device's certificate.
#[derive(Debug)]
pub enum Key<'a> {
    /// The key in DER; Mbed TLS has a copy in its heap as long as the session lives, and wipes it then.
    Der(&'a [u8]),
    /// A P-256 key that is somewhere else. The handshake stops where it has to sign, with [`Code::WANT_SIGNATURE`].
    External,
}

/// What a connection needs to know.
#[derive(Debug)]
pub struct Config<'a, C> {
    /// The server's name.
    pub host: &'a CStr,
    /// The oldest and the newest version that is offered.
    pub versions: (Version, Version),
    /// What the device shows, if anything.
    pub client: Option<Client<'a, C>>,
    /// Whether the server is asked for tickets, and may take one. Without it every connection proves both sides anew.
    pub resumable: bool,
}

/// The bytes that come from the server, and go to it. Neither waits.
pub trait Transport {
    /// Gives bytes that have come; 0 if there are none now.
    fn receive(&mut self, out: &mut [u8]) -> usize;

    /// Takes all of these bytes; false if there is no memory for them.
    fn send(&mut self, bytes: &[u8]) -> bool;
}

/// A connection.
pub struct Session<'a> {
    pub(crate) ssl: Owned<mbedtls_ssl_context>,
    /// A ticket has come, and nobody has asked for it yet (TLS 1.3).
    pub(crate) ticket: bool,
    // The context points to all of these, so they are freed after it.
    _config: Owned<mbedtls_ssl_config>,
    _roots: Owned<mbedtls_x509_crt>,
    _own: Option<(Owned<mbedtls_x509_crt>, Owned<mbedtls_pk_context>)>,
    // The key's structure points to it.
    external: Option<Owned<ExternalKey>>,
    /// The random number generator is Mbed TLS's as long as there is one of these; and certificates are not copied.
    _borrowed: PhantomData<(TlsReference<'a>, &'a [u8])>,
}

impl core::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Session")
    }
}

impl<'a> Session<'a> {
    /// Sets up a connection; nothing is sent yet. Roots and chain are borrowed, and not copied.
    ///
    /// # Errors
    /// Mbed TLS's; for memory, roots and chain.
    pub fn new<C: Iterator<Item = &'a [u8]>>(
        _tls: TlsReference<'a>,
        roots: &'a [&'a [u8]],
        config: Config<'_, C>,
    ) -> Result<Self, Code> {
        let Config { host, versions: (oldest, newest), client, resumable } = config;
        let roots = certificates(roots.iter().copied())?;
        let mut external = None;
        let own = client.map(|Client { chain, key }| {
            let chain = certificates(chain)?;
            let key = match key {
                Key::Der(der) => private_key(der)?,
                Key::External => external_key(external.insert(Owned::new()?))?,
            };
            Ok((chain, key))
        });
        let own = own.transpose()?;
        let (config, ssl) = (Owned::<mbedtls_ssl_config>::new()?, Owned::<mbedtls_ssl_context>::new()?);
        #[cfg(all(feature = "p256-cm4", target_arch = "arm"))]
        crate::p256::install();
        // SAFETY: all of these structures were made here, and live as long as the session; the context goes first.
        unsafe {
            Code::check(psa_crypto_init())?;
            Code::check(mbedtls_ssl_config_defaults(
                config.as_ptr(),
                constant::IS_CLIENT,
                constant::STREAM,
                constant::DEFAULT,
            ))?;
            (*config.as_ptr()).private_min_tls_version = oldest.number();
            (*config.as_ptr()).private_max_tls_version = newest.number();
            mbedtls_ssl_conf_authmode(config.as_ptr(), constant::VERIFY_REQUIRED);
            mbedtls_ssl_conf_ca_chain(config.as_ptr(), roots.as_ptr(), ptr::null_mut());
            mbedtls_ssl_conf_rng(config.as_ptr(), Some(random), ptr::null_mut());
            mbedtls_ssl_conf_ciphersuites(config.as_ptr(), constant::CIPHER_SUITES.as_ptr());
            // No key exchange without ECDHE, resumed or not.
            let exchanges = if resumable { constant::FRESH_OR_RESUMED } else { constant::FRESH };
            mbedtls_ssl_conf_tls13_key_exchange_modes(config.as_ptr(), exchanges);
            // Mbed TLS may be built without tickets where nothing is resumed.
            #[cfg(feature = "resumption")]
            {
                mbedtls_ssl_conf_session_tickets(config.as_ptr(), c_int::from(resumable));
                mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
                    config.as_ptr(),
                    c_int::from(resumable),
                );
            }
            if let Some((chain, key)) = &own {
                Code::check(mbedtls_ssl_conf_own_cert(config.as_ptr(), chain.as_ptr(), key.as_ptr()))?;
            }
            Code::check(mbedtls_ssl_setup(ssl.as_ptr(), config.as_ptr()))?;
            Code::check(mbedtls_ssl_set_hostname(ssl.as_ptr(), host.as_ptr()))?;
        }
        Ok(Self {
            ssl,
            ticket: false,
            _config: config,
            _roots: roots,
            _own: own,
            external,
            _borrowed: PhantomData,
        })
    }

    /// Goes on with the handshake. The judge is asked once, when the server's certificates and the path above them
    /// are known.
    ///
    /// # Errors
    /// [`Code::WANT_READ`], [`Code::WANT_SIGNATURE`], or why the handshake has failed.
    pub fn handshake(&mut self, transport: &mut dyn Transport, judge: &mut dyn Judge) -> Result<(), Code> {
        let mut verification = Verification::new(judge);
        let context = ptr::from_mut(&mut verification).cast();
        // SAFETY: the context is a `Verification`, which outlives the call, after which it is not known any more.
        unsafe { mbedtls_ssl_set_verify(self.ssl.as_ptr(), Some(verify), context) };
        let outcome = with(self.ssl.as_ptr(), transport, |ssl| self.steps(ssl));
        // SAFETY: as above. Nobody asks later: a session has one handshake.
        unsafe { mbedtls_ssl_set_verify(self.ssl.as_ptr(), None, ptr::null_mut()) };
        outcome.map(|_| ())
    }

    /// Does as many steps of the handshake as can be done now.
    fn steps(&self, ssl: *mut mbedtls_ssl_context) -> Result<usize, Code> {
        // SAFETY: the context of this session, which is in its handshake until that is over.
        unsafe {
            while state(ssl) != at::HANDSHAKE_OVER {
                let step = || mbedtls_ssl_handshake_step(ssl);
                let code = match &self.external {
                    Some(key) if key.is_asked(ssl)? => return Err(Code::WANT_SIGNATURE),
                    Some(key) => key.watched(ssl, step)?,
                    None => step(),
                };
                Code::check(code)?;
            }
        }
        Ok(0)
    }

    /// The digest that the device's key has to sign now: ECDSA with P-256, the digest used as it is. `None` if no
    /// signature is waited for.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; DIGEST_LEN]> {
        self.external.as_ref().and_then(Owned::digest)
    }

    /// Gives the signature of [`Self::digest`], in DER. One that is longer than any, or empty, is none.
    pub fn give_signature(&mut self, der: &[u8]) {
        if let Some(key) = &self.external {
            key.set_signature(der);
        }
    }

    /// Tells the server that the handshake ends here (alert `internal_error`), because the device cannot go on.
    ///
    /// # Errors
    /// Why even that cannot be said.
    pub fn give_up(&mut self, transport: &mut dyn Transport) -> Result<(), Code> {
        const FATAL: c_uchar = 2;
        const INTERNAL_ERROR: c_uchar = 80;
        // SAFETY: the context of this session.
        self.with(transport, |ssl| unsafe { mbedtls_ssl_send_alert_message(ssl, FATAL, INTERNAL_ERROR) })
            .map(|_| ())
    }

    /// Reads what the server has sent; 0 after its close notice.
    ///
    /// # Errors
    /// [`Code::WANT_READ`], or why the connection has ended.
    pub fn read(&mut self, transport: &mut dyn Transport, out: &mut [u8]) -> Result<usize, Code> {
        // SAFETY: the context of this session, and a buffer of that length.
        let outcome =
            self.with(transport, |ssl| unsafe { mbedtls_ssl_read(ssl, out.as_mut_ptr(), out.len()) });
        match outcome {
            Err(Code(MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)) => Ok(0),
            outcome => outcome,
        }
    }

    /// Encrypts a record; gives the number of bytes that went into it.
    ///
    /// # Errors
    /// Why the connection has ended.
    pub fn write(&mut self, transport: &mut dyn Transport, bytes: &[u8]) -> Result<usize, Code> {
        // SAFETY: the context of this session, and bytes of that length.
        self.with(transport, |ssl| unsafe { mbedtls_ssl_write(ssl, bytes.as_ptr(), bytes.len()) })
    }

    /// Says that no more will come.
    ///
    /// # Errors
    /// Why the connection has ended.
    pub fn close(&mut self, transport: &mut dyn Transport) -> Result<(), Code> {
        // SAFETY: the context of this session.
        self.with(transport, |ssl| unsafe { mbedtls_ssl_close_notify(ssl) }).map(|_| ())
    }

    /// The version, after the handshake.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        // SAFETY: a field of the context of this session.
        let number = unsafe { (*self.ssl.as_ptr()).private_tls_version };
        [Version::Tls12, Version::Tls13].into_iter().find(|version| version.number() == number)
    }

    /// What Mbed TLS has found wrong with the server's certificates (`MBEDTLS_X509_BADCERT_...`); all bits before
    /// there were any.
    #[must_use]
    pub fn findings(&self) -> u32 {
        // SAFETY: the context of this session.
        unsafe { mbedtls_ssl_get_verify_result(self.ssl.as_ptr()) }
    }

    /// Calls Mbed TLS while it may use the transport. A ticket is taken note of.
    fn with(
        &mut self,
        transport: &mut dyn Transport,
        mut call: impl FnMut(*mut mbedtls_ssl_context) -> c_int,
    ) -> Result<usize, Code> {
        let ticket = &mut self.ticket;
        with(self.ssl.as_ptr(), transport, |ssl| {
            loop {
                match call(ssl) {
                    MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET => *ticket = true,
                    code => break Code::check(code),
                }
            }
        })
    }
}

/// Does something while the context may use the transport.
fn with<R>(
    ssl: *mut mbedtls_ssl_context,
    transport: &mut dyn Transport,
    act: impl FnOnce(*mut mbedtls_ssl_context) -> R,
) -> R {
    let mut bio = Bio { transport };
    // SAFETY: a session's context; the transport outlives what is done, after which it is not known any more.
    unsafe { mbedtls_ssl_set_bio(ssl, ptr::from_mut(&mut bio).cast(), Some(send), Some(receive), None) };
    let outcome = act(ssl);
    // SAFETY: as above.
    unsafe { mbedtls_ssl_set_bio(ssl, ptr::null_mut(), None, None, None) };
    outcome
}

/// Whether Mbed TLS can read this certificate.
///
/// # Errors
/// [`Code::MEMORY`], or the code that says what is wrong with it.
pub fn is_certificate(der: &[u8]) -> Result<(), Code> {
    certificates(core::iter::once(der)).map(|_| ())
}

/// Reads certificates as one list. They have to live as long as the list; they are not copied.
fn certificates<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Result<Owned<mbedtls_x509_crt>, Code> {
    let list = Owned::<mbedtls_x509_crt>::new()?;
    for der in certificates {
        // SAFETY: a list of its own, and bytes of that length.
        Code::check(unsafe { mbedtls_x509_crt_parse_der_nocopy(list.as_ptr(), der.as_ptr(), der.len()) })?;
    }
    Ok(list)
}

fn private_key(der: &[u8]) -> Result<Owned<mbedtls_pk_context>, Code> {
    let key = Owned::<mbedtls_pk_context>::new()?;
    // SAFETY: a structure of its own, and bytes of that length, without a password.
    let code = unsafe {
        mbedtls_pk_parse_key(
            key.as_ptr(),
            der.as_ptr(),
            der.len(),
            ptr::null(),
            0,
            Some(random),
            ptr::null_mut(),
        )
    };
    Code::check(code).map(|_| key)
}

fn external_key(external: &Owned<ExternalKey>) -> Result<Owned<mbedtls_pk_context>, Code> {
    let key = Owned::<mbedtls_pk_context>::new()?;
    // SAFETY: the context is new. A session has its contexts in front of `external`, so that they are freed first.
    unsafe { external.stand_in(&key) };
    Ok(key)
}

/// What the callbacks below get: a thin pointer to a wide one.
struct Bio<'t> {
    transport: &'t mut dyn Transport,
}

unsafe extern "C" fn receive(context: *mut c_void, out: *mut c_uchar, length: usize) -> c_int {
    // SAFETY: `Session::with` has set the context, and Mbed TLS gives a buffer of that length, which it has
    // initialised.
    let (bio, out) = unsafe { (&mut *context.cast::<Bio<'_>>(), slice::from_raw_parts_mut(out, length)) };
    match bio.transport.receive(out) {
        0 => MBEDTLS_ERR_SSL_WANT_READ,
        count => c_int::try_from(count.min(length)).unwrap_or(c_int::MAX), // not more than a record
    }
}

unsafe extern "C" fn send(context: *mut c_void, bytes: *const c_uchar, length: usize) -> c_int {
    // SAFETY: `Session::with` has set the context, and Mbed TLS gives bytes of that length.
    let (bio, bytes) = unsafe { (&mut *context.cast::<Bio<'_>>(), slice::from_raw_parts(bytes, length)) };
    if bio.transport.send(bytes) {
        c_int::try_from(length).unwrap_or(c_int::MAX) // not more than a flight
    } else {
        MBEDTLS_ERR_SSL_ALLOC_FAILED
    }
}

/// Random numbers for the connection: those of PSA, which are `mbedtls-rs`'s, which are the caller's.
unsafe extern "C" fn random(_: *mut c_void, out: *mut c_uchar, length: usize) -> c_int {
    // SAFETY: Mbed TLS gives a buffer of that length.
    unsafe { psa_generate_random(out, length) }
}

//! Has the server give tickets, which `mbedtls-rs` has no way to ask for: the function that fills a configuration is
//! called through this one, by an argument for the linker (`build.rs`).

use azure_iot_tls::mbedtls::mbedtls_rs::sys::{
    MBEDTLS_SSL_IS_SERVER, mbedtls_cipher_type_t_MBEDTLS_CIPHER_AES_256_GCM as AES_256_GCM,
    mbedtls_ssl_conf_session_tickets_cb, mbedtls_ssl_config, mbedtls_ssl_ticket_context,
    mbedtls_ssl_ticket_init, mbedtls_ssl_ticket_parse, mbedtls_ssl_ticket_setup, mbedtls_ssl_ticket_write,
    psa_generate_random,
};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_uchar, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// For how long a ticket counts, in seconds.
const LIFETIME: u32 = 3600;

/// The keys of the tickets.
struct Keys(UnsafeCell<MaybeUninit<mbedtls_ssl_ticket_context>>, AtomicBool);

// SAFETY: this program has one thread.
unsafe impl Sync for Keys {}

static KEYS: Keys = Keys(UnsafeCell::new(MaybeUninit::zeroed()), AtomicBool::new(false));

unsafe extern "C" {
    fn __real_mbedtls_ssl_config_defaults(
        config: *mut mbedtls_ssl_config,
        endpoint: c_int,
        transport: c_int,
        preset: c_int,
    ) -> c_int;
}

/// In the place of Mbed TLS's function of the name behind `__wrap_`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_mbedtls_ssl_config_defaults(
    config: *mut mbedtls_ssl_config,
    endpoint: c_int,
    transport: c_int,
    preset: c_int,
) -> c_int {
    // SAFETY: what the caller gives; the keys are there for ever, and made before they are used.
    unsafe {
        let code = __real_mbedtls_ssl_config_defaults(config, endpoint, transport, preset);
        if code != 0 || endpoint.cast_unsigned() != MBEDTLS_SSL_IS_SERVER {
            return code;
        }
        let keys = KEYS.0.get().cast::<mbedtls_ssl_ticket_context>();
        if !KEYS.1.swap(true, Relaxed) {
            mbedtls_ssl_ticket_init(keys);
            let code =
                mbedtls_ssl_ticket_setup(keys, Some(random), core::ptr::null_mut(), AES_256_GCM, LIFETIME);
            if code != 0 {
                return code;
            }
        }
        let (write, parse) = (Some(mbedtls_ssl_ticket_write as _), Some(mbedtls_ssl_ticket_parse as _));
        mbedtls_ssl_conf_session_tickets_cb(config, write, parse, keys.cast());
    }
    0
}

unsafe extern "C" fn random(_: *mut c_void, out: *mut c_uchar, length: usize) -> c_int {
    // SAFETY: Mbed TLS gives a buffer of that length.
    unsafe { psa_generate_random(out, length) }
}

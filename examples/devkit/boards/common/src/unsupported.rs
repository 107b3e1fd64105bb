//! What Mbed TLS can do and a device never asks it to: sign (the application does), hold RSA keys in its key store,
//! decrypt single AES blocks (the cipher suites are counter modes), and verify on curves that it is built without
//! or raise to secret powers (verification is `azure-iot-tls-mbedtls`'s own). Its tables name the functions
//! nevertheless, so that the linker would keep them. The linker's arguments in `mbedtls/link` lead their callers here
//! instead.

use core::ffi::c_int;

/// `MBEDTLS_ERR_PLATFORM_FEATURE_UNSUPPORTED`
const FEATURE_UNSUPPORTED: c_int = -0x0072;

/// Stands for any function whose result is 0 or an error.
#[unsafe(no_mangle)]
extern "C" fn mbedtls_unsupported() -> c_int {
    FEATURE_UNSUPPORTED
}

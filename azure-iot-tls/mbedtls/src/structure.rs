//! Structures of Mbed TLS that stay where they were made, and are freed by Mbed TLS.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ptr::NonNull;

use mbedtls_rs::sys::{
    mbedtls_mpi, mbedtls_mpi_free, mbedtls_mpi_init, mbedtls_pk_context, mbedtls_pk_free, mbedtls_pk_init,
    mbedtls_ssl_config, mbedtls_ssl_config_free, mbedtls_ssl_config_init, mbedtls_ssl_context,
    mbedtls_ssl_free, mbedtls_ssl_init, mbedtls_ssl_session, mbedtls_ssl_session_free,
    mbedtls_ssl_session_init, mbedtls_x509_crt, mbedtls_x509_crt_free, mbedtls_x509_crt_init,
};

use crate::Code;

/// A structure with its functions `..._init` and `..._free`.
///
/// # Safety
/// What `init` makes, `free` may be called for, once; and `free` wipes what is secret in it.
pub(crate) unsafe trait Structure: Default {
    /// Makes it one that may be freed.
    unsafe fn init(this: *mut Self);
    /// Gives back what it has allocated.
    unsafe fn free(this: *mut Self);
}

macro_rules! structure {
    ($($name:ident $init:ident $free:ident),* $(,)?) => {$(
        // SAFETY: its own pair of functions.
        unsafe impl Structure for $name {
            unsafe fn init(this: *mut Self) {
                // SAFETY: the caller gives a valid pointer.
                unsafe { $init(this) }
            }

            unsafe fn free(this: *mut Self) {
                // SAFETY: the caller gives what `init` has made.
                unsafe { $free(this) }
            }
        }
    )*};
}

structure!(
    mbedtls_ssl_context mbedtls_ssl_init mbedtls_ssl_free,
    mbedtls_ssl_config mbedtls_ssl_config_init mbedtls_ssl_config_free,
    mbedtls_x509_crt mbedtls_x509_crt_init mbedtls_x509_crt_free,
    mbedtls_pk_context mbedtls_pk_init mbedtls_pk_free,
    mbedtls_ssl_session mbedtls_ssl_session_init mbedtls_ssl_session_free,
);

/// A number of Mbed TLS's, on the stack. It may be moved: its words are on the heap, and nothing points to it.
pub(crate) struct Mpi(UnsafeCell<mbedtls_mpi>);

impl Mpi {
    /// Zero.
    pub(crate) fn new() -> Self {
        let this = Self(UnsafeCell::default());
        // SAFETY: just made.
        unsafe { mbedtls_mpi_init(this.0.get()) };
        this
    }

    pub(crate) fn as_ptr(&self) -> *mut mbedtls_mpi {
        self.0.get()
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        unsafe { mbedtls_mpi_free(self.0.get()) };
    }
}

/// A structure on the heap. Others of Mbed TLS may point to it, so there is no reference to it while Mbed TLS runs.
pub(crate) struct Owned<T: Structure>(NonNull<T>);

impl<T: Structure> Owned<T> {
    /// A new one.
    pub(crate) fn new() -> Result<Self, Code> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(1).map_err(|_| Code::MEMORY)?;
        memory.push(T::default());
        let pointer = NonNull::from(Box::leak(memory.into_boxed_slice())).cast::<T>();
        // SAFETY: just made, and nobody else knows it.
        unsafe { T::init(pointer.as_ptr()) };
        Ok(Self(pointer))
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T: Structure> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: made by `new` from a slice of one, and freed here only.
        unsafe {
            T::free(self.0.as_ptr());
            drop(Box::from_raw(core::ptr::slice_from_raw_parts_mut(self.0.as_ptr(), 1)));
        }
    }
}

//! Where the device secret comes from, and for how long it is lent.

use crate::{Error, Uds};

/// A place that holds the device secret: a secure element, write-protected flash, a fuse.
///
/// The secret is lent to a closure and wiped when it returns, so that it is in memory only while something is derived
/// from it. What the closure returns must not hold it; derive an identity and return that.
///
/// ```
/// use dice_core::standard::{FirmwareInfo, Identity};
/// use dice_core::{Error, FirmwareDigest, Uds, UdsSource};
///
/// /// Bytes of flash the boot loader locks after this stage.
/// struct Flash([u8; 32]);
///
/// impl UdsSource for Flash {
///     type Error = Error;
///
///     fn with_uds<R>(&mut self, use_uds: impl FnOnce(&Uds) -> R) -> Result<R, Error> {
///         Ok(use_uds(&Uds::from_bytes(self.0)?))
///     }
/// }
///
/// let firmware = FirmwareDigest::of(b"firmware")?;
/// let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
/// let mut flash = Flash(*b"a device secret for tests only..");
/// let identity = flash.with_uds(|uds| Identity::derive(uds, &firmware, &info))??;
/// # assert_eq!(identity.firmware(), &firmware);
/// # Ok::<(), Error>(())
/// ```
pub trait UdsSource {
    /// What can go wrong. It can hold this crate's errors, because what is read may not be a secret at all.
    type Error: From<Error>;

    /// Reads the secret, lends it, and wipes it.
    ///
    /// # Errors
    /// Whatever the device that holds the secret reports; [`Error::UdsAllEqual`] in its own type for blank memory.
    fn with_uds<R>(&mut self, use_uds: impl FnOnce(&Uds) -> R) -> Result<R, Self::Error>;
}

/// [`UdsSource`] for devices on an asynchronous bus.
///
/// Only reading waits; the closure runs to its end at once, so that no other task runs while the secret is in memory.
pub trait AsyncUdsSource {
    /// As in [`UdsSource`].
    type Error: From<Error>;

    /// Reads the secret, lends it, and wipes it.
    ///
    /// # Errors
    /// As for [`UdsSource::with_uds`].
    #[expect(
        async_fn_in_trait,
        reason = "used on single-threaded executors, where no bound on the future is wanted"
    )]
    async fn with_uds<R>(&mut self, use_uds: impl FnOnce(&Uds) -> R) -> Result<R, Self::Error>;
}

/// A secret that is in memory already.
impl UdsSource for Uds {
    type Error = Error;

    fn with_uds<R>(&mut self, use_uds: impl FnOnce(&Uds) -> R) -> Result<R, Error> {
        Ok(use_uds(self))
    }
}

/// A secret that is in memory already.
impl AsyncUdsSource for Uds {
    type Error = Error;

    async fn with_uds<R>(&mut self, use_uds: impl FnOnce(&Uds) -> R) -> Result<R, Error> {
        Ok(use_uds(self))
    }
}

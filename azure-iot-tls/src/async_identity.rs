//! An identity whose signatures are awaited: a secure element on a bus, another core, a PSA service.

use crate::{ChainIdentity, Identity, IdentityError, SecretKey, Signature};
use core::fmt;
use core::ops::Deref;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// As [`Identity`], with a key that takes its time. Every [`Identity`] is one.
///
/// An adapter that takes it asks for one signature a handshake, while nothing of the TLS library is running: what else
/// the executor has to do goes on. The signature may fail: the handshake ends with [`Error::Identity`](crate::Error),
/// the server is told, and a later handshake may ask again.
///
/// # Example
/// ```
/// use azure_iot_tls::{AsyncIdentity, IdentityError, Signature};
///
/// /// A chain in flash and a key in a secure element, whose driver is `chip`.
/// struct Device<'a, C> {
///     chain: &'a [&'a [u8]],
///     chip: C,
/// }
///
/// impl<C: AsyncFn(&[u8; 32]) -> Option<[u8; 64]>> AsyncIdentity for Device<'_, C> {
///     fn certificate(&self, index: usize) -> Option<&[u8]> {
///         self.chain.get(index).copied()
///     }
///
///     async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
///         (self.chip)(digest).await.map(Signature::from_bytes).ok_or(IdentityError::Signer)
///     }
/// }
/// ```
pub trait AsyncIdentity {
    /// As [`Identity::certificate`].
    fn certificate(&self, index: usize) -> Option<&[u8]>;

    /// As [`Identity::sign`]. The future is dropped if the handshake is.
    ///
    /// # Errors
    /// As [`Identity::sign`].
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError>;

    /// As [`Identity::secret_key`].
    fn secret_key(&self) -> Option<SecretKey> {
        None
    }
}

impl<T: Identity + ?Sized> AsyncIdentity for T {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        Identity::certificate(self, index)
    }

    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        Identity::sign(self, digest)
    }

    fn secret_key(&self) -> Option<SecretKey> {
        Identity::secret_key(self)
    }
}

/// Signs for the leaf of a [`ChainIdentity`] in its own time: `ChainIdentity<Awaited<K>>`.
pub trait AsyncSigner {
    /// As [`AsyncIdentity::sign`].
    ///
    /// # Errors
    /// As [`AsyncIdentity::sign`].
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError>;
}

/// A key somewhere else, behind an async function.
impl<F: AsyncFn(&[u8; 32]) -> Result<Signature, IdentityError>> AsyncSigner for F {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        self(digest).await
    }
}

/// A key of a [`ChainIdentity`] whose signatures are awaited.
#[derive(Clone, Copy)]
pub struct Awaited<K>(pub K);

impl<K> fmt::Debug for Awaited<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Awaited(..)")
    }
}

impl<K: AsyncSigner, const SIZE: usize> AsyncIdentity for ChainIdentity<Awaited<K>, SIZE> {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.certificates().nth(index)
    }

    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        self.key().0.sign(digest).await
    }
}

/// An awaited identity, by a pointer to it (a reference, an `Arc`), for an adapter that cannot wait: it polls the
/// signature until it is there, and nothing else runs on this executor meanwhile.
///
/// The signature must come by itself, from hardware or another thread. It never comes if it needs a task of this
/// executor, such as one that holds the same bus, or a timer that only knows the executor's own wakers (embassy-time
/// with integrated timers): give it a driver with a delay that blocks.
#[derive(Clone, Copy)]
pub struct Waiting<P>(pub P);

impl<P> fmt::Debug for Waiting<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting(..)")
    }
}

impl<P: Deref<Target: AsyncIdentity>> Identity for Waiting<P> {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.0.certificate(index)
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        let mut signing = pin!(self.0.sign(digest));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match signing.as_mut().poll(&mut context) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => core::hint::spin_loop(),
            }
        }
    }

    fn secret_key(&self) -> Option<SecretKey> {
        self.0.secret_key()
    }
}

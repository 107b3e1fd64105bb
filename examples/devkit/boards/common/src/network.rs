//! The application's network over `embassy-net`: the same for every board that has frames or packets to give. TLS is by
//! Mbed TLS, or, in a firmware without it, by embedded-tls.

use core::net::Ipv4Addr;
use core::pin::pin;

use azure_iot_embassy::network::{self, Buffers, Error};
use azure_iot_embassy::time;
use azure_iot_tls::roots;
use devkit_app::board::{AsyncIdentity, Wifi};
use devkit_app::{Network, NetworkLink};
use embassy_net::Stack;
use static_cell::ConstStaticCell;

use crate::retained;

#[cfg(not(feature = "mbedtls"))]
mod without_heap {
    use azure_iot_tls::{AsyncIdentity, Identity, IdentityError, Signature, Signer, embedded_tls};
    use static_cell::ConstStaticCell;

    /// Memory for the TLS records of the one connection.
    pub(super) type TlsBuffers = embedded_tls::Buffers<{ embedded_tls::FULL_RX }, { embedded_tls::USUAL_TX }>;
    pub(super) static TLS_BUFFERS: ConstStaticCell<TlsBuffers> = ConstStaticCell::new(TlsBuffers::new());

    /// The identity with a key in memory. embedded-tls cannot wait for a signature, and the bus to a key in the secure
    /// element is shared with tasks that would have to run meanwhile: there is none with such a key.
    pub(super) struct KeyInMemory<'a, I>(pub(super) &'a I);

    impl<I: AsyncIdentity> Identity for KeyInMemory<'_, I> {
        fn certificate(&self, index: usize) -> Option<&[u8]> {
            self.0.certificate(index)
        }

        fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
            Signer::sign(&self.0.secret_key().ok_or(IdentityError::KeyUnusable)?, digest)
        }
    }
}

/// The application's network.
#[allow(missing_debug_implementations, reason = "stacks have nothing to print")]
pub struct StackNetwork<'d> {
    network: network::Network<'d>,
    #[cfg(not(feature = "mbedtls"))]
    tls: &'d mut without_heap::TlsBuffers,
}

impl<'d> StackNetwork<'d> {
    /// The network over this stack; believed are the Azure services' roots, and this one.
    ///
    /// # Panics
    /// At the second call: there is one network.
    #[must_use]
    pub fn new(stack: Stack<'d>, extra_root: Option<&'d [u8]>) -> Self {
        // Not within the network, which would carry them over the stack.
        static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
        let floor = time::floor(crate::BUILT, retained::time());
        let roots = roots::AZURE.into_iter().chain(extra_root);
        Self {
            network: network::Network::new(stack, BUFFERS.take(), roots, floor),
            #[cfg(not(feature = "mbedtls"))]
            tls: without_heap::TLS_BUFFERS.take(),
        }
    }
}

impl Network for StackNetwork<'_> {
    #[cfg(feature = "mbedtls")]
    type Stream<'s>
        = network::Stream<'s>
    where
        Self: 's;
    #[cfg(not(feature = "mbedtls"))]
    type Stream<'s>
        = network::EmbeddedTlsStream<
        's,
        { azure_iot_tls::embedded_tls::FULL_RX },
        { azure_iot_tls::embedded_tls::USUAL_TX },
    >
    where
        Self: 's;
    // embedded-tls cannot await a signature.
    const NEEDS_KEY: bool = cfg!(not(feature = "mbedtls"));
    type Error = Error;

    async fn join(&mut self, _: Option<Wifi<'_>>) -> Result<(), Error> {
        self.network.stack().wait_config_up().await;
        Ok(())
    }

    async fn unix_time(&mut self) -> Result<u64, Error> {
        let now = self.network.unix_time().await?;
        retained::store(now);
        Ok(now)
    }

    async fn connect<'s, I: AsyncIdentity>(
        &'s mut self,
        host: &str,
        port: u16,
        identity: &'s I,
    ) -> Result<Self::Stream<'s>, Error> {
        #[cfg(feature = "mbedtls")]
        return pin!(self.network.connect(host, port, Some(identity))).await;
        #[cfg(not(feature = "mbedtls"))]
        {
            let identity = without_heap::KeyInMemory(identity);
            pin!(self.network.connect_embedded_tls(self.tls, host, port, Some(&identity))).await
        }
    }

    fn is_retriable(error: &Error) -> bool {
        error.is_retriable()
    }
}

/// The network's state.
#[allow(missing_debug_implementations, reason = "stacks have nothing to print")]
pub struct StackLink<'d>(Stack<'d>);

impl<'d> StackLink<'d> {
    /// The state of this stack.
    #[must_use]
    pub const fn new(stack: Stack<'d>) -> Self {
        Self(stack)
    }
}

impl NetworkLink for StackLink<'_> {
    fn address(&self) -> Option<Ipv4Addr> {
        self.0.config_v4().map(|config| config.address.address())
    }
}

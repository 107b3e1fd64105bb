//! The application's network over `embassy-net`, with Mbed TLS: the same for every board that has frames or packets
//! to give.

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

/// The application's network.
#[allow(missing_debug_implementations, reason = "stacks have nothing to print")]
pub struct StackNetwork<'d>(network::Network<'d>);

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
        Self(network::Network::new(stack, BUFFERS.take(), roots::AZURE.into_iter().chain(extra_root), floor))
    }
}

impl Network for StackNetwork<'_> {
    type Stream<'s>
        = network::Stream<'s>
    where
        Self: 's;
    type Error = Error;

    async fn join(&mut self, _: Option<Wifi<'_>>) -> Result<(), Error> {
        self.0.stack().wait_config_up().await;
        Ok(())
    }

    async fn unix_time(&mut self) -> Result<u64, Error> {
        let now = self.0.unix_time().await?;
        retained::store(now);
        Ok(now)
    }

    async fn connect<'s, I: AsyncIdentity>(
        &'s mut self,
        host: &str,
        port: u16,
        identity: &'s I,
    ) -> Result<Self::Stream<'s>, Error> {
        pin!(self.0.connect(host, port, Some(identity))).await
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

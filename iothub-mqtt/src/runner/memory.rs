//! The memory of a device: arrays of one's own, or borrowed buffers.

use crate::endpoint::{MAX_CLIENT_ID, MAX_USER_NAME};
use crate::provision::MIN_BODY;

/// Room for the SAS token of either service.
pub const MAX_TOKEN: usize = if dps_client::auth::sas::MAX_DPS_TOKEN > dps_client::auth::sas::MAX_HUB_TOKEN {
    dps_client::auth::sas::MAX_DPS_TOKEN
} else {
    dps_client::auth::sas::MAX_HUB_TOKEN
};

/// Buffers of a [`Device`](super::Device), sized for most: messages of 4 KB each way, answers of the provisioning
/// service without issued certificates, a token. The fields of [`Buffers`] say what each size is for.
///
/// ```
/// use iothub_mqtt::runner::Memory;
/// // A static of firmware; with a certificate no token is needed, and messages may be small.
/// static MEMORY: Memory<1024, 1024, 2048, 1024, 256, 0> = Memory::new();
/// # let mut memory: Memory = Memory::new();
/// # let _ = (&MEMORY, memory.buffers());
/// ```
pub struct Memory<
    const RX: usize = 4096,
    const TX: usize = 4096,
    const REGISTRATION_RX: usize = 2048,
    const REGISTRATION_TX: usize = 1024,
    const BODY: usize = MIN_BODY,
    const TOKEN: usize = MAX_TOKEN,
> {
    rx: [u8; RX],
    tx: [u8; TX],
    registration_rx: [u8; REGISTRATION_RX],
    registration_tx: [u8; REGISTRATION_TX],
    body: [u8; BODY],
    token: [u8; TOKEN],
}

impl<const RX: usize, const TX: usize, const R: usize, const T: usize, const B: usize, const K: usize>
    Memory<RX, TX, R, T, B, K>
{
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(R >= MAX_CLIENT_ID + MAX_USER_NAME, "room for client id and user name at the hub") }
        Self {
            rx: [0; RX],
            tx: [0; TX],
            registration_rx: [0; R],
            registration_tx: [0; T],
            body: [0; B],
            token: [0; K],
        }
    }

    /// The buffers, for [`Device::run`](super::Device::run).
    pub fn buffers(&mut self) -> Buffers<'_> {
        Buffers {
            rx: &mut self.rx,
            tx: &mut self.tx,
            registration_rx: &mut self.registration_rx,
            registration_tx: &mut self.registration_tx,
            body: &mut self.body,
            token: &mut self.token,
        }
    }
}

impl<const RX: usize, const TX: usize, const R: usize, const T: usize, const B: usize, const K: usize> Default
    for Memory<RX, TX, R, T, B, K>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const RX: usize, const TX: usize, const R: usize, const T: usize, const B: usize, const K: usize>
    core::fmt::Debug for Memory<RX, TX, R, T, B, K>
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // What is in it may be secret.
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

/// Buffers of a [`Device`](super::Device): those of [`Memory`], or any others.
pub struct Buffers<'b> {
    /// The session at the hub: one inbound message, see [`Session::new`](crate::session::Session::new).
    pub rx: &'b mut [u8],
    /// The session at the hub: all outbound messages on their way.
    pub tx: &'b mut [u8],
    /// Registration: one answer, see [`provision::Buffers::rx`](crate::provision::Buffers::rx). At the hub: client id
    /// and user name, up to [`MAX_CLIENT_ID`] and [`MAX_USER_NAME`] bytes.
    pub registration_rx: &'b mut [u8],
    /// Registration: requests on their way, see
    /// [`provision::Buffers::tx`](crate::provision::Buffers::tx).
    pub registration_tx: &'b mut [u8],
    /// Registration: the body of a request, see
    /// [`provision::Buffers::body`](crate::provision::Buffers::body).
    pub body: &'b mut [u8],
    /// The SAS token of a connection, wiped after it; may be empty with a certificate. [`MAX_TOKEN`] is enough.
    pub token: &'b mut [u8],
}

impl core::fmt::Debug for Buffers<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

//! Packets as the IP stack wants them: a device that gives one with each read and takes one with each write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use crate::intact::is_intact;

/// One end of a pipe of packets.
pub(crate) struct Packets {
    from: mpsc::Receiver<Vec<u8>>,
    to: mpsc::Sender<Vec<u8>>,
}

/// The other end: where packets go to and come from.
pub(crate) struct Ends {
    pub(crate) to_stack: mpsc::Sender<Vec<u8>>,
    pub(crate) from_stack: mpsc::Receiver<Vec<u8>>,
}

/// Takes the board's packets.
#[derive(Debug, Clone)]
pub struct PacketSender(pub(crate) mpsc::Sender<Vec<u8>>);

impl PacketSender {
    /// Gives a packet to the network, if its checksums say that it is whole, and waits until there is room for it.
    ///
    /// # Errors
    /// The network has ended.
    pub async fn send(&self, packet: &[u8]) -> io::Result<()> {
        if is_intact(packet) {
            self.0.send(packet.to_vec()).await.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Packets that wait for the stack. The line behind it is slow; more than a few never wait.
const WAITING: usize = 64;

/// Packets that wait for the line: what many connections may have on their way. Others are lost, as in any network.
const WAITING_FOR_LINE: usize = 1024;

/// A pipe.
pub(crate) fn pipe() -> (Packets, Ends) {
    let (to_stack, from) = mpsc::channel(WAITING);
    let (to, from_stack) = mpsc::channel(WAITING_FOR_LINE);
    (Packets { from, to }, Ends { to_stack, from_stack })
}

impl AsyncRead for Packets {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.from.poll_recv(cx) {
            // A packet that is longer than the stack's buffer is cut; its checksums find that.
            Poll::Ready(Some(packet)) => {
                out.put_slice(&packet[..packet.len().min(out.remaining())]);
                Poll::Ready(Ok(()))
            }
            // The line is gone, and soon the stack.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Packets {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, packet: &[u8]) -> Poll<io::Result<usize>> {
        // When there is no room, the line is too slow for what is to be sent; TCP sends it again. When nobody takes it
        // any more, the line is gone.
        let _ = self.to.try_send(packet.to_vec());
        Poll::Ready(Ok(packet.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

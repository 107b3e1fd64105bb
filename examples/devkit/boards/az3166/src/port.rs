//! A serial port with buffers, as the console and the network's line use it.
//!
//! It is `embassy-stm32`'s, but for one thing: in its version 0.6, a write that does not fit into what is free of the
//! buffer waits without leaving its waker (and one longer than the whole buffer is an error). Nobody wakes it when
//! there is room, and it hangs until something else wakes its task. So this one writes in pieces that fit, and asks
//! again by the clock.

use embassy_futures::select::{Either, select};
use embassy_stm32::usart::{BufferedUart, BufferedUartRx, BufferedUartTx, Config, Error};
use embassy_time::Timer;
use embedded_io_async::{ErrorType, Read, Write};

/// Bytes that are given to the port at once; every buffer has room for more.
const PIECE: usize = 64;
/// When a piece that did not fit is tried again, in milliseconds. A buffer holds what takes far longer to send.
const AGAIN_MS: u64 = 2;

/// 8 data bits, no parity, 1 stop bit, at this speed.
pub(crate) fn config_for(baud: u32) -> Config {
    let mut config = Config::default();
    config.baudrate = baud;
    config
}

/// The port.
pub(crate) struct Port {
    receiver: BufferedUartRx<'static>,
    sender: Sender,
}

/// The half that sends.
pub(crate) struct Sender(BufferedUartTx<'static>);

impl Port {
    pub(crate) fn new(port: BufferedUart<'static>) -> Self {
        let (sender, receiver) = port.split();
        Self { receiver, sender: Sender(sender) }
    }

    #[cfg(not(feature = "wifi"))]
    pub(crate) fn split(self) -> (Sender, BufferedUartRx<'static>) {
        (self.sender, self.receiver)
    }
}

impl ErrorType for Port {
    type Error = Error;
}

impl Read for Port {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        Read::read(&mut self.receiver, buf).await
    }
}

impl Write for Port {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.sender.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.sender.flush().await
    }
}

impl ErrorType for Sender {
    type Error = Error;
}

impl Write for Sender {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        // An empty write would not be followed by the end that `flush` waits for.
        if buf.is_empty() {
            return Ok(0);
        }
        let piece = buf.get(..PIECE).unwrap_or(buf);
        loop {
            // A write takes all or nothing, so nothing is lost with one that is given up.
            match select(self.0.write(piece), Timer::after_millis(AGAIN_MS)).await {
                Either::First(written) => return written,
                Either::Second(()) => {}
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.0.flush().await
    }
}

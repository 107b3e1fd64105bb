//! The serial ports: CMSDK APB UARTs (Cortex-M System Design Kit TRM, §4.3), driven by interrupts.
//!
//! The emulated receiver holds one byte and takes the next only when that one was read: when the buffer here is full,
//! the receive interrupt is switched off until there is room again, and nothing is lost.

use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_io_async::{ErrorType, Read, Write};

use crate::registers::Register;

const TX_FULL: u32 = 1;
const RX_FULL: u32 = 2;
/// Both directions on, interrupt when there is room to send.
const ENABLE: u32 = 1 << 2 | 0b11;
const RX_INTERRUPT: u32 = 1 << 3;
/// The smallest divisor there is; the emulated line has no speed.
const DIVISOR: u32 = 16;
/// Bytes received and not yet read.
const BUFFER: usize = 256;

const fn register(address: usize) -> Register {
    // SAFETY: used for the two ports below only, which the board has at these addresses.
    unsafe { Register::at(address) }
}

/// One serial port.
pub(crate) struct Uart {
    data: Register,
    state: Register,
    control: Register,
    interrupts: Register,
    divisor: Register,
    received: Pipe<CriticalSectionRawMutex, BUFFER>,
    sendable: AtomicWaker,
}

/// The console.
pub(crate) static CONSOLE: Uart = Uart::at(0x4000_4000);
/// The line to the virtual devices.
pub(crate) static BRIDGE: Uart = Uart::at(0x4000_5000);

impl Uart {
    const fn at(base: usize) -> Self {
        Self {
            data: register(base),
            state: register(base + 4),
            control: register(base + 8),
            interrupts: register(base + 12),
            divisor: register(base + 16),
            received: Pipe::new(),
            sendable: AtomicWaker::new(),
        }
    }

    pub(crate) fn start(&self) {
        self.divisor.write(DIVISOR);
        self.control.write(ENABLE | RX_INTERRUPT);
    }

    /// To be called by the interrupts of this port.
    pub(crate) fn on_interrupt(&self) {
        self.interrupts.write(0b11);
        while self.state.read() & RX_FULL != 0 {
            if self.received.free_capacity() == 0 {
                self.control.write(ENABLE);
                break;
            }
            let byte = self.data.read().to_le_bytes()[0];
            // There is room, and only this handler fills the buffer.
            let _ = self.received.try_write(&[byte]);
        }
        self.sendable.wake();
    }

    /// Waits for bytes and takes some.
    pub(crate) async fn read(&self, out: &mut [u8]) -> usize {
        let count = self.received.read(out).await;
        critical_section::with(|_| {
            self.control.write(ENABLE | RX_INTERRUPT);
            if self.state.read() & RX_FULL != 0 {
                self.on_interrupt();
            }
        });
        count
    }

    /// Sends bytes, waiting whenever the port is busy.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        for byte in bytes {
            poll_fn(|context| {
                self.sendable.register(context.waker());
                if self.state.read() & TX_FULL == 0 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            self.data.write(u32::from(*byte));
        }
    }

    /// Sends bytes at once, for what must not be left half done. The emulator takes them without a wait.
    pub(crate) fn send(&self, bytes: &[u8]) {
        for byte in bytes {
            while self.state.read() & TX_FULL != 0 {}
            self.data.write(u32::from(*byte));
        }
    }
}

/// The console as the application sees it.
pub(crate) struct Console;

impl ErrorType for Console {
    type Error = Infallible;
}

impl Read for Console {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        if out.is_empty() { Ok(0) } else { Ok(CONSOLE.read(out).await) }
    }
}

impl Write for Console {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        CONSOLE.write(bytes).await;
        Ok(bytes.len())
    }

    /// Everything is sent when the write returns.
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

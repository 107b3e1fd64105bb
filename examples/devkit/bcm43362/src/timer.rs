//! Time and interrupts, as the board brings them.

use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::digital::Wait;

/// A clock to read and to wait on.
pub trait Timer: DelayNs {
    /// Milliseconds since some moment; they never go back.
    fn now_ms(&mut self) -> u64;
}

impl<T: Timer> Timer for &mut T {
    fn now_ms(&mut self) -> u64 {
        T::now_ms(self)
    }
}

/// Embassy's time.
#[cfg(feature = "embassy-time")]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyTimer;

#[cfg(feature = "embassy-time")]
impl DelayNs for EmbassyTimer {
    async fn delay_ns(&mut self, ns: u32) {
        embassy_time::Delay.delay_ns(ns).await;
    }

    async fn delay_us(&mut self, us: u32) {
        embassy_time::Delay.delay_us(us).await;
    }

    async fn delay_ms(&mut self, ms: u32) {
        embassy_time::Delay.delay_ms(ms).await;
    }
}

#[cfg(feature = "embassy-time")]
impl Timer for EmbassyTimer {
    fn now_ms(&mut self) -> u64 {
        embassy_time::Instant::now().as_millis()
    }
}

/// How the radio signals that it has something to send.
#[allow(async_fn_in_trait, reason = "used on single-core executors only")]
pub trait Interrupt {
    /// Whether the radio is to use its own pin for it, GPIO0, instead of the SDIO line D1.
    const OUT_OF_BAND: bool;
    /// Milliseconds after which the radio is asked anyway.
    const POLL_MS: u32;

    /// Waits until it does. May be given up at any time, and may end for no reason.
    async fn wait(&mut self);
}

/// The radio's own pin, high as long as it has something: PC0 of the AZ3166.
#[derive(Clone, Debug)]
pub struct OutOfBand<P>(pub P);

impl<P: Wait> Interrupt for OutOfBand<P> {
    const OUT_OF_BAND: bool = true;
    const POLL_MS: u32 = 50;

    async fn wait(&mut self) {
        if self.0.wait_for_high().await.is_err() {
            core::future::pending::<()>().await;
        }
    }
}

/// No interrupt: the radio is asked every few milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Polled;

impl Interrupt for Polled {
    const OUT_OF_BAND: bool = false;
    const POLL_MS: u32 = 2;

    async fn wait(&mut self) {
        core::future::pending::<()>().await;
    }
}

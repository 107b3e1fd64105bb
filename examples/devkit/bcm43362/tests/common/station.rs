//! A running radio over the virtual card, and whoever uses it, in one task and in the card's time.

use std::future::poll_fn;
use std::task::Poll;

use bcm43362::{Config, Control, Device, Error, Interrupt, Nvram, Polled, Region, Runner, State, Timer};
use embassy_futures::select::{Either, select};
use embassy_net_driver::{Driver, RxToken, TxToken};
use embedded_hal_async::delay::DelayNs;
use peripherals::{Air, AirNetwork, AirSecurity};

use super::{Controller, Failure, Flash, NVRAM, ReadFailed, Shared, firmware, flash};

pub const SSID: &str = "Attic Lab";
pub const PASSPHRASE: &str = "correct horse battery";

/// The card's time: waiting lets it pass, and lets others work.
#[derive(Clone)]
pub struct CardTime(pub Shared);

impl DelayNs for CardTime {
    async fn delay_ns(&mut self, ns: u32) {
        self.0.borrow_mut().elapse(ns.into());
        embassy_futures::yield_now().await;
    }
}

impl Timer for CardTime {
    fn now_ms(&mut self) -> u64 {
        self.0.borrow().now_ns() / 1_000_000
    }
}

/// The radio's pin.
pub struct Pin(pub Shared);

impl Interrupt for Pin {
    const OUT_OF_BAND: bool = true;
    const POLL_MS: u32 = 50;

    async fn wait(&mut self) {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if self.0.borrow().interrupt_pin() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What a test works with.
pub struct Station<I: Interrupt = Polled> {
    pub card: Shared,
    pub air: Air,
    pub control: Control<'static>,
    pub device: Device<'static>,
    runner: Runner<'static, Controller, CardTime, I>,
    flash: Flash,
}

pub fn network() -> AirNetwork {
    AirNetwork::new(SSID, AirSecurity::Wpa2(PASSPHRASE.to_owned()))
}

impl Station {
    /// With one network in reach.
    pub fn new(card: Shared) -> Self {
        Self::with(card, Polled)
    }
}

impl<I: Interrupt> Station<I> {
    pub fn with(card: Shared, interrupt: I) -> Self {
        let air = card.borrow().air();
        air.add(network());
        let state = Box::leak(Box::new(State::<4, 3>::new()));
        let (controller, time) = (Controller::new(&card), CardTime(card.clone()));
        let (device, control, runner) = bcm43362::new(state, controller, time, interrupt, Config::default());
        Self { card, air, control, device, runner, flash: flash(&firmware(600)) }
    }

    /// Runs the radio until `user` is done, or the radio fails.
    pub fn run<R>(
        &mut self,
        user: impl AsyncFnOnce(&mut Control<'static>, &mut Device<'static>, &Air) -> R,
    ) -> Result<R, Error<Failure, ReadFailed>> {
        let nvram = Nvram::new(NVRAM).unwrap();
        let Self { air, control, device, runner, flash, .. } = self;
        let work = async {
            control.running().await;
            user(control, device, air).await
        };
        match embassy_futures::block_on(select(work, runner.run(flash, Region::AZ3166, nvram))) {
            Either::First(result) => Ok(result),
            Either::Second(error) => Err(error),
        }
    }
}

/// Sends an Ethernet frame as the network stack does.
pub async fn transmit(device: &mut Device<'static>, frame: &[u8]) {
    poll_fn(|cx| match device.transmit(cx) {
        Some(token) => {
            token.consume(frame.len(), |room| room.copy_from_slice(frame));
            Poll::Ready(())
        }
        None => Poll::Pending,
    })
    .await;
}

/// The next Ethernet frame.
pub async fn receive(device: &mut Device<'static>) -> Vec<u8> {
    poll_fn(|cx| match device.receive(cx) {
        Some((token, _)) => Poll::Ready(token.consume(|frame| frame.to_vec())),
        None => Poll::Pending,
    })
    .await
}

/// Lets others work until there is something.
pub async fn until<R>(mut probe: impl FnMut() -> Option<R>) -> R {
    loop {
        if let Some(result) = probe() {
            return result;
        }
        embassy_futures::yield_now().await;
    }
}

//! A firmware that measures the way of Ethernet frames through the driver, and reports on the console.
//!
//! It joins the network that its constants name, and for each length sends frames in a row, then asks for as many and
//! receives them. A line such as `receive 1514: 200 frames, 5000000 cycles` says how long the last 199 took. What
//! answers is the simulated board's `measure-radio`.
#![no_std]
#![no_main]

use core::fmt::{self, Write as _};
use core::future::poll_fn;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Poll;

use az3166_radio::{CORE_HZ, Console, NVRAM, QspiFlash, Sdio, reset_radio};
use bcm43362::{Config, Control, Device, Interrupt, Key, Nvram, Region, Ssid, State, Timer};
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{DWT, Peripherals};
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_net_driver::{Driver, RxToken as _, TxToken as _};
use embedded_hal_async::delay::DelayNs;
use static_cell::StaticCell;
use stm32_metapac::GPIOC;
use stm32_metapac::gpio::vals::Idr;

/// The network, and what opens it.
const SSID: &[u8] = b"virtual-devkit";
const PASSPHRASE: &str = "zero-touch";
/// Lengths of the frames that are measured.
const LENGTHS: [usize; 2] = [60, 1514];
/// Frames in a row.
const FRAMES: u32 = 200;
/// A type of frames for experiments (IEEE 802), and what is in those of this program: a request for so many frames of
/// so many bytes, or padding that counts up.
const HEADER: [u8; 14] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 1, 0x88, 0xB5];

/// Milliseconds.
static NOW: AtomicU32 = AtomicU32::new(0);

#[cortex_m_rt::exception]
fn SysTick() {
    NOW.fetch_add(1, Ordering::Relaxed);
}

/// The heartbeat's time; other futures go on while one waits.
struct Heartbeat;

impl DelayNs for Heartbeat {
    async fn delay_ns(&mut self, ns: u32) {
        let (from, wait) = (DWT::cycle_count(), ns.div_ceil(125).saturating_mul(CORE_HZ / 8_000_000));
        while DWT::cycle_count().wrapping_sub(from) < wait {
            yield_now().await;
        }
    }

    async fn delay_ms(&mut self, ms: u32) {
        let until = self.now_ms() + u64::from(ms);
        while self.now_ms() < until {
            yield_now().await;
        }
    }
}

impl Timer for Heartbeat {
    fn now_ms(&mut self) -> u64 {
        NOW.load(Ordering::Relaxed).into()
    }
}

/// The radio's pin, looked at again and again.
struct Pin;

impl Interrupt for Pin {
    const OUT_OF_BAND: bool = true;
    const POLL_MS: u32 = 50;

    async fn wait(&mut self) {
        while GPIOC.idr().read().idr(0) == Idr::LOW {
            yield_now().await;
        }
    }
}

async fn send(device: &mut Device<'_>, len: usize, fill: impl FnOnce(&mut [u8])) {
    let mut fill = Some(fill);
    poll_fn(|cx| match (device.transmit(cx), fill.take()) {
        (Some(token), Some(fill)) => {
            token.consume(len, |frame| {
                frame.iter_mut().zip(HEADER).for_each(|(to, from)| *to = from);
                fill(frame.get_mut(HEADER.len()..).unwrap_or_default());
            });
            Poll::Ready(())
        }
        (_, kept) => {
            fill = kept;
            Poll::Pending
        }
    })
    .await;
}

/// The next frame of this program's type: its length and its number.
async fn receive(device: &mut Device<'_>) -> (usize, u32) {
    loop {
        let got = poll_fn(|cx| match device.receive(cx) {
            Some((token, _)) => Poll::Ready(token.consume(|frame| {
                let is_ours = frame.get(12..14) == HEADER.get(12..);
                let number = frame.get(14..).and_then(|rest| rest.first_chunk());
                number.filter(|_| is_ours).map(|number| (frame.len(), u32::from_be_bytes(*number)))
            })),
            None => Poll::Pending,
        });
        if let Some(got) = got.await {
            return got;
        }
    }
}

async fn measure(
    control: &mut Control<'_>,
    device: &mut Device<'_>,
    console: &mut Console,
) -> Result<(), &'static str> {
    control.running().await;
    let ssid = Ssid::new(SSID).map_err(|_| "the name")?;
    let key = Key::new(PASSPHRASE).map_err(|_| "the key")?;
    let security = control.choose(ssid, Some(key)).await.map_err(|_| "no network is found")?;
    control.join(ssid, security).await.map_err(|_| "the network is not joined")?;
    for len in LENGTHS {
        let mut first = 0;
        for number in 0..FRAMES {
            send(device, len, |rest| {
                rest.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
            })
            .await;
            if number == 0 {
                first = DWT::cycle_count();
            }
        }
        report(console, "send", len, first);
        let request = (u64::from(FRAMES) << 32 | len as u64).to_be_bytes();
        send(device, 60, |rest| {
            rest.iter_mut().zip([b'?'].iter().chain(&request)).for_each(|(to, from)| *to = *from);
        })
        .await;
        for number in 0..FRAMES {
            if receive(device).await != (len, number) {
                return Err("another frame than the next one");
            }
            if number == 0 {
                first = DWT::cycle_count();
            }
        }
        report(console, "receive", len, first);
    }
    Ok(())
}

fn report(console: &mut Console, what: &str, len: usize, first: u32) {
    let cycles = DWT::cycle_count().wrapping_sub(first);
    // The console cannot fail.
    let _ = writeln!(console, "{what} {len}: {FRAMES} frames, {cycles} cycles\r");
}

async fn run(console: &mut Console) -> Result<(), Failure> {
    static STATE: StaticCell<State<'static>> = StaticCell::new();
    reset_radio(&mut Heartbeat).await;
    let nvram = Nvram::new(NVRAM).map_err(|_| Failure::Text("the radio's settings"))?;
    let state = STATE.init_with(State::new);
    let (mut device, mut control, mut runner) =
        bcm43362::new(state, Sdio::new(), Heartbeat, Pin, Config::default());
    let mut flash = QspiFlash::new();
    let work = measure(&mut control, &mut device, console);
    match select(work, runner.run(&mut flash, Region::AZ3166, nvram)).await {
        Either::First(done) => done.map_err(Failure::Text),
        Either::Second(error) => Err(Failure::Radio(error)),
    }
}

enum Failure {
    Text(&'static str),
    Radio(bcm43362::Error<az3166_radio::SdioFault, az3166_radio::FlashTimeout>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Radio(error) => error.fmt(f),
        }
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut console = Console::new();
    if let Some(mut core) = Peripherals::take() {
        core.DCB.enable_trace();
        core.DWT.enable_cycle_counter();
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(CORE_HZ / 1000 - 1);
        core.SYST.clear_current();
        core.SYST.enable_interrupt();
        core.SYST.enable_counter();
    }
    match embassy_futures::block_on(run(&mut console)) {
        Ok(()) => console.end(format_args!("measured")),
        Err(failure) => console.end(format_args!("{failure}")),
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    Console::new().end(format_args!("{info}"))
}

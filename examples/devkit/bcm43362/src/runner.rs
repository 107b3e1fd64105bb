//! Runs the radio: brings it up, sets it up, and then moves frames, answers the control, and watches over it, until it
//! fails.

use core::convert::Infallible;

use embassy_futures::select::select4;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::zerocopy_channel::{Receiver, Sender};

use crate::blob::{BlobSource, Region};
use crate::bus::SdioBus;
use crate::error::{BusError, Error};
use crate::net::{Frame, Shared};
use crate::nvram::Nvram;
use crate::radio::Radio;
use crate::session::Session;
use crate::timer::{Interrupt, Timer};

/// Milliseconds without anything from the radio, after which it is asked whether it still runs.
const QUIET_MS: u64 = 5000;
/// Frames sent or received in a row before the other direction has its turn.
const BURST: u32 = 8;

/// Where the radio is, which says on which channels and how loud it may send: two letters (ISO 3166), or `XX` for what
/// is allowed everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country {
    /// The letters.
    pub code: [u8; 2],
    /// The revision of the rules in the radio's firmware; -1 for the newest.
    pub revision: i32,
}

impl Country {
    /// What is allowed everywhere.
    pub const WORLD: Self = Self { code: *b"XX", revision: -1 };
}

/// How the radio is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where it is.
    pub country: Country,
}

impl Config {
    /// In this country.
    #[must_use]
    pub const fn new(country: Country) -> Self {
        Self { country }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Country::WORLD)
    }
}

/// The one who does the work.
#[allow(missing_debug_implementations, reason = "buffers")]
pub struct Runner<'a, B, T, I> {
    bus: B,
    timer: T,
    interrupt: I,
    config: Config,
    shared: &'a Shared,
    received: Sender<'a, NoopRawMutex, Frame>,
    to_send: Receiver<'a, NoopRawMutex, Frame>,
}

/// Whoever waits for an answer of a radio that has failed gets one, even if the runner is dropped.
struct Off<'a>(&'a Shared);

impl Drop for Off<'_> {
    fn drop(&mut self) {
        self.0.switch_off();
    }
}

impl<'a, B: SdioBus, T: Timer, I: Interrupt> Runner<'a, B, T, I> {
    pub(crate) fn new(
        bus: B,
        timer: T,
        interrupt: I,
        config: Config,
        shared: &'a Shared,
        received: Sender<'a, NoopRawMutex, Frame>,
        to_send: Receiver<'a, NoopRawMutex, Frame>,
    ) -> Self {
        Self { bus, timer, interrupt, config, shared, received, to_send }
    }

    /// The bus, for what only the board can do with it: power, reset.
    pub fn bus(&mut self) -> &mut B {
        &mut self.bus
    }

    /// Brings the radio up and runs it until it fails; then it may be reset, waited for a while, and run again.
    /// `source` has its firmware in `region`, `nvram` are its module's settings.
    ///
    /// To be dropped in the middle of its work does no harm to control and device, but the radio has to be run from
    /// its start.
    pub async fn run<S: BlobSource>(
        &mut self,
        source: &mut S,
        region: Region,
        nvram: Nvram<'_>,
    ) -> Error<B::Error, S::Error> {
        let _off = Off(self.shared);
        match Radio::bring_up(&mut self.bus, &mut self.timer, source, region, nvram).await {
            Ok(radio) => {
                let Self { interrupt, config, shared, received, to_send, .. } = self;
                let backplane = radio.into_backplane();
                let session = Session::new(backplane, shared, received);
                match serve(session, interrupt, *config, to_send).await {
                    Ok(never) => match never {},
                    Err(error) => error.with_source(),
                }
            }
            Err(error) => error,
        }
    }
}

async fn serve<B: SdioBus, T: Timer, I: Interrupt>(
    mut session: Session<'_, '_, B, T>,
    interrupt: &mut I,
    config: Config,
    to_send: &mut Receiver<'_, NoopRawMutex, Frame>,
) -> Result<Infallible, BusError<B::Error>> {
    session.open(config, I::OUT_OF_BAND).await?;
    loop {
        session.set_stalled(!session.may_send_data() && !to_send.is_empty());
        session.check(QUIET_MS).await?;
        let mut is_busy = false;
        for _ in 0..BURST {
            if !session.receive().await? {
                break;
            }
            is_busy = true;
        }
        for _ in 0..BURST {
            if !session.may_send_data() {
                break;
            }
            let Some(frame) = to_send.try_receive() else { break };
            session.send(frame).await?;
            to_send.receive_done();
            is_busy = true;
        }
        if let Ok((number, request)) = session.shared.request.try_receive() {
            session.serve(number, request).await?;
            is_busy = true;
        }
        if is_busy {
            embassy_futures::yield_now().await;
            continue;
        }
        let may_send = session.may_send_data();
        let sendable = async {
            if may_send {
                let _ = to_send.receive().await;
            } else {
                core::future::pending::<()>().await;
            }
        };
        let (shared, poll) = (session.shared, session.poll_ms(I::POLL_MS));
        let wait = session.timer().delay_ms(poll);
        select4(interrupt.wait(), sendable, shared.request.ready_to_receive(), wait).await;
        session.acknowledge().await?;
    }
}

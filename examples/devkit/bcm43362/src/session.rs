//! A radio whose firmware runs: its set-up, frames both ways, and whether it is still alive. Commands are in
//! `exchange`, what the control asks for in `station`.

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::zerocopy_channel::Sender;

use crate::backplane::Backplane;
use crate::bus::SdioBus;
use crate::cdc::{self, Command};
use crate::control::Status;
use crate::error::{BusError, Error, Step};
use crate::event::{self, Event};
use crate::exchange::Answered;
use crate::field::Writer;
use crate::net::{Frame, MTU, Shared};
use crate::runner::Config;
use crate::sdpcm::{Channel, FrameError, Sdpcm, bdc_payload, len_of};
use crate::station::Pending;
use crate::timer::Timer;
use crate::transfer::Read;

/// Milliseconds for which the events' mask may be refused after the country was set, and between two attempts.
const MASK_MS: u64 = 1000;
const MASK_AGAIN_MS: u32 = 50;
/// Milliseconds that frames wait for a credit, until the radio is reminded, and until it is given up.
const REMIND_MS: u64 = 250;
const STALL_MS: u64 = 5000;
/// Bad frames in a row after which the radio is given up.
const BAD_FRAMES: u32 = 32;

pub(crate) struct Session<'s, 'a, B, T> {
    pub(crate) backplane: Backplane<B, T>,
    pub(crate) shared: &'s Shared,
    pub(crate) sdpcm: Sdpcm,
    pub(crate) answered: Answered,
    pub(crate) pending: Pending,
    received: &'s mut Sender<'a, NoopRawMutex, Frame>,
    bad_frames: u32,
    last_frame: u64,
    stalled_since: Option<u64>,
    reminded: u64,
}

/// What can end a session.
pub(crate) type Ends<T, B> = Result<T, BusError<<B as SdioBus>::Error>>;

impl<'s, 'a, B: SdioBus, T: Timer> Session<'s, 'a, B, T> {
    pub(crate) fn new(
        mut backplane: Backplane<B, T>,
        shared: &'s Shared,
        received: &'s mut Sender<'a, NoopRawMutex, Frame>,
    ) -> Self {
        let last_frame = backplane.card.delay.now_ms();
        Self {
            backplane,
            shared,
            sdpcm: Sdpcm::new(),
            answered: Answered::default(),
            pending: Pending::default(),
            received,
            bad_frames: 0,
            last_frame,
            stalled_since: None,
            reminded: 0,
        }
    }

    pub(crate) fn timer(&mut self) -> &mut T {
        &mut self.backplane.card.delay
    }

    pub(crate) fn now(&mut self) -> u64 {
        self.timer().now_ms()
    }

    pub(crate) fn may_send_data(&self) -> bool {
        self.sdpcm.may_send_data()
    }

    /// How long nothing needs to be looked after, with an interrupt that says so at this interval.
    pub(crate) fn poll_ms(&self, poll_ms: u32) -> u32 {
        let is_waiting = !self.pending.is_empty() || self.received.is_full();
        if is_waiting || self.stalled_since.is_some() { poll_ms.min(5) } else { poll_ms }
    }

    /// Whether frames wait for a credit.
    pub(crate) fn set_stalled(&mut self, is_stalled: bool) {
        let now = self.now();
        self.stalled_since = is_stalled.then(|| self.stalled_since.unwrap_or(now));
    }

    pub(crate) fn hung(&self) -> BusError<B::Error> {
        Error::Hung { step: self.backplane.card.step }
    }

    /// From a running firmware to a radio that may join.
    pub(crate) async fn open(&mut self, config: Config, out_of_band: bool) -> Ends<(), B> {
        self.backplane.card.step = Step::Setup;
        self.backplane.enable_interrupts(out_of_band).await?;
        self.set_var("bus:txglom", &[0; 4]).await?;
        // Older firmware does not know it, and does not need it.
        self.try_command(&cdc::Request::set_var("apsta", &1_u32.to_le_bytes())).await?.ok();
        let [a, b] = config.country.code;
        let mut country = [0; 12];
        let revision = config.country.revision.to_le_bytes();
        let _ = Writer::new(&mut country).put(&[a, b, 0, 0]).put(&revision).put(&[a, b, 0, 0]);
        self.set_var("country", &country).await?;
        let mut mask = [0; 16];
        for number in event::WANTED {
            if let Some(byte) = mask.get_mut(usize::from(number / 8)) {
                *byte |= 1 << (number % 8);
            }
        }
        let deadline = self.now() + MASK_MS;
        // The firmware is busy with the country for a while.
        while let Err(status) = self.try_command(&cdc::Request::set_var("event_msgs", &mask)).await? {
            if self.now() >= deadline {
                return Err(self.rejected(Command::SetVar, status));
            }
            self.timer().delay_ms(MASK_AGAIN_MS).await;
        }
        self.set(Command::Up, 0).await?;
        if self.get(&cdc::Request::get(Command::GetUp, 4)).await? == 0 {
            return Err(self.rejected(Command::Up, 0));
        }
        self.set(Command::SetGmode, 1).await?;
        self.command(&cdc::Request::get_var("cur_etheraddr", 6)).await?;
        if let Some(address) = self.answered.bytes.first_chunk() {
            self.shared.set_address(*address);
        }
        self.backplane.card.step = Step::Frames;
        self.shared.set_status(Status::Idle);
        Ok(())
    }

    /// Takes back what interrupted.
    pub(crate) async fn acknowledge(&mut self) -> Ends<(), B> {
        if self.backplane.acknowledge().await? { Err(self.hung()) } else { Ok(()) }
    }

    /// Sends a frame of the network's.
    pub(crate) async fn send(&mut self, frame: &mut Frame) -> Ends<(), B> {
        let len = frame.envelop(&mut self.sdpcm);
        if self.backplane.write_frame(&frame.bytes, len).await? { Ok(()) } else { Err(self.hung()) }
    }

    /// Receives a frame. Gives whether there was one; without room for it there is none.
    pub(crate) async fn receive(&mut self) -> Ends<bool, B> {
        let Some(frame) = self.received.try_send() else { return Ok(false) };
        let read = self.backplane.read_frame(&mut frame.bytes).await?;
        let outcome = match read {
            Read::Nothing => return Ok(false),
            Read::Dropped => Err(FrameError::Truncated),
            Read::Frame(len) => {
                frame.bytes.get(..len).ok_or(FrameError::Length).and_then(|bytes| self.sdpcm.receive(bytes))
            }
        };
        let now = self.backplane.card.delay.now_ms();
        let outcome = match outcome {
            Ok(None) => Ok(()),
            Ok(Some((Channel::Control, packet))) => {
                self.answered.take(packet);
                Ok(())
            }
            Ok(Some((Channel::Event, packet))) => bdc_payload(packet)
                .and_then(Event::parse)
                .map(|event| self.pending.handle(self.shared, &event)),
            Ok(Some((Channel::Data, packet))) => match bdc_payload(packet) {
                Ok(ethernet) if (14..=MTU).contains(&ethernet.len()) => {
                    let len = ethernet.len();
                    // It is the end of what the header says.
                    let start = len_of(&frame.bytes) - len;
                    frame.start = u16::try_from(start).unwrap_or_default();
                    frame.len = u16::try_from(len).unwrap_or_default();
                    if self.shared.status() == Status::Joined {
                        self.received.send_done();
                    }
                    Ok(())
                }
                other => other.and(Err(FrameError::Length)),
            },
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => (self.bad_frames, self.last_frame) = (0, now),
            Err(_) => self.bad_frames += 1,
        }
        // A radio that sends nonsense only has failed.
        if self.bad_frames > BAD_FRAMES { Err(self.hung()) } else { Ok(true) }
    }

    /// Ends what has taken too long.
    pub(crate) async fn check(&mut self, quiet_ms: u64) -> Ends<(), B> {
        self.end_overdue().await?;
        let now = self.now();
        if let Some(since) = self.stalled_since {
            if now >= since + STALL_MS {
                return Err(self.hung());
            }
            if now >= since.max(self.reminded) + REMIND_MS {
                self.reminded = now;
                self.backplane.poke().await?;
            }
        }
        if now >= self.last_frame + quiet_ms {
            self.try_command(&cdc::Request::get(Command::GetUp, 4)).await?.ok();
            self.last_frame = now;
        }
        Ok(())
    }
}

//! A radio whose firmware runs: commands and their answers, frames both ways, and the station's state.

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::zerocopy_channel::Sender;

use crate::backplane::Backplane;
use crate::bus::SdioBus;
use crate::cdc::{self, Command};
use crate::control::{ControlError, PowerSave, Request, Status, VERSION_LEN, Value, Version};
use crate::error::{BusError, Error, Step};
use crate::event::{self, Event, Kind};
use crate::field::Writer;
use crate::join::{Joining, Loss, Security, Ssid};
use crate::net::{Frame, MTU, Shared};
use crate::runner::Config;
use crate::scan::{self, Network};
use crate::sdpcm::{self, Channel, FrameError, Sdpcm, bdc_payload, len_of};
use crate::timer::Timer;
use crate::transfer::Read;

/// Attempts of a command, and milliseconds for each.
const ATTEMPTS: u32 = 3;
const ANSWER_MS: u64 = 700;
/// How often an answer is polled for, in milliseconds.
const LOOK_MS: u32 = 1;
/// Milliseconds that a join and a scan may take.
const JOIN_MS: u64 = 12_000;
const SCAN_MS: u64 = 15_000;
/// Milliseconds for which the events' mask may be refused after the country was set, and between two attempts.
const MASK_MS: u64 = 1000;
const MASK_AGAIN_MS: u32 = 50;
/// Milliseconds that frames wait for a credit, until the radio is reminded, and until it is given up.
const REMIND_MS: u64 = 250;
const STALL_MS: u64 = 5000;
/// Bad frames in a row after which the radio is given up.
const BAD_FRAMES: u32 = 32;
/// Bytes of a command: its headers, the longest value, and padding.
const COMMAND_LEN: usize = 192;

/// A command, at a place that suits DMA.
#[repr(align(4))]
struct CommandFrame([u8; COMMAND_LEN]);

/// The answer to the command that waits for one.
struct Answered {
    id: u16,
    /// Bytes that were read, or the firmware's error.
    result: Option<Result<usize, i32>>,
    bytes: [u8; VERSION_LEN],
}

/// Something that the control waits for, until a moment.
struct Until<W> {
    what: W,
    number: u32,
    deadline: u64,
}

pub(crate) struct Session<'s, 'a, B, T> {
    backplane: Backplane<B, T>,
    pub(crate) shared: &'s Shared,
    received: &'s mut Sender<'a, NoopRawMutex, Frame>,
    sdpcm: Sdpcm,
    answered: Answered,
    joining: Option<Until<Joining>>,
    scanning: Option<Until<u16>>,
    bad_frames: u32,
    last_frame: u64,
    stalled_since: Option<u64>,
    reminded: u64,
}

/// What can end a session.
type Ends<T, B> = Result<T, BusError<<B as SdioBus>::Error>>;

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
            received,
            sdpcm: Sdpcm::new(),
            answered: Answered { id: 0, result: None, bytes: [0; VERSION_LEN] },
            joining: None,
            scanning: None,
            bad_frames: 0,
            last_frame,
            stalled_since: None,
            reminded: 0,
        }
    }

    pub(crate) fn timer(&mut self) -> &mut T {
        &mut self.backplane.card.delay
    }

    fn now(&mut self) -> u64 {
        self.timer().now_ms()
    }

    pub(crate) fn may_send_data(&self) -> bool {
        self.sdpcm.may_send_data()
    }

    /// How long nothing needs to be looked after, with an interrupt that says so at this interval.
    pub(crate) fn poll_ms(&self, poll_ms: u32) -> u32 {
        let is_waiting = self.joining.is_some() || self.scanning.is_some() || self.received.is_full();
        if is_waiting || self.stalled_since.is_some() { poll_ms.min(5) } else { poll_ms }
    }

    /// Whether frames wait for a credit.
    pub(crate) fn set_stalled(&mut self, is_stalled: bool) {
        let now = self.now();
        self.stalled_since = is_stalled.then(|| self.stalled_since.unwrap_or(now));
    }

    fn hung(&self) -> BusError<B::Error> {
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

    fn rejected(&self, command: Command, status: i32) -> BusError<B::Error> {
        Error::Rejected { step: self.backplane.card.step, command: command as u16, status }
    }

    /// A command that must succeed.
    async fn command(&mut self, request: &cdc::Request<'_>) -> Ends<usize, B> {
        let result = self.try_command(request).await?;
        result.map_err(|status| self.rejected(request.command, status))
    }

    async fn set(&mut self, command: Command, value: u32) -> Ends<(), B> {
        self.command(&cdc::Request::set(command, &value.to_le_bytes())).await.map(drop)
    }

    async fn set_var(&mut self, name: &str, value: &[u8]) -> Ends<(), B> {
        self.command(&cdc::Request::set_var(name, value)).await.map(drop)
    }

    async fn get(&mut self, request: &cdc::Request<'_>) -> Ends<u32, B> {
        self.command(request).await?;
        Ok(crate::field::u32_at(&self.answered.bytes, 0))
    }

    /// A command, sent again if there is no answer in time. Gives how many bytes were read, or the firmware's error.
    async fn try_command(&mut self, request: &cdc::Request<'_>) -> Ends<Result<usize, i32>, B> {
        for _ in 0..ATTEMPTS {
            let deadline = self.now() + ANSWER_MS;
            while !self.sdpcm.has_credit() && self.now() < deadline {
                self.look().await?;
            }
            if !self.sdpcm.has_credit() {
                self.backplane.poke().await?;
                continue;
            }
            let id = self.answered.id.wrapping_add(1);
            self.answered = Answered { id, result: None, bytes: [0; VERSION_LEN] };
            let mut frame = CommandFrame([0; COMMAND_LEN]);
            let (header, rest) = frame.0.split_at_mut(sdpcm::HEADER_LEN);
            let len = sdpcm::HEADER_LEN + request.emit(id, rest);
            header.copy_from_slice(
                &self.sdpcm.header(Channel::Control, u16::try_from(len).unwrap_or_default()),
            );
            let is_sent = self.backplane.write_frame(&frame.0, len).await?;
            zeroize::Zeroize::zeroize(&mut frame.0);
            if !is_sent {
                continue;
            }
            let deadline = self.now() + ANSWER_MS;
            while self.now() < deadline {
                self.look().await?;
                if let Some(result) = self.answered.result.take() {
                    return Ok(result);
                }
            }
        }
        Err(self.hung())
    }

    /// Receives what there is, or waits a little.
    async fn look(&mut self) -> Ends<(), B> {
        if !self.receive().await? {
            self.timer().delay_ms(LOOK_MS).await;
        }
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
            Ok(Some((Channel::Event, packet))) => bdc_payload(packet).and_then(Event::parse).map(|event| {
                let Self { shared, joining, scanning, .. } = self;
                handle(shared, joining, scanning, &event);
            }),
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
        let now = self.now();
        if let Some(join) = self.joining.take_if(|join| now >= join.deadline) {
            self.shared.set_status(Status::Idle);
            // Whatever the firmware still does about it.
            self.try_command(&cdc::Request::set(Command::Disassoc, &[0; 4])).await?.ok();
            self.shared.reply(join.number, Err(ControlError::TimedOut));
        }
        if let Some(scan) = self.scanning.take_if(|scan| now >= scan.deadline) {
            self.shared.reply(scan.number, Err(ControlError::TimedOut));
        }
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

    /// Does what the control asks; a join or a scan ends later.
    pub(crate) async fn serve(&mut self, number: u32, request: Request) -> Ends<(), B> {
        let value = match request {
            Request::Join(ssid, security) => return self.join(number, &ssid, &security).await,
            Request::Scan(ssid) => return self.scan(number, ssid.as_ref()).await,
            Request::Leave => {
                self.joining = None;
                let left = self.try_command(&cdc::Request::set(Command::Disassoc, &[0; 4])).await?;
                self.shared.set_status(Status::Idle);
                left.map(|_| Value::Done)
            }
            Request::Signal => self
                .try_command(&cdc::Request::get(Command::GetRssi, 4))
                .await?
                .map(|_| Value::Signal(crate::field::u32_at(&self.answered.bytes, 0).cast_signed())),
            Request::Version => self
                .try_command(&cdc::Request::get_var("ver", u16::try_from(VERSION_LEN).unwrap_or_default()))
                .await?
                .map(|_| Value::Version(Version { bytes: self.answered.bytes })),
            Request::PowerSave(mode) => {
                let mode: u32 = match mode {
                    PowerSave::Off => 0,
                    PowerSave::Most => 1,
                    PowerSave::Fast => 2,
                };
                let mode = mode.to_le_bytes();
                self.try_command(&cdc::Request::set(Command::SetPm, &mode)).await?.map(|_| Value::Done)
            }
        };
        self.shared.reply(number, value.map_err(|status| ControlError::Refused { status }));
        Ok(())
    }

    async fn join(&mut self, number: u32, ssid: &Ssid, security: &Security) -> Ends<(), B> {
        self.joining = None;
        let was = self.shared.status();
        self.shared.set_status(Status::Joining);
        if was != Status::Idle {
            // The firmware may not be in a network any more, and say so.
            self.try_command(&cdc::Request::set(Command::Disassoc, &[0; 4])).await?.ok();
        }
        if let Err(status) = self.prepare_join(security).await? {
            self.shared.set_status(Status::Idle);
            self.shared.reply(number, Err(ControlError::Refused { status }));
            return Ok(());
        }
        let deadline = self.now() + JOIN_MS;
        self.joining = Some(Until { what: Joining::new(security), number, deadline });
        // Its progress is reported by events.
        let begun = self.try_command(&cdc::Request::set(Command::SetSsid, &ssid.value())).await?;
        if let Err(status) = begun
            && self.joining.take().is_some()
        {
            self.shared.set_status(Status::Idle);
            self.shared.reply(number, Err(ControlError::Refused { status }));
        }
        Ok(())
    }

    /// Everything about a network except its name.
    async fn prepare_join(&mut self, security: &Security) -> Ends<Result<(), i32>, B> {
        let variable = |value: u32| {
            let mut bytes = [0; 8];
            let _ = Writer::new(&mut bytes).put(&[0; 4]).put(&value.to_le_bytes());
            bytes
        };
        let set = |command, value: u32| (command, value.to_le_bytes());
        let (wsec, wsec_value) = set(Command::SetWsec, security.ciphers());
        let supplicant = variable(u32::from(security.key().is_some()));
        let (any_version, patience) = (variable(u32::MAX), variable(2500));
        let mut key = security.key().map(|key| zeroize::Zeroizing::new(key.value()));
        let (infra, infra_value) = set(Command::SetInfra, 1);
        let (auth, auth_value) = set(Command::SetAuth, 0);
        let (wpa_auth, wpa_auth_value) = set(Command::SetWpaAuth, security.wpa_auth());
        let is_secured = key.is_some();
        let requests = [
            Some(cdc::Request::set(wsec, &wsec_value)),
            Some(cdc::Request::set_var("bsscfg:sup_wpa", &supplicant)),
            is_secured.then(|| cdc::Request::set_var("bsscfg:sup_wpa2_eapver", &any_version)),
            is_secured.then(|| cdc::Request::set_var("bsscfg:sup_wpa_tmo", &patience)),
            key.as_mut().map(|key| cdc::Request::set(Command::SetWsecPmk, &key[..])),
            Some(cdc::Request::set(infra, &infra_value)),
            Some(cdc::Request::set(auth, &auth_value)),
            Some(cdc::Request::set(wpa_auth, &wpa_auth_value)),
        ];
        for request in requests.iter().flatten() {
            if let Err(status) = self.try_command(request).await? {
                return Ok(Err(status));
            }
        }
        Ok(Ok(()))
    }

    async fn scan(&mut self, number: u32, ssid: Option<&Ssid>) -> Ends<(), B> {
        let sync = u16::from_le_bytes([number.to_le_bytes()[0], 0xA5]);
        let deadline = self.now() + SCAN_MS;
        self.scanning = Some(Until { what: sync, number, deadline });
        let parameters = scan::parameters(ssid, sync);
        if let Err(status) = self.try_command(&cdc::Request::set_var("escan", &parameters)).await?
            && self.scanning.take().is_some()
        {
            self.shared.reply(number, Err(ControlError::Refused { status }));
        }
        Ok(())
    }
}

impl Answered {
    /// Takes the answer, if it is the one that is waited for.
    fn take(&mut self, packet: &[u8]) {
        let Some(answer) = cdc::Answer::parse(packet).filter(|answer| answer.id == self.id) else { return };
        self.result = Some(answer.result.map(|bytes| {
            self.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            bytes.len()
        }));
    }
}

/// What an event changes.
fn handle(
    shared: &Shared,
    joining: &mut Option<Until<Joining>>,
    scanning: &mut Option<Until<u16>>,
    event: &Event<'_>,
) {
    if event.kind == Kind::EscanResult {
        let is_ours =
            |scan: &mut Until<u16>| event.data.len() < 10 || crate::field::u16_at(event.data, 8) == scan.what;
        if event.status == event::status::PARTIAL {
            if let Some(network) =
                scanning.as_mut().and_then(|scan| is_ours(scan).then(|| Network::parse(event.data)))
                && let Some(network) = network
            {
                // A network that is not taken in time is lost, as a beacon may be.
                let _ = shared.networks.try_send(network);
            }
        } else if let Some(scan) = scanning.take_if(is_ours) {
            let result = match event.status {
                event::status::SUCCESS => Ok(Value::Done),
                _ => Err(ControlError::TimedOut),
            };
            shared.reply(scan.number, result);
        }
        return;
    }
    if let Some(join) = joining {
        if let Some(result) = join.what.handle(event) {
            shared.set_status(if result.is_ok() { Status::Joined } else { Status::Idle });
            shared.reply(join.number, result.map(|()| Value::Done));
            *joining = None;
        }
    } else if shared.status() == Status::Joined
        && let Some(loss) = Loss::of(event)
    {
        shared.set_status(Status::Lost(loss));
    }
}

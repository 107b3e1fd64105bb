//! The station: it joins, leaves and scans as the control asks, and takes note of what events say about that.

use zeroize::Zeroizing;

use crate::bus::SdioBus;
use crate::cdc::{self, Command};
use crate::control::{ControlError, PowerSave, Request, Status, VERSION_LEN, Value, Version};
use crate::event::{Event, Kind, status};
use crate::field::{u16_at, u32_at};
use crate::join::{Joining, Loss, Security, Ssid};
use crate::net::Shared;
use crate::scan::{self, Network};
use crate::session::{Ends, Session};
use crate::timer::Timer;

/// Milliseconds that a join and a scan may take.
const JOIN_MS: u64 = 12_000;
const SCAN_MS: u64 = 15_000;

/// Something that the control waits for, until a moment.
struct Until<W> {
    what: W,
    number: u32,
    deadline: u64,
}

/// What goes on in the radio and is over when an event says so.
#[derive(Default)]
pub(crate) struct Pending {
    joining: Option<Until<Joining>>,
    /// The scan's own number.
    scanning: Option<Until<u16>>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.joining.is_none() && self.scanning.is_none()
    }

    /// What an event changes.
    pub(crate) fn handle(&mut self, shared: &Shared, event: &Event<'_>) {
        if event.kind == Kind::EscanResult {
            self.handle_scan(shared, event);
        } else if let Some(join) = &mut self.joining {
            if let Some(result) = join.what.handle(event) {
                shared.set_status(if result.is_ok() { Status::Joined } else { Status::Idle });
                shared.reply(join.number, result.map(|()| Value::Done));
                self.joining = None;
            }
        } else if shared.status() == Status::Joined
            && let Some(loss) = Loss::of(event)
        {
            shared.set_status(Status::Lost(loss));
        }
    }

    fn handle_scan(&mut self, shared: &Shared, event: &Event<'_>) {
        let is_ours = |scan: &mut Until<u16>| event.data.len() < 10 || u16_at(event.data, 8) == scan.what;
        let Some(scan) = self.scanning.take_if(is_ours) else { return };
        match event.status {
            status::PARTIAL => {
                if let Some(network) = Network::parse(event.data) {
                    // A network that is not taken in time is lost, as a beacon may be.
                    let _ = shared.networks.try_send(network);
                }
                self.scanning = Some(scan);
            }
            status::SUCCESS => shared.reply(scan.number, Ok(Value::Done)),
            _ => shared.reply(scan.number, Err(ControlError::TimedOut)),
        }
    }
}

/// What is answered to the control at once, if anything, or the firmware's error.
type Answer = Result<Option<Value>, i32>;

impl<B: SdioBus, T: Timer> Session<'_, '_, B, T> {
    /// Does what the control asks; a join or a scan ends later.
    pub(crate) async fn serve(&mut self, number: u32, request: Request) -> Ends<(), B> {
        let answer = match request {
            Request::Join(ssid, security) => self.join(number, &ssid, &security).await?,
            Request::Scan(ssid) => self.scan(number, ssid.as_ref()).await?,
            Request::Leave => {
                self.pending.joining = None;
                let left = self.leave().await?;
                self.shared.set_status(Status::Idle);
                left.map(|_| Some(Value::Done))
            }
            Request::Signal => {
                let read = self.try_command(&cdc::Request::get(Command::GetRssi, 4)).await?;
                read.map(|_| Some(Value::Signal(u32_at(&self.answered.bytes, 0).cast_signed())))
            }
            Request::Version => {
                let room = u16::try_from(VERSION_LEN).unwrap_or_default();
                let read = self.try_command(&cdc::Request::get_var("ver", room)).await?;
                read.map(|_| Some(Value::Version(Version { bytes: self.answered.bytes })))
            }
            Request::PowerSave(mode) => {
                let mode: u32 = match mode {
                    PowerSave::Off => 0,
                    PowerSave::Most => 1,
                    PowerSave::Fast => 2,
                };
                let set = self.try_command(&cdc::Request::set(Command::SetPm, &mode.to_le_bytes())).await?;
                set.map(|_| Some(Value::Done))
            }
        };
        match answer.transpose() {
            Some(Ok(value)) => self.shared.reply(number, Ok(value)),
            Some(Err(status)) => self.shared.reply(number, Err(ControlError::Refused { status })),
            None => {}
        }
        Ok(())
    }

    async fn leave(&mut self) -> Ends<Result<usize, i32>, B> {
        self.try_command(&cdc::Request::set(Command::Disassoc, &[0; 4])).await
    }

    async fn join(&mut self, number: u32, ssid: &Ssid, security: &Security) -> Ends<Answer, B> {
        self.pending.joining = None;
        let was = self.shared.status();
        self.shared.set_status(Status::Joining);
        if was != Status::Idle {
            // The firmware may not be in a network any more, and say so.
            self.leave().await?.ok();
        }
        let mut begun = self.prepare_join(security).await?;
        if begun.is_ok() {
            let deadline = self.now() + JOIN_MS;
            self.pending.joining = Some(Until { what: Joining::new(security), number, deadline });
            // Its progress is reported by events, which may come before the answer.
            begun = self.try_command(&cdc::Request::set(Command::SetSsid, &ssid.value())).await?.map(drop);
        }
        if begun.is_err() {
            self.pending.joining = None;
            if self.shared.status() == Status::Joining {
                self.shared.set_status(Status::Idle);
            }
        }
        Ok(begun.map(|()| None))
    }

    /// Everything about a network except its name.
    async fn prepare_join(&mut self, security: &Security) -> Ends<Result<(), i32>, B> {
        use cdc::Request;
        let word = u32::to_le_bytes;
        // Of the first interface.
        let variable = |value: u32| u64::to_le_bytes(u64::from(value) << 32);
        let key = security.key().map(|key| Zeroizing::new(key.value()));
        let secured = |request| key.is_some().then_some(request);
        for request in [
            Some(Request::set(Command::SetWsec, &word(security.ciphers()))),
            Some(Request::set_var("bsscfg:sup_wpa", &variable(key.is_some().into()))),
            secured(Request::set_var("bsscfg:sup_wpa2_eapver", &variable(u32::MAX))),
            secured(Request::set_var("bsscfg:sup_wpa_tmo", &variable(2500))),
            key.as_ref().map(|key| Request::set(Command::SetWsecPmk, &key[..])),
            Some(Request::set(Command::SetInfra, &word(1))),
            Some(Request::set(Command::SetAuth, &word(0))),
            Some(Request::set(Command::SetWpaAuth, &word(security.wpa_auth()))),
        ]
        .iter()
        .flatten()
        {
            if let Err(status) = self.try_command(request).await? {
                return Ok(Err(status));
            }
        }
        Ok(Ok(()))
    }

    async fn scan(&mut self, number: u32, ssid: Option<&Ssid>) -> Ends<Answer, B> {
        let sync = u16::from_le_bytes([number.to_le_bytes()[0], 0xA5]);
        let deadline = self.now() + SCAN_MS;
        self.pending.scanning = Some(Until { what: sync, number, deadline });
        let parameters = scan::parameters(ssid, sync);
        let begun = self.try_command(&cdc::Request::set_var("escan", &parameters)).await?;
        if begun.is_err() {
            self.pending.scanning = None;
        }
        Ok(begun.map(|_| None))
    }

    /// Ends a join and a scan that have taken too long.
    pub(crate) async fn end_overdue(&mut self) -> Ends<(), B> {
        let now = self.now();
        if let Some(join) = self.pending.joining.take_if(|join| now >= join.deadline) {
            self.shared.set_status(Status::Idle);
            // Whatever the firmware still does about it.
            self.leave().await?.ok();
            self.shared.reply(join.number, Err(ControlError::TimedOut));
        }
        if let Some(scan) = self.pending.scanning.take_if(|scan| now >= scan.deadline) {
            self.shared.reply(scan.number, Err(ControlError::TimedOut));
        }
        Ok(())
    }
}

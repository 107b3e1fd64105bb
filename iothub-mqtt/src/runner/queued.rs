//! [`Queued`]: an application whose telemetry goes through a queue in flash.

use super::{Application, DeviceCommand, DeviceEvent, Service};
use crate::queue::{RecordId, Stored, TelemetryQueue};
use crate::session::Ticket;
use crate::{Error, Generation, HubEvent, Telemetry, endpoint};
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::Mutex;
use embassy_sync::signal::Signal;
use embedded_storage_async::nor_flash::MultiwriteNorFlash;
use heapless::{String, Vec};

/// Messages out of the queue that are on their way at once. The session has two more places for telemetry, so that the
/// application's own does not wait behind the queue.
const WINDOW: usize = 4;
/// Reason code of MQTT 5: the hub takes no more messages for now.
const QUOTA_EXCEEDED: u8 = 0x97;

/// A queue that is filled by some tasks and emptied by a [`Queued`] application.
///
/// `M` says who may share it: `NoopRawMutex` tasks of one executor, `CriticalSectionRawMutex` all.
pub struct SharedQueue<'b, M: RawMutex, F: MultiwriteNorFlash> {
    queue: Mutex<M, TelemetryQueue<'b, F>>,
    pushed: Signal<M, ()>,
    record_len: usize,
}

impl<'b, M: RawMutex, F: MultiwriteNorFlash> SharedQueue<'b, M, F> {
    /// This queue, to be shared.
    pub fn new(queue: TelemetryQueue<'b, F>) -> Self {
        let record_len = queue.record_len();
        Self { queue: Mutex::new(queue), pushed: Signal::new(), record_len }
    }

    /// Stores a message, connected or not; see [`TelemetryQueue::push`].
    ///
    /// # Errors
    /// Those of [`TelemetryQueue::push`].
    pub async fn push(&self, telemetry: &Telemetry<'_>) -> Result<(), Error> {
        let result = self.queue.lock().await.push(telemetry).await;
        self.pushed.signal(());
        result
    }

    /// How many messages wait, those on their way included.
    pub async fn len(&self) -> u32 {
        self.queue.lock().await.len()
    }

    /// Whether none waits.
    pub async fn is_empty(&self) -> bool {
        self.queue.lock().await.is_empty()
    }

    /// How many messages were dropped; see [`TelemetryQueue::dropped`].
    pub async fn dropped(&self) -> u32 {
        self.queue.lock().await.dropped()
    }
}

impl<M: RawMutex, F: MultiwriteNorFlash> core::fmt::Debug for SharedQueue<'_, M, F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SharedQueue").finish_non_exhaustive()
    }
}

/// A message on its way.
#[derive(Debug)]
struct OnItsWay {
    id: RecordId,
    /// `None`: the hub has it, and the flash failed when it was to be removed.
    ticket: Option<Ticket>,
}

/// An application, and beside it the messages of a queue: oldest first, four on their way at once, each removed when
/// the hub has acknowledged it.
///
/// The application's own commands go first. It is not told of the queue's messages.
///
/// ```
/// use embassy_sync::blocking_mutex::raw::NoopRawMutex;
/// use iothub_mqtt::queue::{TelemetryQueue, WhenFull};
/// use iothub_mqtt::runner::{Application, Queued, SharedQueue};
/// use iothub_mqtt::{Error, Telemetry};
/// # use embedded_storage_async::nor_flash::MultiwriteNorFlash;
///
/// # async fn main_<E, F: MultiwriteNorFlash>(flash: F, random: u64, app: impl Application<E>) -> Result<(), Error> {
/// let (mut buffer, mut record) = ([0; 512], [0; 512]);
/// let queue = TelemetryQueue::open(flash, 0..0x4_0000, WhenFull::DropOldest, random, &mut buffer).await?;
/// let queue: SharedQueue<'_, NoopRawMutex, _> = SharedQueue::new(queue);
///
/// // A task that measures, connected or not:
/// queue.push(&Telemetry::json(br#"{"temperature":21.5}"#)).await?;
///
/// // The device: device.run(&mut application, ...)
/// let mut application = Queued::new(app, &queue, &mut record)?;
/// # Ok(())
/// # }
/// ```
pub struct Queued<'q, 'b, A, M: RawMutex, F: MultiwriteNorFlash> {
    application: A,
    shared: &'q SharedQueue<'b, M, F>,
    record: &'q mut [u8],
    /// What the last command sends.
    sending: Option<RecordId>,
    on_their_way: Vec<OnItsWay, WINDOW>,
    /// The hub takes no more on this connection.
    paused: bool,
    /// Whose messages those on their way are.
    device: Option<(String<{ endpoint::MAX_ID }>, Generation)>,
}

impl<'q, 'b, A, M: RawMutex, F: MultiwriteNorFlash> Queued<'q, 'b, A, M, F> {
    /// This application, and this queue beside it. `record` is as large as the queue's buffer.
    ///
    /// To be made anew for each [`Device::run`](super::Device::run).
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn new(
        application: A,
        queue: &'q SharedQueue<'b, M, F>,
        record: &'q mut [u8],
    ) -> Result<Self, Error> {
        if record.len() < queue.record_len {
            return Err(Error::BufferTooSmall { needed: queue.record_len });
        }
        Ok(Self {
            application,
            shared: queue,
            record,
            sending: None,
            on_their_way: Vec::new(),
            paused: false,
            device: None,
        })
    }

    /// The application, when the device has stopped.
    pub fn into_application(self) -> A {
        self.application
    }

    /// Whether the event concerns a message of the queue only.
    async fn take<E>(&mut self, event: &DeviceEvent<'_, E>) -> bool {
        match event {
            DeviceEvent::Connecting(target) => {
                if let Service::Hub(endpoint) = target.service {
                    self.connecting(endpoint.device_id(), endpoint.generation());
                }
                false
            }
            DeviceEvent::Hub(HubEvent::Connected) => {
                self.paused = false;
                false
            }
            DeviceEvent::Sent(ticket) => self.sent(*ticket),
            DeviceEvent::NotSent(error) => {
                let Some(id) = self.sending.take() else { return false };
                // Whatever else it is, it stays that; the other ones may come true later.
                if error.is_local() && *error != Error::Busy {
                    crate::logging::warning!("queue: a message cannot be sent, and is dropped");
                    self.finish(id, false).await;
                }
                true
            }
            DeviceEvent::Hub(HubEvent::Delivered(ticket)) => {
                let Some(at) = self.position(*ticket) else { return false };
                let message = self.on_their_way.remove(at);
                self.finish(message.id, true).await;
                true
            }
            DeviceEvent::Hub(HubEvent::Lost(ticket)) => {
                let Some(at) = self.position(*ticket) else { return false };
                self.on_their_way.remove(at);
                true
            }
            DeviceEvent::Hub(HubEvent::Rejected { ticket, reason }) => {
                let Some(at) = self.position(*ticket) else { return false };
                let message = self.on_their_way.remove(at);
                if *reason == QUOTA_EXCEEDED {
                    self.paused = true;
                } else {
                    crate::logging::warning!("queue: the hub does not take a message, which is dropped");
                    self.finish(message.id, false).await;
                }
                true
            }
            _ => false,
        }
    }

    fn position(&self, ticket: Ticket) -> Option<usize> {
        self.on_their_way.iter().position(|message| message.ticket == Some(ticket))
    }

    /// Nobody tells what became of messages that were on their way to another device's name or another generation of
    /// hubs.
    fn connecting(&mut self, device_id: &str, generation: Generation) {
        let same = self.device.as_ref().is_some_and(|(id, before)| id == device_id && *before == generation);
        if !same {
            self.forget();
            self.device = Some((device_id.chars().take(endpoint::MAX_ID).collect(), generation));
        }
    }

    fn forget(&mut self) {
        self.on_their_way.retain(|message| message.ticket.is_none());
    }

    fn sent(&mut self, ticket: Option<Ticket>) -> bool {
        if ticket.is_some_and(|ticket| self.position(ticket).is_some()) {
            // A new session has begun to count.
            self.forget();
        }
        let Some(id) = self.sending.take() else { return false };
        // There was room when it was read.
        let _ = self.on_their_way.push(OnItsWay { id, ticket });
        true
    }

    /// Removes a message that the hub has, or that nobody takes.
    async fn finish(&mut self, id: RecordId, delivered: bool) {
        let mut queue = self.shared.queue.lock().await;
        let result = if delivered { queue.remove(id).await } else { queue.discard(id).await };
        if result.is_err() {
            crate::logging::warning!("queue: a message cannot be removed");
            let _ = self.on_their_way.push(OnItsWay { id, ticket: None });
            return;
        }
        // Those that could not be removed before.
        while let Some(at) = self.on_their_way.iter().position(|message| message.ticket.is_none()) {
            let Some(message) = self.on_their_way.get(at) else { return };
            if queue.remove(message.id).await.is_err() {
                return;
            }
            self.on_their_way.remove(at);
        }
    }
}

/// Waits for a message that is not on its way yet; gives its name and the length of its record.
async fn next<M: RawMutex, F: MultiwriteNorFlash>(
    shared: &SharedQueue<'_, M, F>,
    on_their_way: &[OnItsWay],
    may_send: bool,
    record: &mut [u8],
) -> (RecordId, usize) {
    let except: Vec<RecordId, WINDOW> = on_their_way.iter().map(|message| message.id).collect();
    loop {
        if may_send {
            let loaded = shared.queue.lock().await.load(&except, record).await;
            match loaded.and_then(|stored| stored.map(|it| Ok((it.message()?.id(), it.len()))).transpose()) {
                Ok(Some(found)) => return found,
                Ok(None) => {}
                Err(_) => crate::logging::warning!("queue: it cannot be read"),
            }
        }
        shared.pushed.wait().await;
    }
}

impl<E, A: Application<E>, M: RawMutex, F: MultiwriteNorFlash> Application<E> for Queued<'_, '_, A, M, F> {
    async fn event(&mut self, event: DeviceEvent<'_, E>) {
        if !self.take(&event).await {
            self.application.event(event).await;
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        let Self { application, shared, record, sending, on_their_way, paused, .. } = self;
        *sending = None;
        let may_send = !*paused && !on_their_way.is_full();
        let next = next(shared, on_their_way, may_send, record);
        match select(application.command(), next).await {
            Either::First(command) => command,
            Either::Second((id, length)) => {
                *sending = Some(id);
                DeviceCommand::Stored(Stored(record.get(..length).unwrap_or_default()))
            }
        }
    }
}

impl<A, M: RawMutex, F: MultiwriteNorFlash> core::fmt::Debug for Queued<'_, '_, A, M, F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Queued").field("on_their_way", &self.on_their_way).finish_non_exhaustive()
    }
}

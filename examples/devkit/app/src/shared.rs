//! What the tasks of the application share: they run on one executor, and no task holds a borrow of it across an await.

use core::cell::{Cell, RefCell};

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_sync::signal::Signal;
use embassy_time::Instant;

use crate::board::System;
use crate::event::{AppEvent, Hex};
use crate::log::Log;
use crate::status::Status;
use crate::telemetry::{Hundredths, Reading};
use crate::watchdog::{Task, TaskSupervisor};

/// The I2C bus, used by one driver at a time.
pub(crate) type I2cBus<'b, I2C> = Mutex<NoopRawMutex, &'b mut I2C>;

/// One driver's handle on the shared I2C bus.
pub(crate) type I2cHandle<'a, 'b, I2C> =
    embassy_embedded_hal::shared_bus::asynch::i2c::I2cDevice<'a, NoopRawMutex, &'b mut I2C>;

/// State and hooks that all tasks use.
pub(crate) struct Shared<'s, S> {
    pub(crate) system: RefCell<&'s mut S>,
    pub(crate) status: RefCell<Status>,
    pub(crate) log: Log,
    pub(crate) supervisor: RefCell<TaskSupervisor>,
    /// The latest reading of the sensors.
    pub(crate) reading: Cell<Reading>,
    /// Commands the secure channel will still take, if there is one.
    pub(crate) channel_left: Cell<Option<u32>>,
    /// A telemetry message is to be sent now.
    pub(crate) send_now: Signal<NoopRawMutex, ()>,
    /// The main task has ended; the others end too.
    pub(crate) finished: Cell<bool>,
    /// The time of day, as the network told it.
    #[cfg(feature = "issued-certificates")]
    time: Cell<azure_iot_credentials::ServerTime>,
}

impl<'s, S: System> Shared<'s, S> {
    pub(crate) fn new(system: &'s mut S) -> Self {
        Self {
            system: RefCell::new(system),
            status: RefCell::new(Status::new()),
            log: Log::new(),
            supervisor: RefCell::new(TaskSupervisor::new()),
            reading: Cell::new(Reading::default()),
            channel_left: Cell::new(None),
            send_now: Signal::new(),
            finished: Cell::new(false),
            #[cfg(feature = "issued-certificates")]
            time: Cell::default(),
        }
    }

    /// It is `unix_s` now.
    #[cfg(feature = "issued-certificates")]
    pub(crate) fn set_time(&self, unix_s: u64) {
        let mut time = self.time.get();
        time.set(unix_s, Instant::now().as_millis());
        self.time.set(time);
    }

    /// The time of day, in seconds since 1970, if the network has told it.
    #[cfg(feature = "issued-certificates")]
    pub(crate) fn unix_s(&self) -> Option<u64> {
        self.time.get().now(Instant::now().as_millis())
    }

    /// Passes an event to screen, lamps, terminal and observer.
    pub(crate) fn notify(&self, event: &AppEvent<'_>) {
        self.status.borrow_mut().handle(event, Instant::now().as_millis());
        self.log_event(event);
        self.system.borrow_mut().observe(event);
    }

    /// The task makes progress now, and will check in again within this many milliseconds.
    pub(crate) fn check_in(&self, task: Task, within_ms: u32) {
        self.supervisor.borrow_mut().check_in(task, Instant::now().as_millis(), within_ms);
    }

    fn log_event(&self, event: &AppEvent<'_>) {
        let log = &self.log;
        match event {
            AppEvent::Started { version, crash } => {
                log.info(format_args!("Firmware {version}"));
                if let Some(crash) = crash {
                    log.warning(format_args!("The last run ended with: {crash}"));
                }
            }
            AppEvent::AccessPointRefused => log.warning(format_args!(
                "There is no AP mode: it would take passwords over an open network. Reset with button A held to configure."
            )),
            AppEvent::IdentityDerived { registration_id, firmware, .. } => {
                log.info(format_args!("Registration id {registration_id}, firmware {}", Hex(firmware)));
            }
            AppEvent::Joining => log.info(format_args!("Connecting to the network")),
            AppEvent::Joined { address: Some(address) } => log.info(format_args!("Network is up: {address}")),
            AppEvent::Joined { address: None } => log.info(format_args!("Network is up")),
            AppEvent::TimeKnown(unix_s) => {
                log.set_time(*unix_s);
                log.info(format_args!("Time of day is known"));
            }
            AppEvent::Registering => log.info(format_args!("Registering with the provisioning service")),
            AppEvent::Connecting { host } => log.info(format_args!("Connecting to {host}")),
            AppEvent::Assigned { hub, device_id } => {
                log.info(format_args!("Assigned to {hub} as {device_id}"));
            }
            AppEvent::HubConnected => log.info(format_args!("IoT Hub connected")),
            AppEvent::TelemetrySent { reading } => match (reading.temperature, reading.humidity) {
                (Some(temperature), Some(humidity)) => log.info(format_args!(
                    "Message sent: {} C, {} %",
                    Hundredths(temperature),
                    Hundredths(humidity)
                )),
                _ => log.info(format_args!("Message sent, without a reading")),
            },
            AppEvent::Message { payload, .. } => {
                log.info(format_args!("Message received: {}", payload.escape_ascii()));
            }
            AppEvent::Method { name, status, .. } => log.info(format_args!("Method {name}: {status}")),
            AppEvent::Interval { ms, accepted: true } => log.info(format_args!("Interval is {ms} ms")),
            AppEvent::Interval { ms, accepted: false } => {
                log.warning(format_args!("The requested interval is refused; it stays at {ms} ms"));
            }
            AppEvent::TwinUnusable { cause } => log.warning(format_args!("The device twin cannot be used: {cause}")),
            AppEvent::SubscriptionRefused { subscription } => {
                log.warning(format_args!("The hub does not offer {subscription}"));
            }
            AppEvent::Retrying { cause, in_ms: Some(ms) } => {
                log.warning(format_args!("{cause}; trying again in {ms} ms"));
            }
            AppEvent::Retrying { cause, in_ms: None } => log.warning(format_args!("{cause}; trying again")),
            AppEvent::Failed { cause, .. } => log.warning(format_args!("Failed: {cause}")),
            AppEvent::Configuring { .. } | AppEvent::TelemetryDelivered | AppEvent::Reported => {}
        }
    }
}

//! What the tasks of the application share: they run on one executor, and none holds any of it while it waits.

use core::cell::{Cell, RefCell};

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_sync::signal::Signal;
use embassy_time::Instant;

use crate::board::System;
use crate::event::{Event, Hex};
use crate::log::Log;
use crate::status::Status;
use crate::telemetry::{Hundredths, Reading};
use crate::vigil::{Task, Vigil};

/// The bus, one driver at a time.
pub(crate) type Bus<'b, I2C> = Mutex<NoopRawMutex, &'b mut I2C>;

/// The bus as one driver sees it.
pub(crate) type Device<'a, 'b, I2C> =
    embassy_embedded_hal::shared_bus::asynch::i2c::I2cDevice<'a, NoopRawMutex, &'b mut I2C>;

/// State and hooks that all tasks use.
pub(crate) struct Shared<'s, S> {
    pub(crate) system: RefCell<&'s mut S>,
    pub(crate) status: RefCell<Status>,
    pub(crate) log: Log,
    pub(crate) vigil: RefCell<Vigil>,
    /// The latest reading of the sensors.
    pub(crate) reading: Cell<Reading>,
    /// Commands the secure channel will still take, if there is one.
    pub(crate) channel_left: Cell<Option<u32>>,
    /// A telemetry message is wanted now.
    pub(crate) nudge: Signal<NoopRawMutex, ()>,
    /// The main task has ended; the others end too.
    pub(crate) over: Cell<bool>,
}

impl<'s, S: System> Shared<'s, S> {
    pub(crate) fn new(system: &'s mut S) -> Self {
        Self {
            system: RefCell::new(system),
            status: RefCell::new(Status::new()),
            log: Log::new(),
            vigil: RefCell::new(Vigil::new()),
            reading: Cell::new(Reading::default()),
            channel_left: Cell::new(None),
            nudge: Signal::new(),
            over: Cell::new(false),
        }
    }

    /// Tells screen, lamps, terminal and observer.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.status.borrow_mut().handle(event, Instant::now().as_millis());
        self.write(event);
        self.system.borrow_mut().observe(event);
    }

    /// The task makes progress now, and comes again within so many milliseconds.
    pub(crate) fn promise(&self, task: Task, within_ms: u32) {
        self.vigil.borrow_mut().promise(task, Instant::now().as_millis(), within_ms);
    }

    fn write(&self, event: &Event<'_>) {
        let log = &self.log;
        match event {
            Event::Started { version, crash } => {
                log.info(format_args!("Firmware {version}"));
                if let Some(crash) = crash {
                    log.warning(format_args!("The last run ended with: {crash}"));
                }
            }
            Event::AccessPointRefused => log.warning(format_args!(
                "There is no AP mode: it would take passwords over an open network. Reset with button A held to configure."
            )),
            Event::IdentityDerived { registration_id, firmware, .. } => {
                log.info(format_args!("Registration id {registration_id}, firmware {}", Hex(firmware)));
            }
            Event::Joining => log.info(format_args!("Connecting to the network")),
            Event::Joined { address: Some(address) } => log.info(format_args!("Network is up: {address}")),
            Event::Joined { address: None } => log.info(format_args!("Network is up")),
            Event::TimeKnown(unix_s) => {
                log.set_time(*unix_s);
                log.info(format_args!("Time is known"));
            }
            Event::Registering => log.info(format_args!("Registering with the provisioning service")),
            Event::Connecting { host } => log.info(format_args!("Connecting to {host}")),
            Event::Assigned { hub, device_id } => {
                log.info(format_args!("Assigned to {hub} as {device_id}"));
            }
            Event::HubConnected => log.info(format_args!("IoT Hub connected")),
            Event::TelemetrySent { reading } => match (reading.temperature, reading.humidity) {
                (Some(temperature), Some(humidity)) => log.info(format_args!(
                    "Message sent: {} C, {} %",
                    Hundredths(temperature),
                    Hundredths(humidity)
                )),
                _ => log.info(format_args!("Message sent, without a reading")),
            },
            Event::Message { payload, .. } => {
                log.info(format_args!("Message received: {}", payload.escape_ascii()));
            }
            Event::Method { name, status, .. } => log.info(format_args!("Method {name}: {status}")),
            Event::Interval { ms, accepted: true } => log.info(format_args!("Interval is {ms} ms")),
            Event::Interval { ms, accepted: false } => {
                log.warning(format_args!("The wanted interval is refused, it stays {ms} ms"));
            }
            Event::TwinUnusable { cause } => log.warning(format_args!("The device twin cannot be used: {cause}")),
            Event::SubscriptionRefused { subscription } => {
                log.warning(format_args!("The hub does not offer {subscription}"));
            }
            Event::Retrying { cause, in_ms: Some(ms) } => {
                log.warning(format_args!("{cause}; trying again in {ms} ms"));
            }
            Event::Retrying { cause, in_ms: None } => log.warning(format_args!("{cause}; trying again")),
            Event::Failed { cause, .. } => log.warning(format_args!("Failed: {cause}")),
            Event::Configuring { .. } | Event::TelemetryDelivered | Event::Reported => {}
        }
    }
}

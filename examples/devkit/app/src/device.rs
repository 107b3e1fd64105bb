//! The application from one reset to the next: it reads the buttons, then runs the configuration console or goes
//! online.

use core::pin::{Pin, pin};

use devkit_console::{FEW_COMMANDS, KeySource};
use devkit_settings::Setting;
use dice_core::riot::{DEFAULT_REGISTRATION_ID_MAX_LEN, MacAddress};
use dice_core::{RegistrationId, Uds};
use dps_client::{Backoff, Config, Timing};
use embassy_futures::join::join;
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::Write;
use heapless::String;
use iothub_mqtt::provision::MIN_BODY;
use iothub_mqtt::runner::{self, Memory, Policy};
use iothub_mqtt::{Announcement, ClientOptions, Error, session};
use stsafe_a100::asynch::Stsafe;

use crate::board::{Board, Button, Network, NetworkLink, Panel, Parts, System};
use crate::cloud_application::{CloudApplication, MAX_CLOUD_SILENCE_MS};
use crate::connector::{IdentityConnector, sync_time};
use crate::console::ConsoleSession;
use crate::device_identity::DeviceIdentity;
use crate::event::AppEvent;
use crate::failure::{EndOf, Failure, FailureOf};
use crate::host_keys::HostKeyStore;
#[cfg(feature = "issued-certificates")]
use crate::identity::IdentityError;
use crate::identity::{Identity, Profile, SlotKey};
#[cfg(feature = "issued-certificates")]
use crate::issued::IssuedCertificates;
use crate::setting_store::SettingStore;
use crate::settings::Settings;
use crate::shared::{I2cBus, I2cHandle, Shared};
use crate::status::cut;
use crate::tasks;
use crate::watchdog::Task;

/// What the firmware fixes for all its devices; what differs from one to the next is in [`Settings`].
#[derive(Clone, Debug)]
pub struct Options {
    /// How the identity is derived.
    pub profile: Profile,
    /// Time between two telemetry messages, in milliseconds, until the twin says otherwise.
    pub telemetry_interval_ms: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// The first registration waits a random time up to this, in milliseconds: it spreads a fleet that is switched on
    /// together.
    pub spread_ms: u32,
    /// When certificates that were issued are renewed.
    #[cfg(feature = "issued-certificates")]
    pub renewal: azure_iot_credentials::Policy,
}

impl Default for Options {
    /// The standard identity, the tutorial's interval of two seconds, no spread.
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            telemetry_interval_ms: 2000,
            backoff: Backoff::DEFAULT,
            spread_ms: 0,
            #[cfg(feature = "issued-certificates")]
            renewal: azure_iot_credentials::Policy::DEFAULT,
        }
    }
}

/// How a run of the application ended.
#[derive(Debug)]
pub enum End<I, N> {
    /// The user said `exit` on the console: the device is to be reset.
    Restart,
    /// Something failed that trying again does not mend.
    Failed(Failure<I, N>),
}

/// A version that can stand in a registration id is shorter.
const VERSION_MAX_LEN: usize = 48;
type Version = String<VERSION_MAX_LEN>;
type Product = String<64>;

/// Longest message received from the hub, its topic included.
const RX: usize = 4096;
/// Messages on their way to the hub: four of the longest telemetry, or the longest report.
const TX: usize = 2048;
/// Longest answer of the provisioning service, which may have certificates in it. At the hub: client id and user name.
const REGISTRATION_RX: usize = if cfg!(feature = "issued-certificates") { 12_288 } else { 2048 };
/// The request for a certificate in base64.
const REQUEST: usize = if cfg!(feature = "issued-certificates") { 512 } else { 0 };
/// What is on its way to the provisioning service.
const REGISTRATION_TX: usize = 1024 + REQUEST;
/// The body of a request to it.
const BODY: usize = MIN_BODY + REQUEST;
/// Longest topic that is sent, and what goes before it: the topic of telemetry from a device with a long name.
const TOPIC: usize = 384;
const STAGE: usize = 512;
/// The longest silence between device and hub (MQTT keep-alive), in seconds, as with the original firmware.
const KEEP_ALIVE_S: u16 = 120;
/// How long joining the network may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the network is asked for the time before the device goes on without.
const TIME_ATTEMPTS: u32 = 3;
/// How long the start may take until the network is joined, in milliseconds.
const START_TIMEOUT_MS: u32 = 60_000;
/// How long a device that has failed waits before it restarts, in seconds.
const RESTART_DELAY_S: u32 = 600;
/// How long the notice about the access point stays on the screen.
const NOTICE_TIME: Duration = Duration::from_secs(3);

const BANNER: &str = "\r\n\
    ********************************************************\r\n\
    **  MXChip AZ3166 - Microsoft Azure IoT Developer Kit  **\r\n\
    ********************************************************\r\n";
const HINT: &str = "Reset with button A held to configure the device.\r\n";

/// Runs the device for ever: whatever ends, it starts again, after ten minutes if something failed for good.
/// The watchdog is fed all the time.
pub async fn run_forever<B: Board>(board: &mut B, options: &Options) -> ! {
    loop {
        let end = pin!(run(board, options)).await;
        if matches!(end, End::Failed(_)) {
            for _ in 0..RESTART_DELAY_S {
                board.parts().system.feed_watchdog();
                Timer::after_secs(1).await;
            }
        }
        board.parts().system.reset();
    }
}

/// Runs the device from its start until the user wants a restart on the console, or something fails for good. The
/// reason stands on screen and terminal when this returns; the watchdog is not fed any more.
///
/// The future must run to its end: dropping it leaves the bus as it is. Here and below, large futures are pinned where
/// they are made: what is awaited by value passes through the stack first. And phases are polled through `dyn Future`:
/// each has its stack frame only while it is polled.
pub async fn run<B: Board>(board: &mut B, options: &Options) -> EndOf<B> {
    let Parts { i2c, delay, console, panel, network, link, key_flash, system } = board.parts();
    let bus = I2cBus::new(i2c);
    let shared = Shared::new(system);
    let keys = HostKeyStore::new(key_flash);
    let main = MainTask::<B> { delay, network, link, keys, bus: &bus, shared: &shared, options };
    let a = panel.is_pressed(Button::A).await;
    let b = panel.is_pressed(Button::B).await;
    shared.log.raw(BANNER);
    // The terminal belongs to the console, or to the log.
    let (terminal, log) = if a { (Some(console), None) } else { (None, Some(console)) };
    let main: PhaseFuture<'_, EndOf<B>> = pin!(main.run(terminal, b));
    let tasks: PhaseFuture<'_, ()> = pin!(tasks::run::<B>(&bus, panel, link, log, &shared));
    join(main, tasks).await.0
}

/// A future with a stack frame of its own.
type PhaseFuture<'a, T> = Pin<&'a mut dyn Future<Output = T>>;

/// The main task: what is not display, sensors, log or watchdog.
struct MainTask<'a, 'b, 's, B: Board> {
    delay: &'a mut B::Delay,
    network: &'a mut B::Network,
    link: &'a B::Link,
    keys: HostKeyStore<&'a mut B::KeyFlash>,
    bus: &'a I2cBus<'b, B::I2c>,
    shared: &'a Shared<'s, B::System>,
    options: &'a Options,
}

impl<B: Board> MainTask<'_, '_, '_, B> {
    /// Runs the console on this terminal; without a terminal, goes online.
    async fn run(mut self, terminal: Option<&mut B::Console>, access_point: bool) -> EndOf<B> {
        let shared = self.shared;
        let end = if let Some(terminal) = terminal {
            let phase: PhaseFuture<'_, ()> = pin!(self.configure(terminal));
            phase.await;
            End::Restart
        } else {
            shared.log.raw(HINT);
            let phase: PhaseFuture<'_, _> = pin!(self.run_online(access_point));
            let failure = phase.await;
            let advice = match &failure {
                Failure::Network(error) => B::Network::advice(error),
                _ => None,
            };
            let rows = advice.unwrap_or_else(|| failure.rows());
            shared.notify(&AppEvent::Failed { cause: &failure, rows });
            End::Failed(failure)
        };
        shared.finished.set(true);
        end
    }

    async fn configure(&mut self, terminal: &mut B::Console) {
        // No task writes the log to this terminal: the banner, all that is in it by now, is written here.
        let mut text = [0; 256];
        let len = self.shared.log.take(&mut text);
        let _ = with_timeout(JOIN_TIMEOUT, terminal.write_all(text.get(..len).unwrap_or_default())).await;
        let mac = self.shared.system.borrow().mac();
        self.shared.notify(&AppEvent::Configuring { mac });
        let mut session = ConsoleSession {
            i2c: I2cHandle::new(self.bus),
            delay: &mut *self.delay,
            network: &mut *self.network,
            keys: &mut self.keys,
            shared: self.shared,
            profile: &self.options.profile,
        };
        pin!(session.serve(terminal)).await;
    }

    /// Goes online and stays there; ends only with a failure.
    async fn run_online(&mut self, access_point: bool) -> FailureOf<B> {
        let result = pin!(self.try_run_online(access_point)).await;
        match result {
            Err(failure) => failure,
            // The application never asks the runner to stop.
            Ok(()) => Failure::Cloud(runner::Failure::Settings(Error::Disconnected)),
        }
    }

    async fn try_run_online(&mut self, access_point: bool) -> Result<(), FailureOf<B>> {
        let shared = self.shared;
        shared.check_in(Task::Main, START_TIMEOUT_MS);
        if access_point {
            shared.notify(&AppEvent::AccessPointRefused);
            Timer::after(NOTICE_TIME).await;
        }
        let version = self.notify_started();
        let (mut settings, mut identity) = (Settings::default(), None);
        let uds = {
            let phase: PhaseFuture<'_, _> = pin!(self.read_vault(&mut settings));
            phase.await?
        };
        let mac = MacAddress(shared.system.borrow().mac());
        let mut id_text = [0; DEFAULT_REGISTRATION_ID_MAX_LEN];
        let id = settings.registration_id(mac, &version, &mut id_text);
        let id = id.map_err(|error| Failure::Identity(error.into()))?;
        let identity = self.derive(uds, &version, id, settings.slot_key(), &mut identity)?;
        {
            let phase: PhaseFuture<'_, _> = pin!(self.join(&settings));
            phase.await?;
        }
        let has_time = pin!(self.sync_time()).await;
        let phase: PhaseFuture<'_, _> =
            pin!(self.run_cloud_application(&settings, id.as_str(), &version, identity, has_time));
        phase.await
    }

    /// Notifies that the application has started; returns the firmware's version.
    #[inline(never)]
    fn notify_started(&self) -> Version {
        let system = self.shared.system.borrow();
        let version = cut(system.firmware_version());
        let crash = system.crash();
        drop(system);
        self.shared.notify(&AppEvent::Started { version: &version, crash: crash.as_deref() });
        version
    }

    /// Registers, and works at the hub for ever.
    async fn run_cloud_application(
        &mut self,
        settings: &Settings,
        id: &str,
        version: &Version,
        identity: &Identity,
        has_time: bool,
    ) -> Result<(), FailureOf<B>> {
        let mut product = Product::new();
        // As long as a version may be.
        let _ = product.push_str("IoT_DevKit_").and_then(|()| product.push_str(version));
        #[cfg(feature = "issued-certificates")]
        let issued = match settings.key_source() {
            KeySource::Issued => Some(pin!(self.ask_for_certificates(settings, id, identity)).await?),
            _ => None,
        };
        #[cfg_attr(not(feature = "issued-certificates"), allow(unused_mut))]
        let (mut runner_settings, port) = self.runner_settings(settings, id, &product)?;
        #[cfg(feature = "issued-certificates")]
        if let Some(issued) = &issued {
            let prepared = issued.prepare(&mut runner_settings);
            prepared.map_err(|error| Failure::Cloud(runner::Failure::Settings(error)))?;
        }
        let mut device: runner::Device<'_, _, STAGE, TOPIC> =
            runner::Device::new(runner_settings, xorshift(self.random()));
        // No token: the certificate says who the device is.
        let mut memory = Memory::<RX, TX, REGISTRATION_RX, REGISTRATION_TX, BODY, 0>::new();
        let backoff = &self.options.backoff;
        let longest_wait_ms = backoff.max_ms.saturating_add(backoff.jitter_ms);
        let mut application =
            CloudApplication::new(self.shared, version, self.options.telemetry_interval_ms, longest_wait_ms);
        let mut identity =
            DeviceIdentity::<_, _, B::Network>::new(identity, self.bus, self.delay, &self.shared.log);
        #[cfg(feature = "issued-certificates")]
        {
            application = application.with_issued(issued.as_ref());
            identity = identity.with_issued(issued.as_ref());
        }
        let mut connector = IdentityConnector::new(self.network, &mut identity, self.shared, port, has_time);
        pin!(device.run(&mut application, &mut connector, &mut memory.buffers(), None))
            .await
            .map_err(Failure::Cloud)
    }

    /// Has the chip sign the request for certificates, however often that takes.
    #[cfg(feature = "issued-certificates")]
    async fn ask_for_certificates<'t>(
        &mut self,
        settings: &Settings,
        id: &'t str,
        identity: &Identity,
    ) -> Result<IssuedCertificates<'t>, FailureOf<B>> {
        let key = settings.slot_key().ok_or(Failure::Identity(IdentityError::NoSlotKey))?;
        let backoff = self.options.backoff;
        let mut attempt = 0;
        loop {
            self.shared.check_in(Task::Main, MAX_CLOUD_SILENCE_MS);
            let signer = DeviceIdentity::new(identity, self.bus, self.delay, &self.shared.log);
            let asked = pin!(IssuedCertificates::ask(id, key, &signer, self.options.renewal)).await;
            let error = match asked {
                Ok(issued) => return Ok(issued),
                Err(error) if !error.is_retriable() => {
                    return Err(Failure::Identity(IdentityError::Request(error)));
                }
                Err(error) => error,
            };
            let in_ms = backoff.delay_ms(attempt, self.random());
            self.shared.notify(&AppEvent::Retrying { cause: &error, in_ms: Some(in_ms) });
            Timer::after_millis(in_ms.into()).await;
            attempt += 1;
        }
    }

    /// The runner's settings, and the provisioning service's port.
    #[inline(never)]
    fn runner_settings<'t>(
        &self,
        settings: &'t Settings,
        id: &'t str,
        product: &'t Product,
    ) -> Result<(runner::Settings<'t>, u16), FailureOf<B>> {
        let id_scope = settings.id_scope().ok_or(Failure::Missing(Setting::DpsIdScope))?;
        let config = Config::new(id_scope, id).map_err(Failure::Settings)?;
        let backoff = self.options.backoff;
        // The version from which on the provisioning service says what the hub speaks.
        #[cfg(feature = "mqtt5-hub")]
        let config =
            config.with_api_version(dps_client::API_VERSION_CONNECTION_PROFILE).map_err(Failure::Settings)?;
        let config =
            config.with_timing(Timing { backoff, spread_ms: self.options.spread_ms, ..Timing::DEFAULT });
        let announcement = Announcement::default()
            .with_product_info(product)
            .map_err(|e| Failure::Cloud(runner::Failure::Settings(e)))?;
        let (host, port) = settings.endpoint();
        let settings = runner::Settings {
            provisioning_host: host,
            announcement,
            session: session::Options { keep_alive_s: KEEP_ALIVE_S, ..session::Options::default() },
            client: ClientOptions::new(self.random()),
            policy: Policy { backoff, ..Policy::DEFAULT },
            ..runner::Settings::new(config)
        };
        Ok((settings, port))
    }

    fn random(&self) -> u32 {
        self.shared.system.borrow_mut().random()
    }

    /// Reads the settings, and the secret.
    async fn read_vault(&mut self, settings: &mut Settings) -> Result<Uds, FailureOf<B>> {
        let mut i2c = I2cHandle::new(self.bus);
        let chip = Stsafe::new(&mut i2c, &mut *self.delay);
        let mut store = pin!(SettingStore::open(chip, &mut self.keys)).await?;
        pin!(settings.read(&mut store)).await?;
        let uds = pin!(store.uds()).await?.ok_or(Failure::Missing(Setting::Uds))?;
        // The counter is saved before the secret is used, so that a recording of this start cannot be replayed.
        pin!(store.save_counter(&mut self.keys)).await.map_err(Failure::HostKeys)?;
        let left = store.commands_left();
        self.shared.channel_left.set(left);
        if let Some(left) = left.filter(|left| *left < FEW_COMMANDS) {
            self.shared.log.warning(format_args!(
                "The secure channel will take {left} more commands: use disable_secure on the console, or replace the chip"
            ));
        }
        let uds = Uds::from_bytes(*uds).map_err(|error| Failure::Identity(error.into()))?;
        settings.id_scope().ok_or(Failure::Missing(Setting::DpsIdScope))?;
        Ok(uds)
    }

    /// Derives the identity; the secret is wiped when this returns.
    #[inline(never)]
    fn derive<'i>(
        &self,
        uds: Uds,
        version: &str,
        id: RegistrationId<'_>,
        slot_key: Option<&SlotKey>,
        place: &'i mut Option<Identity>,
    ) -> Result<&'i Identity, FailureOf<B>> {
        let identity = {
            let system = self.shared.system.borrow();
            Identity::derive(&self.options.profile, &uds, system.image(), version, id, slot_key)
        };
        drop(uds);
        let identity = place.insert(identity.map_err(Failure::Identity)?);
        self.shared.notify(&AppEvent::IdentityDerived {
            registration_id: id.as_str(),
            firmware: identity.firmware(),
            certificate: identity.certificate(),
        });
        if identity.key_source() == KeySource::Slot {
            self.shared.log.info(format_args!("The device's key is in the secure chip"));
        }
        Ok(identity)
    }

    /// Joins the network, however often that takes.
    async fn join(&mut self, settings: &Settings) -> Result<(), FailureOf<B>> {
        let backoff = self.options.backoff;
        for attempt in 0.. {
            self.shared.check_in(Task::Main, MAX_CLOUD_SILENCE_MS);
            self.shared.notify(&AppEvent::Joining);
            let in_ms = backoff.delay_ms(attempt, self.random());
            let joined = with_timeout(JOIN_TIMEOUT, pin!(self.network.join(settings.wifi()))).await;
            match joined {
                Ok(Ok(())) => break,
                Ok(Err(error)) if B::Network::is_retriable(&error) => {
                    self.shared.notify(&AppEvent::Retrying { cause: &error, in_ms: Some(in_ms) });
                }
                Ok(Err(error)) => return Err(Failure::Network(error)),
                Err(_) => {
                    self.shared.notify(&AppEvent::Retrying {
                        cause: &"joining the network timed out",
                        in_ms: Some(in_ms),
                    });
                }
            }
            Timer::after_millis(in_ms.into()).await;
        }
        self.shared.notify(&AppEvent::Joined { address: self.link.address() });
        Ok(())
    }

    /// Asks for the time a few times; if that fails, each connection attempt asks again.
    async fn sync_time(&mut self) -> bool {
        for _ in 0..TIME_ATTEMPTS {
            self.shared.check_in(Task::Main, MAX_CLOUD_SILENCE_MS);
            if pin!(sync_time(self.network, self.shared)).await {
                return true;
            }
        }
        false
    }
}

/// Numbers that spread waiting times, from a seed of the board's (Marsaglia's xorshift).
fn xorshift(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

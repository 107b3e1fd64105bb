//! A board on the bench, a cloud beside it, and what a user does with them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use devkit_app::{EndOf, Options};
use devkit_host::{AccessPoint, HostBoard, HostNetwork, HostSystem, Memory, User, screen};
use devkit_settings::Setting;
use dice_core::Uds;
use dps_client::Backoff;
use local_cloud::LocalCloud;
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::sim::{Profile, VirtualChip};

pub(crate) const UDS: [u8; Uds::LEN] = *b"thirty-two bytes, no ones secret";
pub(crate) const MAC: [u8; 6] = [0xc8, 0x93, 0x46, 0xf8, 0xa1, 0xb2];
pub(crate) const ID: &str = "az-c89346f8a1b2v2v0v0";
pub(crate) const VERSION: &str = "2.0.0";
/// The name of the cloud's second hub.
pub(crate) const MQTT5_HUB: &str = "my-hub.device.azure-devices.net";
/// What happens on a device happens long before.
const LIMIT: Duration = Duration::from_secs(90);

/// A device on the bench: its secure element, and what a reset does not clear.
pub(crate) struct Bench {
    pub(crate) chip: VirtualChip,
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) image: Vec<u8>,
    pub(crate) options: Options,
    pub(crate) access_points: Vec<AccessPoint>,
    /// The application's events in their debug form.
    pub(crate) events: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    /// A device nobody has configured.
    pub(crate) fn new() -> Self {
        Self {
            chip: VirtualChip::new(Profile::az3166(), [5; 32]),
            memory: Arc::default(),
            image: (0..=255).cycle().take(5000).collect(),
            options: Options {
                telemetry_interval_ms: 1000,
                backoff: Backoff { min_ms: 100, max_ms: 400, jitter_ms: 50 },
                ..Options::default()
            },
            access_points: Vec::new(),
            events: Arc::default(),
        }
    }

    /// A device with a secret and an id scope.
    pub(crate) fn configured() -> Self {
        let bench = Self::new();
        bench.store(Setting::Uds, &UDS);
        bench.store(Setting::DpsIdScope, b"0ne00000000");
        bench
    }

    pub(crate) fn store(&self, setting: Setting, value: &[u8]) {
        let chip = Stsafe::new(self.chip.bus(), self.chip.delay());
        Vault::open(chip).unwrap().set(setting, value).unwrap();
    }

    /// Puts the device on a network without a cloud.
    pub(crate) fn offline(&self) -> (HostBoard, User) {
        self.board(HostNetwork::new(Vec::new(), []))
    }

    /// Puts the device on a network with this cloud.
    pub(crate) fn online(&self, cloud: &local_cloud::Handle) -> (HostBoard, User) {
        let hosts = [
            (dps_client::GLOBAL_ENDPOINT.to_owned(), cloud.dps_address()),
            (cloud.config().hub_name.clone(), cloud.hub_address()),
            (MQTT5_HUB.to_owned(), cloud.hub_address()),
        ];
        self.board(HostNetwork::new(vec![cloud.root_der().to_vec()], hosts))
    }

    fn board(&self, network: HostNetwork) -> (HostBoard, User) {
        let events = self.events.clone();
        let system = HostSystem {
            image: self.image.clone(),
            version: VERSION.to_owned(),
            mac: MAC,
            observer: Box::new(move |event| events.lock().unwrap().push(format!("{event:?}"))),
            memory: self.memory.clone(),
        };
        HostBoard::new(self.chip.clone(), network.with_access_points(self.access_points.clone()), system)
    }

    /// Runs the device until its application ends.
    pub(crate) async fn run(&self, board: &mut HostBoard) -> EndOf<HostBoard> {
        let run = Box::pin(devkit_app::run(board, &self.options));
        tokio::time::timeout(LIMIT, run).await.expect("the application ends")
    }

    /// Runs the device while `story` happens, which it must outlive.
    pub(crate) async fn during<T>(&self, board: &mut HostBoard, story: impl Future<Output = T>) -> T {
        let run = Box::pin(devkit_app::run(board, &self.options));
        tokio::select! {
            end = run => panic!("the application ended: {end:?}"),
            result = tokio::time::timeout(LIMIT, story) => result.expect("the story ends before the limit"),
        }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    /// Whether the application has notified an event whose debug form begins like this.
    pub(crate) fn has_event(&self, event: &str) -> bool {
        self.events.lock().unwrap().iter().any(|name| name.starts_with(event))
    }
}

/// Waits until `what` is so.
pub(crate) async fn until(mut what: impl FnMut() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the display shows these rows, and says what it shows if it never does.
pub(crate) async fn shows(user: &User, rows: [&str; 4]) {
    let wait = until(|| screen::rows(&user.display) == rows);
    if tokio::time::timeout(Duration::from_secs(30), wait).await.is_err() {
        assert_eq!(screen::rows(&user.display), rows);
    }
}

/// A cloud in which the device of [`Bench::configured`] is enrolled.
pub(crate) async fn cloud_for(bench: &Bench) -> local_cloud::Handle {
    cloud(bench, 0, Vec::new()).await
}

/// The same, with an enrolment that names this hub.
pub(crate) async fn assigned_cloud_for(bench: &Bench, hub: &str) -> local_cloud::Handle {
    cloud(bench, 0, vec![hub.to_owned()]).await
}

/// The same, with a provisioning service that takes a while.
pub(crate) async fn slow_cloud_for(bench: &Bench) -> local_cloud::Handle {
    cloud(bench, 1, Vec::new()).await
}

async fn cloud(bench: &Bench, retry_after: u32, hubs: Vec<String>) -> local_cloud::Handle {
    let config = local_cloud::Config {
        assigning_polls: 1,
        retry_after: Some(retry_after),
        mqtt5_hubs: vec![MQTT5_HUB.to_owned()],
        ..local_cloud::Config::default()
    };
    let cloud = LocalCloud::start(config).await.unwrap();
    enrol(&cloud, bench, hubs);
    cloud
}

/// Enrols the certificate the device is going to derive, for one of these hubs, or for any classic one.
fn enrol(cloud: &local_cloud::Handle, bench: &Bench, hubs: Vec<String>) {
    let id = dice_core::RegistrationId::new(ID).unwrap();
    let uds = Uds::from_bytes(UDS).unwrap();
    let identity =
        devkit_app::Identity::derive(&bench.options.profile, &uds, &bench.image, VERSION, id, None).unwrap();
    let attestation = local_cloud::Attestation::certificate(identity.certificate());
    let mut enrolment = local_cloud::Enrollment::new(ID, attestation);
    enrolment.hubs = hubs;
    cloud.enrollments().put_individual(enrolment);
}

//! `--devices`: a fleet that is switched on in one moment, and how the registrations spread.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use devkit_app::{AppEvent, Identity, Options};
use devkit_settings::Setting;
use dice_core::Uds;
use dice_core::riot::{DEFAULT_REGISTRATION_ID_MAX_LEN, MacAddress, default_registration_id};
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::sim::{self, VirtualChip};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use super::args::Args;
use super::device::FIRMWARE_VERSION;
use super::story::BACKOFF;
use devkit_host::{HostBoard, HostNetwork, HostSystem, User};
use local_cloud::{Attestation, Enrollment, LocalCloud};
use stories::{Narrator, line};

const IMAGE_LEN: usize = 16 * 1024;
/// What the service allows, in registrations a minute.
const QUOTA: f64 = 1000.0;

/// A device of the fleet before it is switched on.
struct Member {
    chip: VirtualChip,
    mac: [u8; 6],
}

/// What a device reached, since the fleet was switched on.
#[derive(Debug)]
enum Reached {
    Registering(Duration),
    Assigned(Duration),
    /// Its first message.
    Delivered(Duration),
    Retrying,
    Ended(String),
}

/// Switches the fleet on and prints how it went.
pub(super) async fn run(args: &Args, devices: u16) -> Result<()> {
    let mut narrator = Narrator::new();
    let limit = Duration::from_secs(args.timeout);
    narrator.step("The factory: a fleet with one firmware, and a secret for each device");
    let image: Vec<u8> = (0..IMAGE_LEN).map(|_| rand::random()).collect();
    let options = Options {
        telemetry_interval_ms: 1000,
        backoff: BACKOFF,
        spread_ms: u32::try_from(args.spread.saturating_mul(1000)).unwrap_or(u32::MAX),
        ..Options::default()
    };

    let cloud =
        LocalCloud::start(local_cloud::Config { retry_after: Some(1), ..local_cloud::Config::default() })
            .await?;
    let fleet = (0..devices).map(|number| make(number, &image, &options, &cloud)).collect::<Result<Vec<_>>>();
    let fleet = narrator.in_step(fleet)?;
    line(&format!("{devices} devices"));

    narrator.step("The portal: each has an individual enrolment; the cloud is started");
    line(&format!("DPS at {}, hub at {}", cloud.dps_address(), cloud.hub_address()));

    narrator.step("The power comes back: all of them start in the same moment");
    line(&format!("each waits up to {} s before it registers", args.spread));
    let (reached, reports) = unbounded_channel();
    let began = Instant::now();
    let crowd = LocalSet::new();
    for member in fleet {
        let network = network(&cloud);
        let (board, user) = board(member, network, image.clone(), began, reached.clone());
        crowd.spawn_local(run_device(board, user, options.clone(), reached.clone()));
    }
    drop(reached);
    let figures = crowd.run_until(watch(reports, usize::from(devices), limit)).await;
    let figures = narrator.in_step(figures)?;

    narrator.step("The figures");
    figures.print();
    Ok(())
}

/// Makes a device with its settings in its secure element, and enrols it.
fn make(number: u16, image: &[u8], options: &Options, cloud: &local_cloud::Handle) -> Result<Member> {
    let uds: [u8; Uds::LEN] = rand::random();
    let [high, low] = number.to_be_bytes();
    // Locally administered, unicast.
    let mac = [0x02, 0, 0, 0, high, low];
    let chip = VirtualChip::new(sim::Profile::az3166(), VirtualChip::random_seed()?);
    let mut vault = Vault::open(Stsafe::new(chip.bus(), chip.delay()))?;
    vault.set(Setting::Uds, &uds)?;
    vault.set(Setting::DpsIdScope, cloud.config().id_scope.as_bytes())?;
    let mut id = [0; DEFAULT_REGISTRATION_ID_MAX_LEN];
    let id = default_registration_id(MacAddress(mac), FIRMWARE_VERSION, &mut id)?;
    let identity = Identity::derive(&options.profile, &Uds::from_bytes(uds)?, image, FIRMWARE_VERSION, id)?;
    let attestation = Attestation::certificate(identity.certificate());
    cloud.enrollments().put_individual(Enrollment::new(id.as_str(), attestation));
    Ok(Member { chip, mac })
}

fn board(
    member: Member,
    network: HostNetwork,
    image: Vec<u8>,
    began: Instant,
    reached: UnboundedSender<Reached>,
) -> (HostBoard, User) {
    let mut delivered = false;
    let observer = move |event: &AppEvent<'_>| {
        let now = began.elapsed();
        let step = match event {
            AppEvent::Connecting { host } if *host == dps_client::GLOBAL_ENDPOINT => {
                Reached::Registering(now)
            }
            AppEvent::Assigned { .. } => Reached::Assigned(now),
            AppEvent::TelemetryDelivered if !std::mem::replace(&mut delivered, true) => {
                Reached::Delivered(now)
            }
            AppEvent::Retrying { .. } => Reached::Retrying,
            _ => return,
        };
        // When nobody listens any more, the fleet is switched off.
        let _ = reached.send(step);
    };
    let system = HostSystem {
        image,
        version: FIRMWARE_VERSION.to_owned(),
        mac: member.mac,
        observer: Box::new(observer),
        memory: std::sync::Arc::default(),
    };
    HostBoard::new(member.chip, network, system)
}

/// A network where the local cloud has the names of the real one.
fn network(cloud: &local_cloud::Handle) -> HostNetwork {
    let hosts = [
        (dps_client::GLOBAL_ENDPOINT.to_owned(), cloud.dps_address()),
        (cloud.config().hub_name.clone(), cloud.hub_address()),
    ];
    HostNetwork::new(vec![cloud.root_der().to_vec()], hosts)
}

/// Runs a device; it ends only if it fails for good.
async fn run_device(mut board: HostBoard, user: User, options: Options, reached: UnboundedSender<Reached>) {
    let end = Box::pin(devkit_app::run(&mut board, &options)).await;
    drop(user);
    // When nobody listens any more, the fleet is switched off.
    let _ = reached.send(Reached::Ended(format!("{end:?}")));
}

/// When what was reached, each in the order of time.
#[derive(Debug, Default)]
struct Figures {
    registering: Vec<Duration>,
    assigned: Vec<Duration>,
    /// First messages that the hub acknowledged.
    delivered: Vec<Duration>,
    retries: usize,
}

/// Waits until every device has delivered a message.
async fn watch(mut reports: UnboundedReceiver<Reached>, devices: usize, limit: Duration) -> Result<Figures> {
    let mut figures = Figures::default();
    let all = async {
        while figures.assigned.len() < devices || figures.delivered.len() < devices {
            match reports.recv().await.context("all devices are gone")? {
                Reached::Registering(at) => figures.registering.push(at),
                Reached::Assigned(at) => figures.assigned.push(at),
                Reached::Delivered(at) => figures.delivered.push(at),
                Reached::Retrying => figures.retries += 1,
                Reached::Ended(why) => bail!("a device ended: {why}"),
            }
        }
        Ok(())
    };
    match tokio::time::timeout(limit, all).await {
        Ok(result) => result?,
        Err(_) => bail!("{} of {devices} devices were assigned in {limit:?}", figures.assigned.len()),
    }
    ensure!(figures.registering.len() >= devices, "a device was assigned that did not register");
    Ok(figures)
}

impl Figures {
    fn print(&self) {
        line("                        first   median     95 %     last  busiest second");
        let rows = [
            ("connect to DPS", &self.registering),
            ("assigned", &self.assigned),
            ("message delivered", &self.delivered),
        ];
        for (name, times) in rows {
            let at = |percent: usize| {
                let index = (times.len().saturating_sub(1) * percent).div_ceil(100);
                times.get(index).map_or(0.0, Duration::as_secs_f64)
            };
            let columns = [0, 50, 95, 100].map(|percent| format!("{:7.2} s", at(percent)));
            line(&format!("{name:18} {} {:9}", columns.join(""), busiest_second(times)));
        }
        line(&format!("attempts that were repeated: {}", self.retries));
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let minutes = self.assigned.len() as f64 / QUOTA;
        line(&format!(
            "a real service takes {QUOTA:.0} registrations a minute: {minutes:.2} min for this fleet at the least"
        ));
    }
}

/// The most that happened in any second; the times are in order.
fn busiest_second(times: &[Duration]) -> usize {
    let within = |from: &Duration| {
        times.iter().filter(|at| *at >= from && **at < *from + Duration::from_secs(1)).count()
    };
    times.iter().map(within).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_second_begins_with_an_event() {
        let at = |millis: &[u64]| millis.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
        assert_eq!(busiest_second(&[]), 0);
        assert_eq!(busiest_second(&at(&[0, 999, 1000, 1001, 1998, 3000])), 4);
    }
}

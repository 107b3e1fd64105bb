//! The tutorial on this machine, against a local cloud or a provisioning service elsewhere.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit_app::Options;
use dps_client::Backoff;
use peripherals::{Buttons, Lamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use stories::{
    Bench, Device as _, DeviceUnderTest, HostDevice, Narrator, faults, lamps, line, log_line, tutorial,
};
use stsafe_a100::sim::{self, VirtualChip};

use super::args::{Args, Break};
use super::device::{Device, FIRMWARE_VERSION};
use dps_cert_gen::args::ProfileName;

/// The device retries quickly here: the tutorial is watched, and one device is no storm.
pub(super) const BACKOFF: Backoff = Backoff { min_ms: 500, max_ms: 4000, jitter_ms: 250 };
/// Another id scope than the cloud's.
const WRONG_SCOPE: &str = "0ne0BADC0DE";

/// Goes through the tutorial with this device.
pub(super) async fn run(args: &Args, device: Device) -> Result<()> {
    let mut narrator = Narrator::new();
    narrator.step("The factory: a firmware image, and a secret for the device");
    let state = if device.found { "taken from" } else { "made in" };
    line(&format!("64 hexadecimal digits of secret and an image of {} bytes, {state}", device.image.len()));
    line(&device.folder.display().to_string());
    match (&args.endpoint, &args.id_scope) {
        (Some(endpoint), Some(id_scope)) => {
            elsewhere(args, &mut narrator, &device, endpoint, id_scope).await?;
        }
        _ => locally(args, &mut narrator, &device).await?,
    }
    narrator.end();
    Ok(())
}

/// Everything on this machine.
async fn locally(args: &Args, narrator: &mut Narrator, device: &Device) -> Result<()> {
    let broken = args.break_it;
    narrator.step("The cloud: a provisioning service and an IoT Hub start on this machine");
    let (folder, firmware) = (&device.folder, device.firmware());
    let web = args.stay.then(|| (Ipv4Addr::LOCALHOST, 0).into());
    let config = local_cloud::Config { web, ..local_cloud::Config::default() };
    let bench = Bench::new(config, &firmware, folder, folder, |cloud, _| {
        let root = match broken {
            Some(Break::ForeignServer) => local_cloud::Authority::generate()?.root_der().to_vec(),
            _ => cloud.root_der().to_vec(),
        };
        let mut host = host_device(args, device)?;
        host.connect(cloud, &root)?;
        Ok(host)
    });
    let mut bench = narrator.in_step(bench.await)?;
    bench.uds = hex::encode(*device.uds);
    bench.patience = Duration::from_secs(args.timeout);
    line(&format!("DPS at {}, hub at {}", bench.cloud.dps_address(), bench.cloud.hub_address()));

    let id_scope = match broken {
        Some(Break::WrongIdScope) => WRONG_SCOPE.to_owned(),
        _ => bench.cloud.config().id_scope.clone(),
    };
    let uds = match broken {
        // Another last digit.
        Some(Break::WrongUds) => {
            let (digits, last) = bench.uds.split_at(bench.uds.len() - 1);
            format!("{digits}{}", if last == "0" { '1' } else { '0' })
        }
        _ => bench.uds.clone(),
    };
    let commands = settings(&uds, dps_client::GLOBAL_ENDPOINT, &id_scope);
    let mut running = tutorial::type_settings(narrator, &bench, &commands).await?;
    let compare = broken != Some(Break::WrongUds);
    let certificate = tutorial::derive_certificate(narrator, &bench, &mut running, compare).await?;
    tutorial::enrol(narrator, &bench, &certificate)?;
    if let Some(broken) = broken {
        line(&format!("(broken on purpose: {broken:?})"));
    }
    match broken {
        Some(Break::ChangedFirmware) => {
            running.cut_power().await?;
            faults::change_firmware(&mut bench)?;
            running = bench.device.switch_on(Buttons::default()).await?;
        }
        Some(Break::NoEnrolment) => {
            fs::remove_file(bench.enrolment())?;
            tutorial::leave_console(&mut running).await?;
        }
        _ => tutorial::leave_console(&mut running).await?,
    }
    tutorial::go_online(narrator, &mut bench, &mut running).await?;
    if broken == Some(Break::CloudRestart) {
        narrator.step("The cloud goes down, and comes back");
        bench = narrator.in_step(faults::restart(bench, &running).await)?;
    }
    tutorial::command(narrator, &mut bench, &running).await?;
    if let Some(link) = bench.cloud.web_link() {
        narrator.step("The page: all of this in a browser, until Ctrl-C");
        line(link);
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

/// With a provisioning service that is somewhere else.
async fn elsewhere(
    args: &Args,
    narrator: &mut Narrator,
    device: &Device,
    endpoint: &str,
    id_scope: &str,
) -> Result<()> {
    narrator.step("The cloud: your provisioning service");
    line(&format!("{endpoint}, id scope {id_scope}"));
    let mut host = host_device(args, device)?;
    if let Some(file) = &args.root {
        let root = CertificateDer::from_pem_file(file);
        host.trust(&root.with_context(|| format!("reading {}", file.display()))?)?;
    }
    let folder = &device.folder;
    let mut unit = DeviceUnderTest::new(host, &device.firmware(), folder, folder)?;
    unit.uds = hex::encode(*device.uds);
    let commands = settings(&unit.uds, endpoint, id_scope);
    let mut running = tutorial::type_settings(narrator, &unit, &commands).await?;
    let certificate = tutorial::derive_certificate(narrator, &unit, &mut running, true).await?;

    narrator.step("The portal: enrol the certificate, if you have not yet");
    line(&format!("individual enrolment, X.509, primary certificate {}", certificate.display()));
    tutorial::leave_console(&mut running).await?;
    tutorial::derive_identity(narrator, &mut running).await?;

    narrator.step("It registers: the provisioning service answers with its hub");
    let assigned = log_line(&running, "Assigned to ", Duration::from_secs(args.timeout)).await;
    line(&format!("assigned to {}", narrator.in_step(assigned)?));

    narrator.step("It works: the hub acknowledges telemetry");
    narrator.in_step(lamps::expect(&running.panel, &[(Lamp::Blue, true), (Lamp::Blue, false)]).await)?;
    unit.display(&running, "display.png", |rows| rows[2] == "Running...").await?;
    Ok(())
}

/// What is typed on the console.
fn settings(uds: &str, endpoint: &str, id_scope: &str) -> [String; 4] {
    [
        format!("set_dps_uds {uds}"),
        format!("set_dps_endpoint {endpoint}"),
        format!("set_dps_idscope {id_scope}"),
        "show".to_owned(),
    ]
}

/// The device as it lies in its folder.
fn host_device(args: &Args, device: &Device) -> Result<HostDevice> {
    let file = device.folder.join("stsafe");
    let chip = VirtualChip::open(&file, sim::Profile::az3166(), VirtualChip::random_seed()?)?;
    let options = Options {
        profile: Device::profile(args.profile),
        telemetry_interval_ms: 1000,
        backoff: BACKOFF,
        ..Options::default()
    };
    let mut arguments: Vec<OsString> = Vec::new();
    if args.profile == ProfileName::Riot {
        arguments.extend(["--map".into(), device.folder.join("firmware.map").into()]);
    }
    let host = HostDevice::new(chip, &device.firmware(), FIRMWARE_VERSION, device.mac, options);
    Ok(host.with_certificate_arguments(arguments))
}

//! `--devices`: a fleet that is switched on in one moment, and how the registrations spread.

mod figures;
pub(super) mod part;

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use local_cloud::{Attestation, Enrollment, LocalCloud};
use stories::{Narrator, line};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::args::Args;
use figures::Figures;
use part::{LARGEST, Order, Report, Step};

const IMAGE_LEN: usize = 16 * 1024;
/// What each device may take of the time besides the limit for a step: registrations are work for this machine.
const EACH: Duration = Duration::from_millis(50);

/// A process with a part of the fleet. Dropping it ends it.
struct Part {
    devices: u16,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// Switches the fleet on and prints how it went.
pub(super) async fn run(args: &Args, devices: u16) -> Result<()> {
    let mut narrator = Narrator::new();
    let allowed = local_cloud::connections_allowed();
    let part = u16::try_from(allowed).unwrap_or(LARGEST).clamp(1, LARGEST);
    let parts = devices.div_ceil(part);
    // Each part takes two of this process's descriptors.
    let places = allowed.saturating_sub(2 * usize::from(parts)).max(1);
    let config = local_cloud::Config {
        retry_after: Some(1),
        max_connections: Some(places),
        ..local_cloud::Config::default()
    };
    let cloud = LocalCloud::start(config).await?;

    narrator.step("The factory: a fleet with one firmware, and a secret for each device");
    let image: Vec<u8> = (0..IMAGE_LEN).map(|_| rand::random()).collect();
    let leave = usize::from(devices) > places;
    let orders = (0..parts).map(|index| Order {
        first: index * part,
        count: part.min(devices - index * part),
        id_scope: cloud.config().id_scope.clone(),
        hosts: vec![
            (dps_client::GLOBAL_ENDPOINT.to_owned(), cloud.dps_address()),
            (cloud.config().hub_name.clone(), cloud.hub_address()),
        ],
        root: cloud.root_der().to_vec(),
        image: image.clone(),
        spread_ms: u32::try_from(args.spread.saturating_mul(1000)).unwrap_or(u32::MAX),
        leave,
    });
    let mut fleet = Vec::new();
    for order in orders {
        fleet.push(narrator.in_step(Part::start(&order).await)?);
    }
    let bar = progress(devices, "devices are made");
    for part in &mut fleet {
        narrator.in_step(enrol(part, &cloud, &bar).await)?;
    }
    bar.finish_and_clear();
    line(&format!("{devices} devices, in {parts} processes"));

    narrator.step("The portal: each has an individual enrolment; the cloud is started");
    line(&format!("DPS at {}, hub at {}", cloud.dps_address(), cloud.hub_address()));
    if leave {
        line(&format!("this machine has places for {places} connections: a device that is done leaves"));
    }

    narrator.step("The power comes back: all of them start in the same moment");
    line(&format!("each waits up to {} s before it registers", args.spread));
    let (reports, inbox) = unbounded_channel();
    let began = part::now();
    let mut children = Vec::new();
    for Part { child, mut input, output, .. } in fleet {
        narrator.in_step(input.write_all(b"on\n").await.context("a part of the fleet"))?;
        drop(tokio::spawn(read(output, reports.clone())));
        children.push((child, input));
    }
    drop(reports);
    let limit = Duration::from_secs(args.timeout.saturating_add(args.spread)) + EACH * u32::from(devices);
    let bar = progress(devices, "devices are at work");
    let figures = narrator.in_step(watch(inbox, usize::from(devices), began, limit, &bar).await);
    bar.finish_and_clear();
    let figures = figures?;
    drop(children);

    narrator.step("The figures");
    figures.print();
    if let Some(path) = &args.plot {
        figures.draw(path)?;
        line(&format!("drawn in {}", path.display()));
    }
    Ok(())
}

/// A bar on a terminal; where there is none, nothing.
fn progress(devices: u16, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(devices.into()).with_message(what);
    let template = "    {bar:40} {pos} of {len} {msg}, {elapsed}";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Part {
    async fn start(order: &Order) -> Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command.arg("--fleet-part").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("starting a part of the fleet")?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a part of the fleet has no pipes");
        };
        input.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes()).await?;
        Ok(Self { devices: order.count, child, input, output: BufReader::new(output).lines() })
    }
}

/// Enrols the devices of a part as they are made.
async fn enrol(part: &mut Part, cloud: &local_cloud::Handle, bar: &ProgressBar) -> Result<()> {
    for _ in 0..part.devices {
        match part.output.next_line().await? {
            Some(text) => match serde_json::from_str(&text)? {
                Report::Made { id, certificate } => {
                    cloud
                        .enrollments()
                        .put_individual(Enrollment::new(id, Attestation::certificate(certificate)));
                    bar.inc(1);
                }
                other => bail!("a part of the fleet says {other:?} too early"),
            },
            None => bail!("a part of the fleet has ended"),
        }
    }
    Ok(())
}

/// Passes on what a part says.
async fn read(mut output: Lines<BufReader<ChildStdout>>, reports: UnboundedSender<Report>) {
    while let Ok(Some(text)) = output.next_line().await {
        let report = serde_json::from_str(&text).unwrap_or_else(|e| Report::Failed(format!("{text}: {e}")));
        // When nobody listens any more, the fleet is switched off.
        let _ = reports.send(report);
    }
}

/// Waits until every device has delivered a message.
async fn watch(
    mut reports: UnboundedReceiver<Report>,
    devices: usize,
    began: u64,
    limit: Duration,
    bar: &ProgressBar,
) -> Result<Figures> {
    let mut figures = Figures::default();
    let all = async {
        while figures.count(Step::Assigned) < devices || figures.count(Step::Delivered) < devices {
            match reports.recv().await.context("all devices are gone")? {
                Report::Reached(step, at) => {
                    figures.add(step, Duration::from_micros(at.saturating_sub(began)));
                    if step == Step::Delivered {
                        bar.inc(1);
                    }
                }
                Report::Retrying => figures.retries += 1,
                Report::Failed(why) => bail!("a device ended: {why}"),
                Report::Made { id, .. } => bail!("{id} was made too late"),
            }
        }
        Ok(())
    };
    match tokio::time::timeout(limit, all).await {
        Ok(result) => result?,
        Err(_) => {
            bail!("{} of {devices} devices were assigned in {limit:?}", figures.count(Step::Assigned))
        }
    }
    ensure!(figures.count(Step::Registering) >= devices, "a device was assigned that did not register");
    figures.sort();
    Ok(figures)
}

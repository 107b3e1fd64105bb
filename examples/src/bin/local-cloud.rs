//! Azure DPS and IoT Hub on this machine: enrol a device by putting its `.pem` into a folder, watch what it sends, and
//! talk back to it from the console.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use examples::cloud::{Config, Handle, LocalCloud, Properties, TlsVersions};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Azure DPS and IoT Hub on loopback ports of this machine.
#[derive(Parser, Debug)]
#[command(version, about, after_help = COMMANDS)]
struct Options {
    /// Folder with enrolments: `*.pem` (devices), `groups/*.pem` (authorities), `keys.json` (symmetric keys),
    /// `<id>.disabled` (switches one off). Files put there or taken away count at once.
    #[arg(long, value_name = "DIR", default_value = "enrollments")]
    enrollments: PathBuf,
    /// Port of DPS; 0 lets the system choose.
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    dps_port: u16,
    /// Port of DPS over HTTPS; 0 lets the system choose.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    https_port: u16,
    /// Port of the hub; 0 lets the system choose.
    #[arg(long, value_name = "PORT", default_value_t = 8884)]
    hub_port: u16,
    /// The id scope that devices must name.
    #[arg(long, value_name = "SCOPE", default_value = "0ne00000000")]
    id_scope: String,
    /// The hub's host name, as DPS assigns it.
    #[arg(long, value_name = "NAME", default_value = "local-hub.azure-devices.net")]
    hub_name: String,
    /// Where to write the root certificate (PEM) that devices have to trust.
    #[arg(long, value_name = "FILE", default_value = "local-cloud-root.pem")]
    out_ca: PathBuf,
    /// How often a registration is answered with "assigning" first.
    #[arg(long, value_name = "N", default_value_t = 1)]
    assigning_polls: u32,
    /// Seconds in "retry-after".
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    retry_after: u32,
    /// TLS versions to take.
    #[arg(long, value_enum, default_value_t = Tls::Both)]
    tls: Tls,
}

const COMMANDS: &str = "\
Commands on standard input:
  c2d <device> <text>               send a cloud-to-device message
  method <device> <name> [<json>]   call a direct method
  twin <device> [<json>]            patch the desired properties, or show the twin
  devices                           list the devices
  drop                              close all connections
  quit";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Tls {
    Both,
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.enrollments)
        .with_context(|| format!("folder {}", options.enrollments.display()))?;
    let cloud = LocalCloud::start(Config {
        dps_port: options.dps_port,
        hub_port: options.hub_port,
        https_port: options.https_port,
        id_scope: options.id_scope,
        hub_name: options.hub_name,
        enrollments: Some(options.enrollments.clone()),
        assigning_polls: options.assigning_polls,
        retry_after: Some(options.retry_after),
        tls: match options.tls {
            Tls::Both => TlsVersions::Both,
            Tls::V12 => TlsVersions::Tls12,
            Tls::V13 => TlsVersions::Tls13,
        },
        ..Config::default()
    })
    .await
    .context("starting")?;
    let cloud = Arc::new(cloud);
    std::fs::write(&options.out_ca, cloud.root_pem())
        .with_context(|| format!("writing {}", options.out_ca.display()))?;
    let mut events = cloud.events();
    println!("DPS          {}  id scope {}", cloud.dps_address(), cloud.config().id_scope);
    println!("DPS (HTTPS)  {}", cloud.https_address());
    println!("IoT Hub      {}  {}", cloud.hub_address(), cloud.config().hub_name);
    println!("Root         {}", options.out_ca.display());
    println!("Enrolments   {}", options.enrollments.display());
    std::io::stdout().flush()?;

    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let mut input_open = true;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => println!("{event}"),
                None => break,
            },
            line = input.next_line(), if input_open => match line? {
                Some(line) if line.trim() == "quit" => break,
                Some(line) => {
                    // Apart, because a device may take its time to answer a method.
                    let cloud = cloud.clone();
                    tokio::spawn(async move {
                        if let Err(e) = command(&cloud, line.trim()).await {
                            println!("error: {e:#}");
                        }
                    });
                }
                None => input_open = false,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Splits off the first word.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

async fn command(cloud: &Handle, line: &str) -> Result<()> {
    let (name, rest) = word(line);
    let (device, rest) = word(rest);
    match name {
        "" => {}
        "c2d" => {
            let id = cloud.send_c2d(device, rest, &Properties::new())?;
            println!("queued message {id}");
        }
        "method" => {
            let (method, payload) = word(rest);
            if method.is_empty() {
                bail!("which method?");
            }
            let answer = cloud.invoke_method(device, method, payload, Duration::from_secs(30)).await?;
            println!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        "twin" if rest.is_empty() => println!("{:#}", cloud.twin(device)?),
        "twin" => {
            let Value::Object(patch) = serde_json::from_str(rest).context("the patch")? else {
                bail!("the patch is not a JSON object");
            };
            println!("desired properties are at version {}", cloud.patch_desired(device, &patch)?);
        }
        "devices" => {
            for id in cloud.devices() {
                println!("{id}{}", if cloud.is_connected(&id) { "  connected" } else { "" });
            }
        }
        "drop" => cloud.drop_connections(),
        other => bail!("unknown command {other:?}\n{COMMANDS}"),
    }
    Ok(())
}

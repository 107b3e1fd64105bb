//! Registrations and messages per second of the local cloud, and of mosquitto where it does the same work: a TLS
//! connection with a client certificate, and messages with QoS 1. `tools/measure-cloud` runs it.

mod load;
mod mqtt;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

use load::{AT_ONCE, Fleet, Times};
use server::Server;

/// Messages of each device, as fast as they are acknowledged.
const MESSAGES: usize = 5;
/// Messages a second at a steady pace, and for how long.
const RATE: u32 = 1000;
const STEADY: Duration = Duration::from_secs(10);

/// Measures the local cloud beside mosquitto; prints tables for a README.
#[derive(Debug, Parser)]
struct Args {
    /// The program `local-cloud`
    #[arg(long, value_name = "FILE")]
    local_cloud: PathBuf,
    /// The program `mosquitto`
    #[arg(long, value_name = "FILE", default_value = "mosquitto")]
    mosquitto: PathBuf,
    /// Fleets whose registrations are measured
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 10, 100, 1000, 10_000])]
    register: Vec<usize>,
    /// Fleets that connect and send
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1000, 10_000])]
    connect: Vec<usize>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let most = args.register.iter().chain(&args.connect).copied().max().unwrap_or_default();
    let allowed = local_cloud::connections_allowed();
    ensure!(
        allowed >= most,
        "{most} connections take more open files than this process may have: {allowed} fit"
    );
    // It is started in a folder of its own.
    let local_cloud = std::path::absolute(&args.local_cloud)?;
    println!("{AT_ONCE} devices at work at the same time; times in milliseconds.\n");
    println!("| registrations | a second | p50 | p99 | processor time each | memory at the end |");
    println!("|---:|---:|---:|---:|---:|---:|");
    for devices in &args.register {
        let fleet = Fleet::make(*devices)?;
        let server = Server::local_cloud(&local_cloud, &fleet)?;
        let Some((dps, id_scope)) = &server.dps else { continue };
        let before = server.processor()?;
        let times = load::register(&fleet.devices, dps, &server.root, id_scope).await?;
        let processor = server.processor()?.saturating_sub(before);
        println!("| {devices} | {} | {:.0} MiB |", row(&times, processor), server.memory()?);
    }
    println!("\n| devices | server | work | a second | p50 | p99 | processor time each | memory |");
    println!("|---:|---|---|---:|---:|---:|---:|---:|");
    for devices in &args.connect {
        let fleet = Fleet::make(*devices)?;
        for name in ["local-cloud", "mosquitto"] {
            let server = match name {
                "mosquitto" => Server::mosquitto(&args.mosquitto, &fleet)?,
                _ => Server::local_cloud(&local_cloud, &fleet)?,
            };
            if let Some((dps, id_scope)) = &server.dps {
                load::register(&fleet.devices, dps, &server.root, id_scope).await?;
            }
            measure(name, &fleet, &server).await?;
        }
    }
    Ok(())
}

/// Connections, messages as fast as they go, and messages at a steady pace.
async fn measure(name: &str, fleet: &Fleet, server: &Server) -> Result<()> {
    let devices = fleet.devices.len();
    let mut before = server.processor()?;
    let mut print = |work: &str, times: &Times| -> Result<()> {
        let now = server.processor()?;
        let processor = now.saturating_sub(std::mem::replace(&mut before, now));
        println!("| {devices} | {name} | {work} | {} | {:.0} MiB |", row(times, processor), server.memory()?);
        Ok(())
    };
    let (times, mut connected) = load::connect(&fleet.devices, &server.hub, &server.root).await?;
    print("connect", &times)?;
    print("messages", &load::flood(&mut connected, MESSAGES).await?)?;
    print("1,000 messages a second", &load::pace(&mut connected, RATE, STEADY).await?)
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn row(times: &Times, processor: Duration) -> String {
    let each = processor.as_secs_f64() * 1e6 / times.count().max(1) as f64;
    let (p50, p99) = (times.percentile(50), times.percentile(99));
    format!("{:.0} | {p50:.1} | {p99:.1} | {each:.0} µs", times.per_second())
}

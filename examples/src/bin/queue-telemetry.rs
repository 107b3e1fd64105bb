//! Telemetry that outlives resets: measured all the time, kept in flash until the hub has it.
//!
//!     cargo run -p examples --bin queue-telemetry -- --help
//!
//! Kill it at any moment, with or without a connection, and start it again: nothing that it has stored is lost. A
//! message that was on its way may come twice, with the same id.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser as _;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use examples::flash::{BLOCK, FileFlash};
use iothub_mqtt::queue::{TelemetryQueue, WhenFull};
use iothub_mqtt::runner::{Application, DeviceCommand, DeviceEvent, Queued, SharedQueue};
use iothub_mqtt::{HubEvent, Telemetry};

/// Blocks of flash; 16 of them hold some 700 messages.
const BLOCKS: usize = 16;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    args: examples::Args,
    /// The file that stands for the flash memory
    #[arg(long, default_value = "queue.flash")]
    flash: PathBuf,
    /// Milliseconds between two measurements
    #[arg(long, default_value_t = 5000)]
    every: u64,
}

/// What the device does beside: only to say how it is.
struct Say;

impl<E: std::fmt::Display> Application<E> for Say {
    async fn event(&mut self, event: DeviceEvent<'_, E>) {
        match event {
            DeviceEvent::Hub(HubEvent::Connected) => println!("connected"),
            DeviceEvent::Retrying { cause, .. } => println!("{cause}; trying again"),
            _ => {}
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        std::future::pending().await
    }
}

/// Measures for ever, whether the device is connected or not.
async fn measure(queue: &SharedQueue<'_, NoopRawMutex, FileFlash>, every: Duration) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(every);
    for number in 0.. {
        tick.tick().await;
        let body = format!(r#"{{"measurement":{number}}}"#);
        queue.push(&Telemetry::json(body.as_bytes()).with_properties(&[("sensor", "4")])).await?;
        println!("{} wait, {} were dropped", queue.len().await, queue.dropped().await);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Command { args, flash, every } = Command::parse();
    let (mut buffer, mut record) = ([0; 512], [0; 512]); // the largest message with its properties
    let flash = FileFlash::open(&flash, BLOCKS).map_err(iothub_mqtt::Error::Flash)?;
    let area = 0..u32::try_from(BLOCKS * BLOCK)?;
    let queue = TelemetryQueue::open(flash, area, WhenFull::DropOldest, rand::random(), &mut buffer).await?;
    let queue = SharedQueue::new(queue);
    let mut application = Queued::new(Say, &queue, &mut record)?;
    tokio::try_join!(
        examples::stay_online(&args, &mut application),
        measure(&queue, Duration::from_millis(every)),
    )?;
    Ok(())
}

//! Gives a board on a serial port the network of this machine.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use serial_net::{Bridge, Hosts, Rule};
use serial2_tokio::SerialPort;
use tokio::signal::ctrl_c;
use tokio::time::sleep;

/// Gives a board on a serial port (SLIP) the network of this machine, without privileges. By default the board reaches
/// this machine only: the names given with --host, and 127.0.0.1 as 10.0.2.2.
#[derive(Debug, Parser)]
#[command(name = "serial-net", version, max_term_width = 110)]
struct Args {
    /// The serial port that the board's USART1 is connected to, such as /dev/ttyUSB0
    #[arg(value_name = "PORT")]
    port: PathBuf,
    /// Bits a second
    #[arg(long, value_name = "BAUD", default_value_t = 460_800)]
    baud: u32,
    /// Where a host is to be found: NAME=ADDRESS[:PORT]; "*.example.net" stands for all names below. May be repeated
    #[arg(long, value_name = "RULE")]
    host: Vec<Rule>,
    /// Let the board reach everything this machine reaches
    #[arg(long)]
    internet: bool,
}

/// How often it is checked whether a port that is gone is back.
const AGAIN: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    let hosts = Hosts::new(args.host);
    let bridge = Bridge::new(if args.internet { hosts.with_internet() } else { hosts });
    let name = args.port.display();
    let mut stop = pin!(ctrl_c());
    // A port that is not there at the start is a wrong name.
    let mut port = SerialPort::open(&args.port, args.baud).with_context(|| format!("opening {name}"))?;
    loop {
        eprintln!("serial-net: serving {name} at {} baud", args.baud);
        tokio::select! {
            end = bridge.run(port) => {
                let why = end.err().map_or_else(String::new, |error| format!(" ({error})"));
                eprintln!("serial-net: {name} is gone{why}, waiting for it");
            }
            end = &mut stop => return end.context("waiting for Ctrl-C"),
        }
        port = loop {
            tokio::select! {
                () = sleep(AGAIN) => {}
                end = &mut stop => return end.context("waiting for Ctrl-C"),
            }
            if let Ok(port) = SerialPort::open(&args.port, args.baud) {
                break port;
            }
        };
    }
}

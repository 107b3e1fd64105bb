//! Between the air and the network in user mode.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use peripherals::Air;
use tokio::sync::Notify;
use tokio::time::sleep;
use user_net::{Hosts, Link, UserNet};

use crate::gateway::{Gateway, Reaction};

/// How often it is checked whether the radio has room again.
const AGAIN: Duration = Duration::from_millis(1);

/// What is behind every network of an air.
#[derive(Debug)]
pub struct AccessPoint {
    air: Air,
    network: UserNet,
}

impl AccessPoint {
    /// In this air, with these hosts behind it.
    #[must_use]
    pub fn new(air: Air, hosts: Hosts) -> Self {
        Self { air, network: UserNet::new(hosts) }
    }

    /// Serves the station, on a Tokio runtime with time. Ends only if the network fails.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn run(&self) -> io::Result<()> {
        let (Link { to_network, mut to_board }, serve) = self.network.connect()?;
        let heard = Arc::new(Notify::new());
        let wake = heard.clone();
        self.air.on_frame(move || wake.notify_one());
        let work = async {
            let mut gateway = Gateway::new();
            loop {
                while let Some(frame) = self.air.take() {
                    match gateway.receive(&frame) {
                        Reaction::Nothing => {}
                        // What does not fit is asked for again.
                        Reaction::Frame(frame) => {
                            let _ = self.air.send(frame);
                        }
                        Reaction::Packet(packet) => to_network.send(&packet).await?,
                    }
                }
                tokio::select! {
                    () = heard.notified() => {}
                    packet = to_board.recv() => {
                        let packet = packet.ok_or(io::ErrorKind::BrokenPipe)?;
                        if let Some(frame) = gateway.wrap(&packet) {
                            self.deliver(frame).await;
                        }
                    }
                }
            }
        };
        tokio::select! {
            end = work => end,
            end = serve => end,
        }
    }

    /// Sends a frame as soon as the radio has room; without a radio it is lost.
    async fn deliver(&self, frame: Vec<u8>) {
        while self.air.joined().is_some() && !self.air.send(frame.clone()) {
            sleep(AGAIN).await;
        }
    }
}

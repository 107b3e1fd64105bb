//! A provisioning service and a hub on this machine, for a board at a serial line: it reaches them under the services'
//! names.

use std::os::unix::net::UnixStream;
use std::path::Path;

use access_point::{Hosts, Rule};
use anyhow::{Context, Result};
use local_cloud::{Config, Handle, LocalCloud};
use serial_net::Bridge;
use stories::generation::with_mqtt5_hub;

/// Starts both, and a second hub, which speaks MQTT 5, on ports that the system chooses; enrolled is who has a `.pem`
/// file in the folder. Must be called within a Tokio runtime.
///
/// # Errors
/// The cloud does not start.
pub async fn start(enrolments: &Path) -> Result<Handle> {
    let config =
        Config { enrollments: Some(enrolments.to_owned()), retry_after: Some(1), ..Config::default() };
    LocalCloud::start(with_mqtt5_hub(config)).await.context("starting the local cloud")
}

/// Where the names of this cloud's services lead.
#[must_use]
pub fn hosts(cloud: &Handle) -> Vec<Rule> {
    let config = cloud.config();
    let hubs = std::iter::once(&config.hub_name).chain(&config.mqtt5_hubs);
    let hubs = hubs.map(|name| Rule::new(name, cloud.hub_address()));
    std::iter::once(Rule::new(&config.dps_name, cloud.dps_address())).chain(hubs).collect()
}

/// A serial line to a network with these hosts, for [`Live`](crate::Live): gives the board's end. Must be called within
/// a Tokio runtime, on which the network lives until the line is dropped.
///
/// # Errors
/// There is no pair of sockets to be had.
pub fn connect(hosts: Hosts) -> Result<UnixStream> {
    let (board, bridge) = UnixStream::pair().context("making a serial line")?;
    board.set_nonblocking(true)?;
    bridge.set_nonblocking(true)?;
    let bridge = tokio::net::UnixStream::from_std(bridge)?;
    // It ends with the line, which is no error.
    tokio::spawn(async move { Bridge::new(hosts).run(bridge).await });
    Ok(board)
}

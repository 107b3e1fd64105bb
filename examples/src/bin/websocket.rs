//! MQTT over WebSockets on port 443, for networks that let nothing else out.
//!
//!     cargo run -p examples --bin websocket -- --help
//!
//! Provisioning service and hub, of both generations, take it there. As every program here this one goes through an
//! HTTP proxy with `--proxy`.

use azure_iot_tunnel::websocket::{PORT, Upgrade, WebSocket};
use clap::Parser as _;
use examples::{Args, Error, Network, Stream};
use iothub_mqtt::runner::{Application, Connector, DeviceCommand, DeviceEvent, Target};
use iothub_mqtt::{HubEvent, Telemetry};

/// Connections that carry MQTT in WebSocket frames.
struct OverWebSockets(Network);

impl Connector for OverWebSockets {
    type Stream<'s> = WebSocket<Stream, fn() -> u32>;
    type Error = Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<Self::Stream<'_>, Error> {
        let tls = self.0.open(target.host, PORT).await?;
        WebSocket::open(tls, &Upgrade::new(target.host)?, rand::random as fn() -> u32).await
    }

    fn is_retriable(error: &Error) -> bool {
        Network::is_retriable(error)
    }
}

/// Says hello once a connection.
#[derive(Default)]
struct Hello {
    due: bool,
}

impl Application<Error> for Hello {
    async fn event(&mut self, event: DeviceEvent<'_, Error>) {
        match event {
            DeviceEvent::Registered(assignment) => println!("assigned to {}", assignment.hub()),
            DeviceEvent::Hub(HubEvent::Connected) => self.due = true,
            DeviceEvent::Hub(HubEvent::Delivered(_)) => println!("the hub has the message"),
            DeviceEvent::Hub(HubEvent::Message(message)) => {
                println!("a message of {} bytes", message.payload.len());
            }
            DeviceEvent::Retrying { cause, .. } => println!("{cause}; trying again"),
            _ => {}
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        if !std::mem::take(&mut self.due) {
            std::future::pending::<()>().await;
        }
        DeviceCommand::Telemetry(Telemetry::json(br#"{"hello":"world"}"#))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut connections = OverWebSockets(Network::new(&args, Some(examples::certificate(&args.id)?))?);
    examples::stay_online_over(&mut connections, &args, &mut Hello::default()).await
}

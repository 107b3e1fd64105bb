//! Telemetry every five seconds, and messages from the cloud.
//!
//!     cargo run -p examples --bin telemetry-and-messages -- --help

use std::time::Duration;

use clap::Parser as _;
use iothub_mqtt::runner::{Application, DeviceCommand, DeviceEvent};
use iothub_mqtt::{HubEvent, Telemetry};

struct Sensor {
    next: tokio::time::Interval,
    temperature: f32,
    text: String,
}

impl<E: std::fmt::Display> Application<E> for Sensor {
    async fn event(&mut self, event: DeviceEvent<'_, E>) {
        match event {
            DeviceEvent::Registered(assignment) => println!("assigned to {}", assignment.hub()),
            DeviceEvent::Hub(HubEvent::Connected) => println!("connected"),
            DeviceEvent::Hub(HubEvent::Delivered(_)) => println!("the hub has it"),
            // The hub counts it as delivered when this returns.
            DeviceEvent::Hub(HubEvent::Message(message)) => {
                println!("message: {}", String::from_utf8_lossy(message.payload).escape_debug());
            }
            DeviceEvent::Retrying { cause, .. } => println!("{cause}; trying again"),
            _ => {}
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        self.next.tick().await; // may be dropped and asked for again: a tick is not lost by that
        self.temperature += 0.1;
        self.text = format!(r#"{{"temperature":{:.1}}}"#, self.temperature);
        let alert: &[_] = if self.temperature > 30.0 { &[("alert", "true")] } else { &[("alert", "false")] };
        DeviceCommand::Telemetry(Telemetry::json(self.text.as_bytes()).with_properties(alert))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let next = tokio::time::interval(Duration::from_secs(5));
    let mut sensor = Sensor { next, temperature: 20.0, text: String::new() };
    examples::stay_online(&examples::Args::parse(), &mut sensor).await
}

//! The device twin: the cloud wishes (desired properties), the device tells (reported properties).
//!
//!     cargo run -p examples --bin twin -- --help

use clap::Parser as _;
use iothub_mqtt::HubEvent;
use iothub_mqtt::runner::{Application, DeviceCommand, DeviceEvent};

/// A device with one setting, `interval`, in seconds.
struct Setting {
    interval: u32,
    report: String,
    due: bool,
}

impl Setting {
    /// Takes what the cloud wishes, if it is sensible, and tells what holds now.
    fn wish(&mut self, interval: Option<u32>) {
        match interval {
            Some(seconds @ 1..=3600) => self.interval = seconds,
            Some(seconds) => println!("an interval of {seconds} s is refused"),
            None => {} // not mentioned: as it was
        }
        println!("the interval is {} s", self.interval);
        self.report = format!(r#"{{"interval":{}}}"#, self.interval);
        self.due = true;
    }
}

impl<E> Application<E> for Setting {
    async fn event(&mut self, event: DeviceEvent<'_, E>) {
        match event {
            // After every connect the whole twin comes, so nothing is missed that was wished meanwhile.
            DeviceEvent::Hub(HubEvent::Twin(twin)) => {
                self.wish(twin.desired().get("interval").and_then(|value| value.as_u32()));
            }
            DeviceEvent::Hub(HubEvent::Desired(change)) => match change.object() {
                Ok(object) => self.wish(object.get("interval").and_then(|value| value.as_u32())),
                Err(error) => println!("a change that cannot be read: {error}"),
            },
            DeviceEvent::Hub(HubEvent::Reported { result: Err(failure), .. }) => {
                println!("not reported: {failure:?}");
            }
            _ => {}
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        if !std::mem::take(&mut self.due) {
            std::future::pending::<()>().await; // nothing to tell
        }
        DeviceCommand::Report(&self.report)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut setting = Setting { interval: 10, report: String::new(), due: false };
    examples::stay_online(&examples::Args::parse(), &mut setting).await
}

//! Plug and Play: a thermostat with a writable property and a command, as its model says.
//!
//!     cargo run -p examples --bin plug-and-play -- --help

use clap::Parser as _;
use examples::{Args, Network};
use iothub_mqtt::method::{ReplyTo, status};
use iothub_mqtt::pnp::{self, Acknowledgement, Report};
use iothub_mqtt::runner::{Application, Device, DeviceCommand, DeviceEvent, Memory, Settings};
use iothub_mqtt::{Announcement, HubEvent};

const MODEL: &str = "dtmi:com:example:Thermostat;1";

#[derive(Default)]
struct Thermostat {
    target: u32,
    report: String,
    report_due: bool,
    answer: Option<ReplyTo>,
}

impl Thermostat {
    /// Takes a wished target temperature and acknowledges it with the version it came with.
    fn wished(&mut self, properties: impl Iterator<Item = (String, Option<u32>)>, version: u64) {
        for (name, value) in properties.filter(|(name, _)| name == "targetTemperature") {
            let (status, description) = match value {
                Some(target @ 5..=35) => {
                    self.target = target;
                    (200, "")
                }
                _ => (400, "5 to 35 degrees"),
            };
            println!("{name}: {value:?} is answered with {status}");
            let version = i64::try_from(version).unwrap_or(i64::MAX);
            let mut text = [0; 256];
            let mut report = Report::new(&mut text);
            let said =
                report.acknowledge(&name, self.target, Acknowledgement { status, version, description });
            if let (Ok(()), Ok(text)) = (said, report.finish()) {
                (self.report, self.report_due) = (text.to_owned(), true);
            }
        }
    }
}

impl<E> Application<E> for Thermostat {
    async fn event(&mut self, event: DeviceEvent<'_, E>) {
        let owned = |property: pnp::Property<'_>| (property.name.chars().collect(), property.value.as_u32());
        match event {
            DeviceEvent::Hub(HubEvent::Twin(twin)) => {
                self.wished(pnp::properties(&twin.desired(), &[]).map(owned), twin.version());
            }
            DeviceEvent::Hub(HubEvent::Desired(change)) => {
                if let Ok(object) = change.object() {
                    self.wished(pnp::properties(&object, &[]).map(owned), change.version);
                }
            }
            DeviceEvent::Hub(HubEvent::Method(call)) if call.command() == (None, "reboot") => {
                println!("told to reboot");
                self.answer = Some(call.reply_to());
            }
            _ => {}
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        if let Some(to) = self.answer.take() {
            return DeviceCommand::Respond { to, status: status::OK, payload: b"{}" };
        }
        if !std::mem::take(&mut self.report_due) {
            std::future::pending::<()>().await;
        }
        DeviceCommand::Report(&self.report)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut network = Network::new(&args, Some(examples::certificate(&args.id)?))?;
    let mut settings = Settings::new(args.registration()?);
    settings.announcement = Announcement::default().with_model_id(MODEL)?; // told on every connect
    let mut device: Device<'_, _> = Device::new(settings, rand::random);
    let mut memory: Memory = Memory::new();
    device.run(&mut Thermostat::default(), &mut network, &mut memory.buffers(), None).await?;
    Ok(())
}

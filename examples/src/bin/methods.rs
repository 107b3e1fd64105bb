//! Direct methods: the cloud calls, the device answers with a status and JSON.
//!
//!     cargo run -p examples --bin methods -- --help

use clap::Parser as _;
use iothub_mqtt::HubEvent;
use iothub_mqtt::method::{ReplyTo, status};
use iothub_mqtt::runner::{Application, DeviceCommand, DeviceEvent};

/// A lamp that can be switched by the methods `on` and `off`.
#[derive(Default)]
struct Lamp {
    on: bool,
    answer: Option<(ReplyTo, i32)>,
}

impl<E> Application<E> for Lamp {
    async fn event(&mut self, event: DeviceEvent<'_, E>) {
        let DeviceEvent::Hub(HubEvent::Method(call)) = event else { return };
        let known = matches!(call.name, "on" | "off");
        if known {
            self.on = call.name == "on";
        }
        println!("{}: the lamp is {}", call.name.escape_debug(), if self.on { "on" } else { "off" });
        self.answer = Some((call.reply_to(), if known { status::OK } else { status::NOT_FOUND }));
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        let Some((to, status)) = self.answer.take() else { return std::future::pending().await };
        let payload: &[u8] = if self.on { br#"{"lamp":true}"# } else { br#"{"lamp":false}"# };
        DeviceCommand::Respond { to, status, payload }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    examples::stay_online(&examples::Args::parse(), &mut Lamp::default()).await
}

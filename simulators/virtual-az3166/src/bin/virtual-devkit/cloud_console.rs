//! The cloud on this machine, for the user at the terminal: its events, and commands to it.

use std::path::Path;
use std::sync::{Arc, mpsc};

use local_cloud::Handle;
use local_cloud::program::command::carry_out;

/// A cloud, and the lines it prints.
pub(crate) struct CloudConsole {
    cloud: Arc<Handle>,
    runtime: tokio::runtime::Handle,
    printer: mpsc::Sender<String>,
    printed: mpsc::Receiver<String>,
}

impl CloudConsole {
    /// Listens to this cloud. Must be called within a Tokio runtime.
    pub(crate) fn new(cloud: Handle) -> Self {
        let (printer, printed) = mpsc::channel();
        let (mut events, to) = (cloud.events(), printer.clone());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if to.send(event.to_string()).is_err() {
                    return;
                }
            }
        });
        Self { cloud: Arc::new(cloud), runtime: tokio::runtime::Handle::current(), printer, printed }
    }

    pub(crate) fn cloud(&self) -> &Handle {
        &self.cloud
    }

    /// Prints what the user has to know of it.
    pub(crate) fn print_help(&self, enrolments: &Path) {
        let config = self.cloud.config();
        eprintln!("cloud: id scope {}, hub {}", config.id_scope, config.hub_name);
        eprintln!("cloud: devices with a .pem file in {} are enrolled", enrolments.display());
        eprintln!("cloud: Ctrl-T, then a command such as: method <device> stop");
    }

    /// The lines printed since the last call.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.printed.try_iter()
    }

    /// Has a command carried out. The answer is printed later: a device may take its time.
    pub(crate) fn command(&self, line: String) {
        let (cloud, printer) = (self.cloud.clone(), self.printer.clone());
        self.runtime.spawn(async move {
            let answer = match carry_out(&cloud, &line).await {
                Ok(answer) => answer.to_string(),
                Err(error) => format!("error: {error:#}"),
            };
            // Nobody listens any more when the program ends.
            let _ = printer.send(answer);
        });
    }
}

//! The cloud on this machine, as the user at the terminal sees it: its events, and commands to it.

use std::path::Path;
use std::sync::{Arc, mpsc};

use local_cloud::Handle;
use local_cloud::program::command::carry_out;

/// A cloud and what it says.
pub(crate) struct Desk {
    cloud: Arc<Handle>,
    runtime: tokio::runtime::Handle,
    say: mpsc::Sender<String>,
    said: mpsc::Receiver<String>,
}

impl Desk {
    /// Listens to this cloud. Must be called within a Tokio runtime.
    pub(crate) fn new(cloud: Handle) -> Self {
        let (say, said) = mpsc::channel();
        let (mut events, tell) = (cloud.events(), say.clone());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if tell.send(event.to_string()).is_err() {
                    return;
                }
            }
        });
        Self { cloud: Arc::new(cloud), runtime: tokio::runtime::Handle::current(), say, said }
    }

    pub(crate) fn cloud(&self) -> &Handle {
        &self.cloud
    }

    /// What the user has to know of it.
    pub(crate) fn introduce(&self, enrolments: &Path) {
        let config = self.cloud.config();
        eprintln!("cloud: id scope {}, hub {}", config.id_scope, config.hub_name);
        eprintln!("cloud: enrolled is who has a .pem file in {}", enrolments.display());
        eprintln!("cloud: Ctrl-T, then a command such as: method <device> stop");
    }

    /// What it has said since the last call.
    pub(crate) fn said(&self) -> impl Iterator<Item = String> {
        self.said.try_iter()
    }

    /// Has a command carried out. The answer is said later: a device may take its time.
    pub(crate) fn command(&self, line: String) {
        let (cloud, say) = (self.cloud.clone(), self.say.clone());
        self.runtime.spawn(async move {
            let answer = match carry_out(&cloud, &line).await {
                Ok(answer) => answer.to_string(),
                Err(error) => format!("error: {error:#}"),
            };
            // Nobody listens any more when the program ends.
            let _ = say.send(answer);
        });
    }
}

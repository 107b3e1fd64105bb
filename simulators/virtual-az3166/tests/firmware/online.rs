//! A board that is configured, on its way to a cloud on this machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use local_cloud::{Event, Events, Handle, Telemetry};
use peripherals::{Panel, screen};
use serial_net::Hosts;
use stsafe_a100::sim::VirtualChip;
use virtual_az3166::{Live, cloud};

use crate::device::{Device, UDS, enrolment_certificate, image_path};

/// How long a part of the story may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A cloud that has enrolled the device with this id.
pub(crate) async fn enrolled(id: &str) -> (Handle, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("device.pem"), enrolment_certificate(image_path(), id)).unwrap();
    (cloud::start(folder.path()).await.unwrap(), folder)
}

/// Types secret and settings; the power is off again.
pub(crate) fn configure(chip: &VirtualChip, seed: u64, id: &str) {
    let mut device = Device::new(chip, seed);
    device.start_console();
    device.set(&format!("set_dps_uds {UDS}"));
    device.set("set_dps_idscope 0ne00000000");
    device.set(&format!("set_registration_id {id}"));
    device.board.power_off();
}

/// A device that runs on a thread of its own until it is stopped.
pub(crate) struct Online {
    /// Its buttons and lamps.
    pub(crate) panel: Panel,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What is to be seen of a device at the end.
pub(crate) struct Seen {
    pub(crate) screen: [String; screen::ROWS],
    /// Characters it has lost.
    pub(crate) overruns: u64,
    /// Its power was cut.
    pub(crate) is_cut: bool,
}

impl Online {
    /// Switches it on, at a line to this cloud; the power is cut after so many cycles, if any.
    pub(crate) fn start(chip: &VirtualChip, seed: u64, cloud: &Handle, cut: Option<u64>) -> Self {
        let line = cloud::connect(Hosts::new(cloud::hosts(cloud))).unwrap();
        let (chip, root, stop) = (chip.clone(), cloud.root_der().to_vec(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let (to, panel) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut device = Device::new(&chip, seed);
            to.send(device.board.parts().panel.clone()).unwrap();
            device.board.trust(&root).unwrap();
            device.board.power_on().unwrap();
            if let Some(cut) = cut {
                device.board.cut_power_after(cut);
            }
            let Device { board, text } = &mut device;
            let mut live = Live::new(board, line);
            live.run_until(board, PATIENCE, |board| {
                text.push_str(&String::from_utf8_lossy(&board.take_console()));
                assert_eq!(board.lockup(), None, "{text}");
                stopped.load(Ordering::Relaxed) || !board.is_powered()
            })
            .unwrap();
            Seen {
                screen: device.screen(),
                overruns: device.board.overruns(),
                is_cut: !device.board.is_powered(),
            }
        });
        Self { panel: panel.recv().unwrap(), stop, thread }
    }

    /// Stops it.
    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.end()
    }

    /// Waits until its power is cut.
    pub(crate) fn end(self) -> Seen {
        self.thread.join().unwrap()
    }
}

/// Waits for telemetry; gives it, and when the device was registered.
pub(crate) async fn telemetry(events: &mut Events) -> (Telemetry, Instant) {
    let story = async {
        let registered = events.find(|event| matches!(event, Event::Registered { .. }).then(Instant::now));
        let at = registered.await.unwrap();
        (events.telemetry().await.unwrap(), at)
    };
    tokio::time::timeout(PATIENCE, story).await.expect("no telemetry")
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

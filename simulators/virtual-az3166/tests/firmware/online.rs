//! A board that is configured, on its way to a cloud on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use access_point::{AccessPoint, Hosts};
use local_cloud::{Event, Events, Handle, Telemetry};
use stsafe_a100::sim::VirtualChip;
use virtual_az3166::{Live, NoLine, PASSPHRASE, SSID, cloud, equip_radio};

use crate::device::{Device, UDS, enrolment_certificate, image_path};

/// How long one thing may take on a busy machine.
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
    device.set(&format!("set_wifissid {SSID}"));
    device.set(&format!("set_wifipwd {PASSPHRASE}"));
    device.board.power_off();
}

/// A device that runs on a thread of its own until it is stopped, or its power is cut.
pub(crate) struct Online {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<bool>,
}

impl Online {
    /// Switches it on, in a network with this cloud; the power is cut after so many cycles, if any.
    pub(crate) fn start(chip: &VirtualChip, seed: u64, cloud: &Handle, cut: Option<u64>) -> Self {
        let hosts = Hosts::new(cloud::hosts(cloud));
        let (chip, root, stop) = (chip.clone(), cloud.root_der().to_vec(), Arc::new(AtomicBool::new(false)));
        let (stopped, runtime) = (stop.clone(), tokio::runtime::Handle::current());
        let thread = std::thread::spawn(move || {
            let mut device = Device::new(&chip, seed);
            device.board.trust(&root).unwrap();
            let air = equip_radio(&mut device.board).unwrap();
            let network = runtime.spawn(async move { AccessPoint::new(air, hosts).run().await });
            device.board.power_on().unwrap();
            if let Some(cut) = cut {
                device.board.cut_power_after(cut);
            }
            let Device { board, text } = &mut device;
            let mut live = Live::new(board, NoLine);
            live.run_until(board, PATIENCE, |board| {
                text.push_str(&String::from_utf8_lossy(&board.take_console()));
                assert_eq!(board.lockup(), None, "{text}");
                stopped.load(Ordering::Relaxed) || !board.is_powered()
            })
            .unwrap();
            network.abort();
            !device.board.is_powered()
        });
        Self { stop, thread }
    }

    /// Stops it.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.end();
    }

    /// Waits until its power is cut; gives whether it was.
    pub(crate) fn end(self) -> bool {
        self.thread.join().unwrap()
    }
}

/// Waits for a registration and telemetry.
pub(crate) async fn telemetry(events: &mut Events) -> Telemetry {
    let story = async {
        events.find(|event| matches!(event, Event::Registered { .. }).then_some(())).await.unwrap();
        events.telemetry().await.unwrap()
    };
    tokio::time::timeout(PATIENCE, story).await.expect("no telemetry")
}

//! The firmware's whole way over its serial network link: provisioned by a cloud on this machine, telemetry, a command.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use examples::cloud::{Config, DPS_HOST, Event, LocalCloud};
use serial_net::{Bridge, Hosts, Rule};
use virtual_az3166::{Live, ROOT_ADDRESS};
use virtual_devices::{Change, Lamp};

use crate::device::{Device, UDS, chip, enrolment_certificate, image_path};

const ID: &str = "az3166-on-a-line";
/// How long the whole story may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs the device until it is told to stop; gives its display's text, what its lamps did, and its console's text.
fn run_device(line: UnixStream, root: &[u8], stop: &AtomicBool) -> ([String; 4], Vec<Change>, String) {
    let chip = chip();
    let mut device = Device::new(&chip, 30);
    let length = u32::try_from(root.len()).unwrap().to_le_bytes();
    device.board.write_flash(ROOT_ADDRESS, &[b"ROOT", &length[..], root].concat()).unwrap();
    device.start_console();
    device.set(&format!("set_dps_uds {UDS}"));
    device.set("set_dps_idscope 0ne00000000");
    device.set(&format!("set_registration_id {ID}"));
    device.hold_a(false);
    device.board.press_reset().unwrap();
    device.text.clear();
    let Device { board, text } = &mut device;
    let mut live = Live::new(board, line);
    live.run_until(board, PATIENCE, |board| {
        text.push_str(&String::from_utf8_lossy(&board.take_console()));
        assert_eq!(board.lockup(), None, "{text}");
        stop.load(Ordering::Relaxed)
    })
    .unwrap();
    let lamps = board.parts().panel.take_changes();
    (device.screen(), lamps, device.text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioned_over_the_serial_line_and_telemetry_seen() {
    let started = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let certificate = enrolment_certificate(image_path(), ID);
    std::fs::write(folder.path().join("device.pem"), certificate).unwrap();
    let config =
        Config { enrollments: Some(folder.path().to_owned()), retry_after: Some(1), ..Config::default() };
    let hub = config.hub_name.clone();
    let cloud = LocalCloud::start(config).await.unwrap();
    let mut events = cloud.events();

    let (board_end, bridge_end) = UnixStream::pair().unwrap();
    board_end.set_nonblocking(true).unwrap();
    bridge_end.set_nonblocking(true).unwrap();
    let bridge_end = tokio::net::UnixStream::from_std(bridge_end).unwrap();
    let hosts =
        Hosts::new(vec![Rule::new(DPS_HOST, cloud.dps_address()), Rule::new(&hub, cloud.hub_address())]);
    let bridge = tokio::spawn(async move { Bridge::new(hosts).run(bridge_end).await });

    let (root, stop) = (cloud.root_der().to_vec(), Arc::new(AtomicBool::new(false)));
    let (tell, told) = mpsc::channel();
    let stopped = stop.clone();
    let device = std::thread::spawn(move || tell.send(run_device(board_end, &root, &stopped)).unwrap());

    let story = async {
        let registered = events.find(|event| match event {
            Event::Registered { registration_id, .. } => Some((registration_id, started.elapsed())),
            _ => None,
        });
        let (id, at) = registered.await.unwrap();
        assert_eq!(id, ID);
        let telemetry = events.telemetry().await.unwrap();
        println!("registered after {at:?}, telemetry after {:?}", started.elapsed());
        let answer = cloud.invoke_method(ID, "stop", "null", Duration::from_secs(30)).await;
        (telemetry, answer)
    };
    let story = tokio::time::timeout(PATIENCE, story).await;
    stop.store(true, Ordering::Relaxed);
    let (screen, lamps, text) = told.recv_timeout(PATIENCE).unwrap();
    device.join().unwrap();
    bridge.abort();
    let (telemetry, answer) = story.unwrap_or_else(|_| panic!("no telemetry; the device says: {text}"));
    assert_eq!(telemetry.device, ID);
    let body = String::from_utf8_lossy(&telemetry.body).into_owned();
    assert!(body.contains(r#""temperature":"#) && body.contains(ID), "{body}");
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!((screen[0].as_str(), screen[1].as_str()), ("IoT DevKit", "10.0.2.15"), "{screen:?}");
    let lit = |wanted| lamps.iter().any(|change| change.lamp == wanted && change.value > 0);
    assert!(lit(Lamp::Wifi), "{lamps:?}");
}

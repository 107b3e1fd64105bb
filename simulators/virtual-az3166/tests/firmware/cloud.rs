//! The firmware's whole way over its serial network link: provisioned by a cloud on this machine, telemetry, orders,
//! and what the user sees of it.

use std::time::{Duration, Instant};

use local_cloud::Properties;
use peripherals::Lamp;

use crate::device::chip;
use crate::online::{Online, configure, enrolled, telemetry, until};

const ID: &str = "az3166-on-a-line";
/// Network, cloud, telemetry.
const LAMPS: [Lamp; 3] = [Lamp::Wifi, Lamp::Azure, Lamp::User];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioned_over_the_serial_line_and_telemetry_seen() {
    let (cloud, _folder) = enrolled(ID).await;
    let mut events = cloud.events();
    let chip = chip();
    configure(&chip, 30, ID);
    let started = Instant::now();
    let device = Online::start(&chip, 31, &cloud, None);
    let lamps = || LAMPS.map(|lamp| device.panel.lamp(lamp));
    assert_eq!(lamps(), [0; 3]);

    let (first, registered) = telemetry(&mut events).await;
    println!("registered after {:?}, telemetry after {:?}", registered - started, started.elapsed());
    assert_eq!(first.device, ID);
    let body = String::from_utf8_lossy(&first.body).into_owned();
    assert!(body.contains(r#""temperature":"#) && body.contains(ID), "{body}");
    until("all lamps are lit", || lamps() == [255; 3]).await;
    until("a blue flash for telemetry", || device.panel.rgb() == [0, 0, 255]).await;

    cloud.send_c2d(ID, "hello", &Properties::new()).unwrap();
    until("a red flash for a message", || device.panel.rgb() == [255, 0, 0]).await;
    until("dark again", || device.panel.rgb() == [0; 3]).await;

    let answer = cloud.invoke_method(ID, "stop", "null", Duration::from_secs(30)).await.unwrap();
    assert_eq!(answer.status, 200);
    until("no telemetry, no lamp for it", || lamps() == [255, 255, 0]).await;

    let changes = device.panel.take_changes();
    let seen = device.stop();
    let lit = |lamp| changes.iter().position(|change| change.lamp == lamp && change.value == 255).unwrap();
    assert!(lit(Lamp::Wifi) < lit(Lamp::Azure) && lit(Lamp::Azure) < lit(Lamp::User), "{changes:?}");
    assert!(lit(Lamp::Blue) < lit(Lamp::Red), "{changes:?}");
    assert!(changes.iter().all(|change| change.lamp != Lamp::Green), "{changes:?}");
    let [title, address, ..] = &seen.screen;
    assert_eq!((title.as_str(), address.as_str()), ("IoT DevKit", "10.0.2.15"), "{:?}", seen.screen);
    assert_eq!(seen.overruns, 0);
}

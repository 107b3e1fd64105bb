//! The firmware whose network is a serial line: online, and under load.
//!
//! The image is what the environment variable `AZ3166_SERIAL_IMAGE` names, or what `tools/firmware az3166-serial`
//! builds.

#[path = "firmware/device.rs"]
#[allow(dead_code, reason = "shared with the tests of the firmware")]
mod device;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use access_point::Hosts;
use local_cloud::Event;
use slip_link::{Decoder, encode};
use virtual_az3166::{Live, cloud};

use device::{Device, UDS, chip, enrolment_certificate};

const MTU: usize = 1500;
/// The longest packets whose whole contents a refusal repeats (RFC 1812 §4.3.2.3).
const PACKET: usize = 548;
/// As many as the board's port holds while the board computes: their answers are far more than its buffer for sending.
const PACKETS: u16 = 7;
const PROTOCOL_ICMP: u8 = 1;
const PORT_UNREACHABLE: [u8; 2] = [3, 3];

const ID: &str = "az3166-on-a-line";

fn image_path() -> &'static Path {
    static PATH: OnceLock<std::path::PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os("AZ3166_SERIAL_IMAGE") {
            return path.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let built = Command::new(root.join("tools/firmware")).arg("az3166-serial").status().unwrap();
        assert!(built.success(), "building the firmware");
        root.join("target/firmware/devkit-az3166-serial.bin")
    })
}

/// A board with this image whose settings are typed; it is off.
fn configured(seed: u64) -> Device {
    let chip = chip();
    let mut device = Device::with_image(&std::fs::read(image_path()).unwrap(), &chip, seed);
    device.start_console();
    device.set(&format!("set_dps_uds {UDS}"));
    device.set("set_dps_idscope 0ne00000000");
    device.set(&format!("set_registration_id {ID}"));
    device.board.power_off();
    device.hold_a(false);
    device
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioned_over_the_serial_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("device.pem"), enrolment_certificate(image_path(), ID)).unwrap();
    let cloud = cloud::start(folder.path()).await.unwrap();
    let mut events = cloud.events();
    let mut device = configured(30);
    device.board.trust(cloud.root_der()).unwrap();
    device.board.power_on().unwrap();
    let line = cloud::connect(Hosts::new(cloud::hosts(&cloud))).unwrap();
    let mut live = Live::new(&device.board, line);
    let mut telemetry = std::pin::pin!(events.find(|event| match event {
        Event::Telemetry(telemetry) => Some(telemetry),
        _ => None,
    }));
    let telemetry = loop {
        tokio::select! {
            biased;
            telemetry = &mut telemetry => break telemetry.unwrap(),
            () = tokio::task::yield_now() => live.step(&mut device.board).unwrap(),
        }
        assert!(device.board.now() < Duration::from_mins(2), "{:?}", device.board);
    };
    assert_eq!(telemetry.device, ID);
    assert_eq!(device.screen()[1], "10.0.2.15");
    assert_eq!(device.board.overruns(), 0);
}

/// A UDP packet from the host to a port of the board at which nobody listens.
fn packet(id: u16) -> Vec<u8> {
    let length = u16::try_from(PACKET).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15];
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = !u16::try_from((sum & 0xFFFF) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    // Ports, length, no checksum.
    let udp = u16::try_from(PACKET - 20).unwrap().to_be_bytes();
    packet.extend([0x12, 0x34, 0x43, 0x21, udp[0], udp[1], 0, 0]);
    packet.extend(id.to_be_bytes());
    packet.resize(PACKET, 0x55);
    packet
}

#[test]
fn answers_larger_than_the_port_s_buffer_are_sent_without_anything_coming_in() {
    let mut device = configured(40);
    device.board.power_on().unwrap();
    // It derives its identity now, and does nothing else.
    device.board.run_for(Duration::from_millis(150)).unwrap();
    for id in 1..=PACKETS {
        let line: Vec<u8> = encode(&packet(id)).collect();
        device.board.send_to_serial(&line);
    }
    device.board.run_for(Duration::from_secs(2)).unwrap();
    assert_eq!((device.board.serial_waiting(), device.board.overruns()), (0, 0));
    let mut decoder: Decoder<MTU> = Decoder::new();
    let mut refused = Vec::new();
    for byte in device.board.take_serial() {
        let Some(sent) = decoder.push(byte) else { continue };
        if sent[9] == PROTOCOL_ICMP && sent[20..22] == PORT_UNREACHABLE {
            assert_eq!(sent.len(), PACKET + 28);
            // Behind the headers of the answer and of the packet.
            refused.push(u16::from_be_bytes([sent[56], sent[57]]));
        }
    }
    assert_eq!(refused, (1..=PACKETS).collect::<Vec<_>>());
}

//! The serial network line under load: what the board has to send does not wait for what it receives.

use std::time::Duration;

use slip_link::{Decoder, encode};

use crate::device::{Device, chip};
use crate::online::configure;

const MTU: usize = 1500;
/// The longest packets whose whole contents a refusal repeats (RFC 1812 §4.3.2.3).
const PACKET: usize = 548;
/// As many as the board's port holds while the board computes: their answers are far more than its buffer for sending.
const PACKETS: u16 = 7;
const PROTOCOL_ICMP: u8 = 1;
const PORT_UNREACHABLE: [u8; 2] = [3, 3];

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
    let chip = chip();
    configure(&chip, 40, "busy");
    let mut device = Device::new(&chip, 41);
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

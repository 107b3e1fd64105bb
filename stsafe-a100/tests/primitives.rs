//! The pure layers against the recorded primitives and every recorded frame.

mod common;

use common::{TRANSCRIPTS, array, hex, list, number, vectors};
use serde_json::Value;
use stsafe_a100::error::Status;
use stsafe_a100::session::SoftCrypto;
use stsafe_a100::wire::{
    Command, CommandFrame, Counter, CrcMode, Direction, Header, HostKeys, MAX_COMMAND, MAX_RESPONSE, Mac,
    ResponseFrame, ResponseMac, c_mac, crc16, decrypt, encrypt, response_header,
};

fn mac_key(case: &Value) -> HostKeys {
    HostKeys::new(array(&case["mac_key"]), [0; 16])
}

fn counter(value: &Value) -> Counter {
    Counter::new(number(value)).unwrap()
}

#[test]
fn checksums() {
    let file = vectors("primitives.json");
    for case in list(&file["crc16"]["cases"]) {
        assert_eq!(crc16(&hex(&case["bytes"])).to_be_bytes(), array::<2>(&case["crc_on_wire"]));
    }
}

#[test]
fn command_macs() {
    for case in list(&vectors("primitives.json")["host_cmac"]) {
        let header = Header::from_byte(number(&case["header"]));
        let mac =
            c_mac(&mut SoftCrypto, &mac_key(case), counter(&case["counter"]), header, &hex(&case["data"]));
        assert_eq!(mac, Mac::new(array(&case["mac"])), "{case}");
    }
}

#[test]
fn response_macs() {
    for case in list(&vectors("primitives.json")["host_rmac"]) {
        // Here the recorded counter is that of the R-MAC itself.
        let n = Counter::new(number::<u32>(&case["counter"]) - 1).unwrap();
        let header = Header::from_byte(number(&case["cmd_header"]));
        let pending = ResponseMac::start(&mut SoftCrypto, &mac_key(case), n, header, &hex(&case["cmd_data"]));
        let mac = pending.finish(&mut SoftCrypto, number(&case["rsp_header"]), &hex(&case["rsp_data"]));
        assert_eq!(mac, Mac::new(array(&case["mac"])), "{case}");
    }
}

#[test]
fn encryption_of_both_directions() {
    let file = vectors("primitives.json");
    for (name, direction) in
        [("host_command_encryption", Direction::Command), ("host_response_encryption", Direction::Response)]
    {
        for case in list(&file[name]) {
            let keys = HostKeys::new([0; 16], array(&case["cipher_key"]));
            let n = counter(&case["counter_cmac"]);
            let (plain, cipher) = (hex(&case["plain"]), hex(&case["cipher"]));
            let mut buf = plain.clone();
            buf.resize(plain.len() + 16, 0);
            let len = encrypt(&mut SoftCrypto, &keys, n, direction, &mut buf, plain.len()).unwrap();
            assert_eq!(buf[..len], cipher, "{case}");
            let len = decrypt(&mut SoftCrypto, &keys, n, direction, &mut buf[..len]).unwrap();
            assert_eq!(buf[..len], plain, "{case}");
        }
    }
}

/// Every command frame on any bus, taken apart and put together again.
#[test]
fn recorded_command_frames_return() {
    let mut frames = 0;
    for file in TRANSCRIPTS.map(vectors) {
        for exchange in list(&file["cases"]).iter().flat_map(|case| list(&case["exchanges"])) {
            let wire = hex(&exchange["cmd_wire"]);
            if wire.len() > MAX_COMMAND {
                continue;
            }
            let crc =
                if CommandFrame::parse(&wire, CrcMode::On).is_ok() { CrcMode::On } else { CrcMode::Off };
            let frame = CommandFrame::parse(&wire, crc).unwrap();
            assert_eq!(frame.header.to_byte(), number::<u8>(&exchange["header"]));
            assert_eq!(frame.mac.is_some(), exchange["cmac"].as_bool().unwrap());
            if let Some(mac) = exchange["cmac_value"].as_str() {
                assert_eq!(hex::encode(frame.mac.unwrap().as_bytes()), mac);
            }
            let mut out = [0; MAX_COMMAND];
            let len = frame.emit(crc, &mut out).unwrap();
            assert_eq!(out[..len], wire);
            frames += 1;
        }
    }
    assert!(frames > 200, "{frames}");
}

/// Every answer, taken apart and put together again.
#[test]
fn recorded_responses_return() {
    let mut frames = 0;
    for file in TRANSCRIPTS.map(vectors) {
        for case in list(&file["cases"]) {
            for exchange in list(&case["exchanges"]) {
                let Some(wire) = exchange["rsp_wire"].as_str() else { continue };
                let wire = hex::decode(wire).unwrap();
                // Answers without checksum, and answers damaged on purpose, do not parse with one.
                let Ok(frame) = ResponseFrame::parse(&wire, CrcMode::On) else {
                    let name = case["name"].as_str().unwrap();
                    assert!(name.contains("without_crc") || name.contains("bad"), "{name}");
                    continue;
                };
                assert_eq!(frame.status.code(), number::<u8>(&exchange["status"]));
                let mut out = [0; MAX_RESPONSE];
                let len = frame.emit(CrcMode::On, &mut out).unwrap();
                assert_eq!(out[..len], wire);
                frames += 1;
            }
        }
    }
    assert!(frames > 200, "{frames}");
}

/// The data field of every command an A100 was sent parses and is emitted as it was.
#[test]
fn recorded_commands_return() {
    let mut fields = 0;
    for name in ["stselib_a100.json", "middleware_v335_a100.json", "libstsafe_az3166.json"] {
        for case in list(&vectors(name)["cases"]) {
            for exchange in list(&case["exchanges"]) {
                let Some(data) = exchange["cmd_plain"].as_str() else { continue };
                let data = hex::decode(data).unwrap();
                let Ok(command) = Command::parse(number(&exchange["header"]), &data) else {
                    // That device takes the checksum for data.
                    assert_eq!(case["name"], "init_device_without_crc");
                    continue;
                };
                let mut buf = [0; 600];
                let mut w = stsafe_a100::wire::Writer::new(&mut buf);
                command.emit(&mut w).unwrap();
                assert_eq!(w.finish(), data, "{}", case["name"]);
                fields += 1;
            }
        }
    }
    assert!(fields > 150, "{fields}");
}

#[test]
fn truncated_frames_are_refused_at_every_byte() {
    let mac = Some(Mac::new([1, 2, 3, 4]));
    let mut out = [0; MAX_COMMAND];
    for (header, mac) in [(Header::plain(5), None), (Header::host(5, true), mac)] {
        let frame = CommandFrame { header, data: &[0xAB; 20], mac };
        let len = frame.emit(CrcMode::On, &mut out).unwrap();
        assert_eq!(CommandFrame::parse(&out[..len], CrcMode::On), Ok(frame));
        for cut in 0..len {
            assert!(CommandFrame::parse(&out[..cut], CrcMode::On).is_err(), "command cut to {cut}");
        }
    }
    let mut out = [0; MAX_RESPONSE];
    for mac in [None, mac] {
        let frame = ResponseFrame { status: Status::Ok, data: &[0xAB; 20], mac };
        let len = frame.emit(CrcMode::On, &mut out).unwrap();
        assert_eq!(ResponseFrame::parse(&out[..len], CrcMode::On), Ok(frame));
        for cut in 0..len {
            assert!(ResponseFrame::parse(&out[..cut], CrcMode::On).is_err(), "response cut to {cut}");
        }
    }
}

#[test]
fn bounds_of_frames() {
    let mut out = [0; 600];
    let command = |len: usize| CommandFrame { header: Header::plain(0), data: &[0; 600][..len], mac: None };
    assert_eq!(command(504).emit(CrcMode::On, &mut out), Ok(507));
    assert!(command(505).emit(CrcMode::On, &mut out).is_err());
    assert!(CommandFrame::parse(&[0; 508], CrcMode::Off).is_err());
    let response = |len: usize| ResponseFrame { status: Status::Ok, data: &[0; 600][..len], mac: None };
    assert_eq!(response(504).emit(CrcMode::On, &mut out), Ok(509));
    assert!(response(505).emit(CrcMode::On, &mut out).is_err());
    for (prefix, ok) in [
        ([0x00, 0x00, 0x02], true),
        ([0x00, 0x00, 0x01], false),
        ([0x00, 0x01, 0xFA], true),
        ([0x00, 0x01, 0xFB], false),
        ([0x40, 0x00, 0x05], false),
        ([0x40, 0x00, 0x06], true),
        ([0x80, 0x00, 0x02], false),
        ([0x20, 0x00, 0x02], false),
        ([0xFF, 0xFF, 0xFF], false),
    ] {
        assert_eq!(ResponseFrame::total_len(&prefix, CrcMode::On).is_ok(), ok, "{prefix:02x?}");
    }
    assert_eq!(response_header(Status::OldMessage, true), 0x5F);
}

#[test]
fn a_header_that_contradicts_its_mac_is_not_sent() {
    let frame = CommandFrame { header: Header::host(0, true), data: &[], mac: None };
    assert!(frame.emit(CrcMode::On, &mut [0; 16]).is_err());
    let frame = CommandFrame { header: Header::plain(0), data: &[], mac: Some(Mac::new([0; 4])) };
    assert!(frame.emit(CrcMode::On, &mut [0; 16]).is_err());
}

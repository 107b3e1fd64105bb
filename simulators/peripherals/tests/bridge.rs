//! The bridge over a socket: the board's drivers on one end, the models on the other; and what it does not put up with.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use bridge_protocol::{self as protocol, OperationKind};
use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource, Operation};
use peripherals::{Buttons, Change, DevKit, Lamp, bridge};
use stsafe_a100::blocking::Stsafe as Driver;
use stsafe_a100::sim::{Busy, Profile, VirtualChip};

const MAC: [u8; 6] = [0xC8, 0x93, 0x46, 1, 2, 3];

/// The board's end.
struct Board(UnixStream);

#[derive(Debug)]
struct Nack(u8);

impl i2c::Error for Nack {
    fn kind(&self) -> i2c::ErrorKind {
        i2c::ErrorKind::NoAcknowledge(match self.0 {
            1 => NoAcknowledgeSource::Address,
            _ => NoAcknowledgeSource::Data,
        })
    }
}

impl i2c::ErrorType for Board {
    type Error = Nack;
}

impl I2c for Board {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Nack> {
        let mut request = protocol::transaction(address, operations.len().try_into().unwrap()).to_vec();
        for operation in &mut *operations {
            let (kind, len, bytes): (_, _, &[u8]) = match operation {
                Operation::Write(bytes) => (OperationKind::Write, bytes.len(), bytes),
                Operation::Read(out) => (OperationKind::Read, out.len(), &[]),
            };
            request.extend(protocol::operation(kind, len.try_into().unwrap()));
            request.extend(bytes);
        }
        request.push(protocol::END);
        self.0.write_all(&request).unwrap();
        match self.get::<1>() {
            [0] => {}
            [status] => return Err(Nack(status)),
        }
        for operation in operations {
            if let Operation::Read(out) = operation {
                self.0.read_exact(out).unwrap();
            }
        }
        Ok(())
    }
}

impl Board {
    fn get<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.read_exact(&mut out).unwrap();
        out
    }

    fn ask<const N: usize>(&mut self, request: u8) -> [u8; N] {
        self.0.write_all(&[request]).unwrap();
        self.get()
    }
}

struct Delay;

impl embedded_hal::delay::DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        std::thread::sleep(std::time::Duration::from_nanos(ns.into()));
    }
}

fn devkit() -> DevKit {
    DevKit::new(VirtualChip::new(Profile::az3166(), [3; 32]), MAC)
}

fn connect(mut kit: DevKit) -> (Board, JoinHandle<io::Result<()>>) {
    let (board, mut host) = UnixStream::pair().unwrap();
    (Board(board), std::thread::spawn(move || bridge::serve(&mut host, &mut kit)))
}

#[test]
fn the_secure_element_behind_the_bridge() {
    let kit = devkit();
    let chip = kit.stsafe.clone();
    chip.set_busy(Busy::Time);
    let (board, server) = connect(kit);
    let mut driver = Driver::new(board, Delay);
    driver.echo(&[1, 2, 3]).unwrap();
    let mut random = [0; 16];
    driver.random(&mut random).unwrap();
    assert_ne!(random, [0; 16]);
    // It goes away and comes back.
    chip.power_off();
    let (mut board, _) = driver.release();
    let mut out = [0; 4];
    assert_eq!(board.read(0x20, &mut out).unwrap_err().0, protocol::Status::AddressNack as u8);
    chip.power_on();
    Driver::new(board, Delay).echo(&[9]).unwrap();
    server.join().unwrap().unwrap();
}

#[test]
fn a_bus_scan_finds_what_is_there() {
    let (mut board, server) = connect(devkit());
    let found: Vec<u8> =
        (0..=protocol::MAX_ADDRESS).filter(|address| board.write(*address, &[]).is_ok()).collect();
    assert_eq!(found, [0x1E, 0x20, 0x3C, 0x5C, 0x5F, 0x6A]);
    drop(board);
    server.join().unwrap().unwrap();
}

#[test]
fn buttons_lamps_and_the_mac_address() {
    let kit = devkit();
    let panel = kit.panel.clone();
    let (mut board, server) = connect(kit);
    assert_eq!(board.ask(protocol::MAC), MAC);
    assert_eq!(board.ask(protocol::BUTTONS), [0]);
    panel.press(|buttons| *buttons = Buttons { a: true, b: false });
    assert_eq!(board.ask(protocol::BUTTONS), [1]);
    panel.press(|buttons| buttons.b = true);
    assert_eq!(board.ask(protocol::BUTTONS), [3]);
    for (lamp, value) in [(Lamp::Wifi, 255), (Lamp::Green, 40)] {
        board.0.write_all(&protocol::lamp(lamp, value)).unwrap();
    }
    // The answer to another request shows that those before it have been carried out.
    assert_eq!(board.ask(protocol::MAC), MAC);
    assert_eq!(
        panel.take_changes(),
        [Change { lamp: Lamp::Wifi, value: 255 }, Change { lamp: Lamp::Green, value: 40 }]
    );
    drop(board);
    server.join().unwrap().unwrap();
}

#[test]
fn a_board_that_was_reset_at_any_byte_starts_anew() {
    let kit = devkit();
    let panel = kit.panel.clone();
    let (mut board, server) = connect(kit);
    let buttons = [protocol::BUTTONS].as_slice();
    // What looks like a restart, and goes on otherwise, is data like any other.
    let data = [&protocol::RESTART[..15], b"R", &protocol::RESTART[..3]].concat();
    let write = protocol::operation(OperationKind::Write, data.len().try_into().unwrap());
    let whole = [buttons, &protocol::transaction(0x3C, 1), &write, &data, &[protocol::END]].concat();
    for cut in 0..=whole.len() {
        board.0.write_all(&whole[..cut]).unwrap();
        board.0.write_all(&protocol::RESTART).unwrap();
        // What was asked whole has been answered before.
        let answers = usize::from(cut > 0) + usize::from(cut == whole.len());
        let mut answer = vec![0xFF; answers + protocol::RESTART.len()];
        board.0.read_exact(&mut answer).unwrap();
        assert!(answer[..answers].iter().all(|byte| *byte == 0), "{cut}: {answer:02x?}");
        assert_eq!(answer[answers..], protocol::RESTART, "{cut}");
    }
    assert_eq!(board.ask(protocol::MAC), MAC);
    board.0.write_all(&[protocol::LAMP]).unwrap();
    board.0.write_all(&protocol::RESTART).unwrap();
    assert_eq!(board.get(), protocol::RESTART);
    assert_eq!(panel.take_changes(), [], "half a request is none");
    board.0.write_all(&protocol::RESTART[..15]).unwrap();
    board.0.write_all(b"X").unwrap();
    assert_eq!(server.join().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn the_flash_sector_behind_the_bridge() {
    let kit = devkit();
    let sector = kit.key_flash.clone();
    let (mut board, server) = connect(kit);
    let mut ask = |request: &[&[u8]], len: usize| {
        board.0.write_all(&request.concat()).unwrap();
        board.0.write_all(&[protocol::END]).unwrap();
        let mut out = vec![0; len];
        board.0.read_exact(&mut out).unwrap();
        out
    };
    let (read, write) = (protocol::FLASH_READ, protocol::FLASH_WRITE);
    assert_eq!(ask(&[&protocol::flash(write, 8, 4), b"keys"], 1), [0]);
    assert_eq!(ask(&[&protocol::flash(read, 6, 8)], 9), *b"\0\xFF\xFFkeys\xFF\xFF");
    let [bounds, aligned] = [protocol::FlashStatus::OutOfBounds, protocol::FlashStatus::NotAligned];
    assert_eq!(ask(&[&protocol::flash(write, 0x0FFC, 8), &[0; 8]], 1), [bounds as u8]);
    assert_eq!(ask(&[&protocol::flash(read, 0xFFFF, 0xFFFF)], 1), [bounds as u8]);
    assert_eq!(ask(&[&protocol::flash(write, 1, 4), &[0; 4]], 1), [aligned as u8]);
    assert_eq!(sector.steps(), 1);
    assert_eq!(ask(&[&[protocol::FLASH_ERASE]], 1), [0]);
    assert_eq!(sector.contents(), [0xFF; protocol::FLASH_LEN]);
    sector.cut_after(0, 1);
    assert_eq!(ask(&[&[protocol::FLASH_ERASE]], 1), [protocol::FlashStatus::Failed as u8]);
    drop(board);
    server.join().unwrap().unwrap();
}

#[test]
fn a_request_to_the_flash_that_a_reset_cuts_short_changes_nothing() {
    let kit = devkit();
    let sector = kit.key_flash.clone();
    let (mut board, server) = connect(kit);
    let data = protocol::RESTART[..12].to_vec();
    let write = [&protocol::flash(protocol::FLASH_WRITE, 8, 12)[..], &data, &[protocol::END]].concat();
    let read = [&protocol::flash(protocol::FLASH_READ, 8, 12)[..], &[protocol::END]].concat();
    let erase = [protocol::FLASH_ERASE, protocol::END];
    let erased = [0xFF; protocol::FLASH_LEN];
    let written = [&erased[..8], &data, &erased[20..]].concat();
    let of_read = [&[0][..], &data].concat();
    let requests = [
        (&write[..], &[0][..], &erased[..], &written[..]),
        (&read, &of_read, &written, &written),
        (&erase, &[0], &written, &erased),
    ];
    for (whole, answer, before, after) in requests {
        for cut in 0..=whole.len() {
            board.0.write_all(&whole[..cut]).unwrap();
            board.0.write_all(&protocol::RESTART).unwrap();
            let (answer, contents) = if cut == whole.len() { (answer, after) } else { (&[][..], before) };
            let mut got = vec![0xAA; answer.len() + protocol::RESTART.len()];
            board.0.read_exact(&mut got).unwrap();
            assert_eq!(got, [answer, &protocol::RESTART].concat(), "{whole:02x?} {cut}");
            assert_eq!(sector.contents(), contents, "{whole:02x?} {cut}");
        }
    }
    drop(board);
    server.join().unwrap().unwrap();
}

/// A stream that ends after `request` and forgets what is written to it.
struct Script<'a>(&'a [u8], Vec<u8>);

impl io::Read for Script<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl io::Write for Script<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.1.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(request: &[u8]) -> (Result<(), ErrorKind>, Vec<u8>) {
    let mut script = Script(request, Vec::new());
    let result = bridge::serve(&mut script, &mut devkit());
    (result.map_err(|error| error.kind()), script.1)
}

#[test]
fn what_is_no_request_ends_the_connection() {
    let refused = Err(ErrorKind::InvalidData);
    let oversized = [&protocol::transaction(0x3C, 2)[..], &[1, 0, 0x40], &[1, 1, 0]].concat();
    let cases: [&[u8]; 8] = [
        b"X",
        b"T\x80\x01\x00\x00\x00",
        b"T\x3C\x01\x02\x00\x00",
        b"L\x06\x00\x00",
        b"\x00",
        &oversized,
        // Longer than they say.
        b"T\x3C\x00\x01",
        b"L\x01\x00\x01",
    ];
    for case in cases {
        assert_eq!(run(case), (refused, vec![]), "{case:02x?}");
    }
    // Everything before it is answered.
    assert_eq!(run(b"P*"), (refused, vec![0]));
    // An empty transaction succeeds and touches nothing; a request that breaks off is not carried out.
    assert_eq!(run(b"T\x55\x00\x00"), (Ok(()), vec![0]));
    let write = protocol::operation(OperationKind::Write, 3);
    let whole = [&protocol::transaction(0x3C, 1)[..], &write, &[0; 3], &[protocol::END]].concat();
    assert_eq!(run(&whole), (Ok(()), vec![0]));
    for cut in 1..whole.len() {
        assert_eq!(run(&whole[..cut]), (Err(ErrorKind::UnexpectedEof), vec![]), "{cut}");
    }
    assert_eq!(run(b"L\x01\xFF"), (Err(ErrorKind::UnexpectedEof), vec![]));
    assert_eq!(run(b"W\0\0\x04\0abcd"), (Err(ErrorKind::UnexpectedEof), vec![]));
    // Longer than they say.
    assert_eq!(run(b"W\0\0\x04\0abcde\0"), (refused, vec![]));
    assert_eq!(run(b"F\0\0\x04\0\x01"), (refused, vec![]));
    assert_eq!(run(b"EE"), (refused, vec![]));
}

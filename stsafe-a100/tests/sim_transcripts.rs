//! The virtual chip against the recorded answers: every transcript, of both families, transaction by transaction.

mod common;

use common::{array, hex, list, number, vectors};
use embedded_hal::i2c::I2c as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384};
use stsafe_a100::config::Rules;
use stsafe_a100::error::Status;
use stsafe_a100::session::SoftCrypto;
use stsafe_a100::sim::{Fault, Profile, VirtualChip};
use stsafe_a100::wire::{
    AuthorisationTable, Code, Command, CommandFrame, Counter, Crc, CrcMode, Curve, Direction, Header,
    HostKeys, Point, Reader, Writer, decrypt, parse_point, parse_signature,
};

const ADDRESS: u8 = 0x20;

/// One command of a case and what was read of its answer.
struct Exchange<'a> {
    /// Transactions after the write, up to the next write that was acknowledged.
    reads: Vec<&'a Value>,
    write: Vec<u8>,
    nacked_writes: u32,
}

impl Exchange<'_> {
    /// The whole recorded answer: the longest read, cut to the length it names.
    fn answer(&self) -> Vec<u8> {
        let longest =
            self.reads.iter().filter(|read| read.get("hex").is_some()).map(|read| hex(&read["hex"]));
        let mut answer = longest.max_by_key(Vec::len).unwrap_or_default();
        answer.truncate(3 + usize::from(u16::from_be_bytes([answer[1], answer[2]])));
        answer
    }
}

fn exchanges(case: &Value) -> Vec<Exchange<'_>> {
    let mut found: Vec<Exchange<'_>> = Vec::new();
    let mut nacked_writes = 0;
    for transaction in list(&case["bus"]) {
        match transaction["op"].as_str().unwrap() {
            "write" if transaction["ack"] == false => nacked_writes += 1,
            "write" => {
                let write = hex(&transaction["hex"]);
                found.push(Exchange {
                    reads: vec![],
                    write,
                    nacked_writes: std::mem::take(&mut nacked_writes),
                });
            }
            "read" => found.last_mut().unwrap().reads.push(transaction),
            _ => {}
        }
    }
    found
}

/// What hash the signature session of this chip must have, followed from the outside.
#[derive(Default)]
struct Session {
    transcript: Option<Vec<u8>>,
}

impl Session {
    fn item(&mut self, lead: u8, header: u8, body: &[u8]) {
        if let Some(transcript) = &mut self.transcript {
            transcript.push(lead);
            transcript.extend(u16::try_from(1 + body.len()).unwrap().to_be_bytes());
            transcript.push(header);
            transcript.extend(body);
        }
    }
}

/// Curve, X and Y.
type OwnedKey = (Curve, Vec<u8>, Vec<u8>);

struct Replay {
    profile: Profile,
    chip: VirtualChip,
    envelope_keys: Vec<Vec<u8>>,
    keys: HostKeys,
    rules: Rules,
    crc: CrcMode,
    session: Session,
    public_keys: [Option<OwnedKey>; 2],
    session_slot: usize,
    exact: usize,
    by_length: usize,
}

impl Replay {
    fn new(file: &Value) -> Self {
        let empty = vec![];
        let envelope_keys = file["envelope_keys"].as_array().unwrap_or(&empty);
        let profile: Profile = serde_json::from_value(file["setup"].clone()).unwrap();
        let mut table = vec![0, u8::try_from(profile.command_authorization.len()).unwrap()];
        table.extend(
            profile.command_authorization.iter().flat_map(|line| [line.code, line.ac, line.host_enc]),
        );
        let a110 = file["setup"]["model"] == "A110";
        let key = |name: &str| match file["setup"][name].as_str() {
            None | Some("") => [0; 16],
            Some(_) => array(&file["setup"][name]),
        };
        Self {
            keys: HostKeys::new(key("host_mac_key_to_provision"), key("host_cipher_key_to_provision")),
            rules: if a110 {
                Rules::from_table(&AuthorisationTable::parse(&table).unwrap())
            } else {
                Rules::A100
            },
            crc: if profile.crc { CrcMode::On } else { CrcMode::Off },
            chip: VirtualChip::new(profile.clone(), [1; 32]),
            profile,
            envelope_keys: envelope_keys.iter().map(hex).collect(),
            session: Session::default(),
            public_keys: [None, None],
            session_slot: 0,
            exact: 0,
            by_length: 0,
        }
    }

    /// What the recording did by hand before or within this case.
    fn prepare(&mut self, case: &Value) {
        let name = case["name"].as_str().unwrap();
        // The recorded chip answered at once after a hibernation.
        if name == "hibernate_reset" {
            self.chip.reset();
        }
        let counter: u32 = number(&case["device_counter_before"]);
        // In this case the chip's counter was moved after the host had read it.
        self.chip.set_host_counter(if name == "mac_echo_wrong_cmac" { counter + 1 } else { counter });
        // Another chip, without checksums.
        if name == "init_device_without_crc" {
            let serial = hex(&case["exchanges"][0]["rsp_plain"])[7..16].try_into().unwrap();
            let profile = Profile { crc: false, serial, ..self.profile.clone() };
            (self.chip, self.crc) = (VirtualChip::new(profile, [1; 32]), CrcMode::Off);
        }
        if name == "get_without_crc" {
            self.chip.set_zone(7, 0, &hex(&case["exchanges"][0]["rsp_plain"]));
        }
        if let "verify_password" | "verify_password_ok" = name {
            self.chip.set_password(&hex(&case["args"]["password"]).try_into().unwrap());
        }
        if let Some(status) = name.strip_prefix("status_") {
            let status = u8::from_str_radix(status, 16).unwrap();
            self.chip.inject(Fault::Status(Status::from_header(status)));
        }
    }

    /// The damage that was done to this answer, put together from the recorded bytes and what they should be.
    fn damage(&self, name: &str, answer: &[u8]) {
        let end = answer.len();
        if name.ends_with("_bad_rsp_crc") || name == "get_bad_crc" {
            let sum = Crc::new().update(&answer[..1]).update(&answer[3..end - 2]).finish().to_be_bytes();
            assert_ne!(sum, answer[end - 2..], "{name}");
            for (at, byte) in (end - 2..).zip(sum) {
                self.chip.inject(Fault::FlipResponse { at, mask: byte ^ answer[at] });
            }
        }
        if name.ends_with("_bad_rmac") {
            let mut body = answer[3..end - 2].to_vec();
            *body.iter_mut().rev().nth(3).unwrap() ^= 1;
            let sum = Crc::new().update(&answer[..1]).update(&body).finish().to_be_bytes();
            self.chip.inject(Fault::FlipResponse { at: end - 6, mask: 1 });
            for (at, byte) in (end - 2..).zip(sum) {
                self.chip.inject(Fault::FlipResponse { at, mask: byte ^ answer[at] });
            }
        }
    }

    fn run(&mut self, case: &Value) {
        let name = case["name"].as_str().unwrap().to_owned();
        self.prepare(case);
        for exchange in exchanges(case) {
            let answer = exchange.answer();
            let header = Header::from_byte(exchange.write[0]);
            let code = Code::from_bits(header.code).unwrap();
            let body = &exchange.write[1..];
            if code != Code::Query {
                self.damage(&name, &answer);
            } else if name == "mac_random_20" {
                // The chip's counter was moved after this case's command, and the host read it again.
                self.chip.set_host_counter(0xFE);
            }
            // Random numbers come as recorded, so that the answers compare to the last byte.
            match code {
                Code::GenerateRandom => {
                    self.chip.script_random(&answer[3..3 + usize::from(random_len(body))]);
                }
                Code::GenerateKey if body[0] == 0x07 => {
                    self.chip.script_random(&self.envelope_keys[usize::from(body[1])]);
                }
                _ => {}
            }
            if exchange.nacked_writes > 0 {
                self.chip.inject(Fault::NackWrites(exchange.nacked_writes));
            }
            for _ in 0..exchange.nacked_writes {
                assert!(self.chip.bus().write(ADDRESS, &exchange.write).is_err(), "{name}");
            }
            assert!(self.chip.bus().write(ADDRESS, &exchange.write).is_ok(), "{name}");
            let private = matches!(code, Code::GenerateSignature | Code::GetSignature | Code::EstablishKey)
                || (code == Code::GenerateKey && body[0] == 0x13);
            self.compare(&name, &exchange, private);
            *if private { &mut self.by_length } else { &mut self.exact } += 1;
            self.follow(&name, code, &exchange.write, answer.len());
        }
    }

    fn compare(&self, name: &str, exchange: &Exchange<'_>, private: bool) {
        let nacks = exchange.reads.iter().filter(|read| read.get("nack").is_some()).count();
        if nacks > 0 {
            self.chip.inject(Fault::NackReads(u32::try_from(nacks).unwrap()));
        }
        for read in &exchange.reads {
            let mut got = vec![0; number(&read["len"])];
            let result = self.chip.bus().read(ADDRESS, &mut got);
            if read.get("nack").is_some() {
                assert!(result.is_err(), "{name}");
                continue;
            }
            result.unwrap();
            let expected = hex(&read["hex"]);
            if private {
                // Header, length field and the shape of what follows.
                assert_eq!(got.len(), expected.len(), "{name}");
                assert_eq!(got[..3], expected[..3], "{name}");
            } else {
                assert_eq!(hex::encode(got), hex::encode(expected), "{name}");
            }
        }
    }

    /// Reads the answer once more, keeps public keys, and checks what depends on private ones.
    fn follow(&mut self, name: &str, code: Code, write: &[u8], answer_len: usize) {
        let mut answer = vec![0; answer_len];
        self.chip.bus().read(ADDRESS, &mut answer).unwrap();
        let frame = CommandFrame::parse(write, self.crc).unwrap();
        let [header, r_mac] = [answer[0], answer[0] & 0x40];
        let data = answer[3..answer.len() - self.crc.len() - if r_mac == 0 { 0 } else { 4 }].to_vec();
        let encryption = self.rules.of(code).encryption;
        let signed_body = [frame.data, frame.mac.as_ref().map_or(&[][..], |mac| mac.as_bytes())].concat();
        if code == Code::StartSession {
            self.session.transcript = Some(vec![]);
            self.session_slot = usize::from(frame.data[1]);
        } else {
            self.session.item(0x01, frame.header.to_byte(), &signed_body);
        }
        match code {
            Code::GenerateKey if frame.data[0] == 0x13 => {
                let curve = Curve::from_oid(Reader::new(&frame.data[6..]).lv2().unwrap()).unwrap();
                let point = parse_point(&data).unwrap();
                self.public_keys[usize::from(frame.data[1])] =
                    Some((curve, point.x.to_vec(), point.y.to_vec()));
            }
            Code::GenerateSignature => {
                let command = self.open(Direction::Command, encryption.command, frame.data);
                let digest = Reader::new(&command[1..]).lv2().unwrap().to_vec();
                let signature = self.open(Direction::Response, encryption.response, &data);
                assert!(self.verifies(usize::from(command[0]), &digest, &signature), "{name}");
            }
            Code::GetSignature => {
                let transcript = self.session.transcript.take().unwrap();
                let digest = match self.public_keys[self.session_slot].as_ref().unwrap().0 {
                    Curve::NistP256 => Sha256::digest(transcript).to_vec(),
                    _ => Sha384::digest(transcript).to_vec(),
                };
                assert!(self.verifies(self.session_slot, &digest, &data), "{name}");
            }
            _ => {}
        }
        self.session.item(0x02, header, &data);
    }

    /// The plaintext of a data field of the command just executed.
    fn open(&self, direction: Direction, encrypted: bool, data: &[u8]) -> Vec<u8> {
        let mut plain = data.to_vec();
        if encrypted {
            let n = Counter::new(self.chip.host_counter().unwrap() - 1).unwrap();
            let len = decrypt(&mut SoftCrypto, &self.keys, n, direction, &mut plain).unwrap();
            plain.truncate(len);
        }
        plain
    }

    /// Asks another chip of the same make.
    fn verifies(&self, slot: usize, digest: &[u8], signature: &[u8]) -> bool {
        let (curve, x, y) = self.public_keys[slot].as_ref().unwrap();
        let command = Command::VerifySignature {
            curve: *curve,
            key: Point { x, y },
            signature: parse_signature(signature).unwrap(),
            digest,
        };
        let mut data = [0; 504];
        let mut w = Writer::new(&mut data);
        command.emit(&mut w).unwrap();
        let frame = CommandFrame { header: Header::plain(0x17), data: w.finish(), mac: None };
        let mut wire = [0; 507];
        let len = frame.emit(CrcMode::On, &mut wire).unwrap();
        let mut bus = VirtualChip::new(Profile::az3166(), [2; 32]).bus();
        bus.write(ADDRESS, &wire[..len]).unwrap();
        let mut verdict = [0; 6];
        bus.read(ADDRESS, &mut verdict).unwrap();
        assert_eq!(verdict[..3], [0, 0, 3]);
        verdict[3] == 1
    }
}

fn random_len(body: &[u8]) -> u8 {
    if body[0] == 0 { body[1] } else { 16 }
}

/// Replays all cases and gives how many exchanges compared exactly and how many by length.
fn replay(file: &str) -> (usize, usize) {
    let mut file = vectors(file);
    if file.get("setup").is_none() {
        file["setup"] = vectors("stselib_a100.json")["setup"].clone();
    }
    if file["setup"]["model"] == "A110" && file["setup"]["command_authorization"].is_null() {
        // Of this chip the table is recorded only in what it answered.
        let lines = hex(&file["cases"][0]["outputs"]["records"]);
        let line = |line: &[u8]| json!({ "code": line[0], "ac": line[1], "host_enc": line[2] });
        file["setup"]["command_authorization"] = lines.chunks(3).map(line).collect();
    }
    let mut replay = Replay::new(&file);
    for case in list(&file["cases"]) {
        replay.run(case);
        if case["name"] != "mac_random_20" {
            let counter = replay.chip.host_counter().unwrap_or(0);
            assert_eq!(counter, number::<u32>(&case["device_counter_after"]), "{}", case["name"]);
        }
    }
    (replay.exact, replay.by_length)
}

#[test]
fn stselib() {
    assert_eq!(replay("stselib_a100.json"), (81, 7));
}

#[test]
fn stselib_default_build_is_refused() {
    assert_eq!(replay("stselib_a100_dynamic_init.json"), (2, 0));
}

#[test]
fn middleware() {
    assert_eq!(replay("middleware_v335_a100.json"), (110, 12));
}

#[test]
fn stselib_a110() {
    assert_eq!(replay("stselib_a110.json"), (11, 3));
}

#[test]
fn middleware_a110() {
    assert_eq!(replay("middleware_v335_a110.json"), (9, 3));
}

#[test]
fn az3166_library() {
    assert_eq!(replay("libstsafe_az3166.json"), (52, 0));
}

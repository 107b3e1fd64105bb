//! Every recorded call as a call of the driver. Compiled twice, async and blocking.

use embedded_hal::i2c::ErrorKind;
use serde_json::{Value, json};
use stsafe_a100::Error;
use stsafe_a100::Irreversible;
use stsafe_a100::config::{Config, Rules, Timing};
use stsafe_a100::error::{CryptoError, InputError, ProtocolError, Status};
use stsafe_a100::session::{
    Channel, CounterPolicy, HostChannel, HostOptions, LastCommand, Scope, SoftCrypto,
};
use stsafe_a100::types::{Access, AccessCondition, Curve, Partition, PublicKey, Signature, ZoneKind};
use stsafe_a100::wire::{
    Counter, CrcMode, EnvelopeKeyKind, Family, HostKeySlot, HostKeys, I2cParameters, KeyMode, LifeCycle,
    LowPower, ProductData, WakeUp,
};

use super::{Stsafe, front};
use crate::common::bus::{NoDelay, Replay, recorded};
use crate::common::{array, hex, list, number, vectors};

type Chip = Stsafe<Replay, NoDelay>;
type Outcome = Result<Value, Error<ErrorKind>>;

/// The query for the C-MAC counter.
const ASK_COUNTER: [u8; 4] = [0x14, 0x17, 0x99, 0x88];

/// How a recorded call was protected.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Plain,
    /// With the counter policy of the host stack that was recorded.
    Host(HostOptions),
}

fn token() -> Irreversible {
    Irreversible::i_know_this_cannot_be_undone()
}

fn chip(case: &Value, rules: Rules) -> Chip {
    let mut config = Config::default();
    config.timing = Timing::POLL_AT_ONCE;
    config.rules = rules;
    Stsafe::with_config(Replay::new(recorded(case)), NoDelay::default(), config)
}

fn curve(name: &Value) -> Curve {
    match name.as_str().unwrap() {
        "nistp256" => Curve::NistP256,
        "nistp384" => Curve::NistP384,
        other => panic!("{other}"),
    }
}

fn key(curve: Curve, xy: &Value) -> PublicKey {
    let xy = hex(xy);
    let (x, y) = xy.split_at(curve.field_len());
    PublicKey::new(curve, x, y).unwrap()
}

/// The curve of a bare key or signature, by its length.
fn nist(xy: &Value) -> Curve {
    if hex(xy).len() == 64 { Curve::NistP256 } else { Curve::NistP384 }
}

fn signature(rs: &Value) -> Signature {
    let rs = hex(rs);
    let (r, s) = rs.split_at(rs.len() / 2);
    Signature::new(r, s).unwrap()
}

fn xy(key: &PublicKey) -> Value {
    hex::encode([key.x(), key.y()].concat()).into()
}

fn bit(value: bool) -> u8 {
    u8::from(value)
}

fn zones(table: &Partition<'_>) -> Value {
    let zone = |zone: stsafe_a100::types::Zone| {
        let (kind, counter) = match zone.kind {
            ZoneKind::Data => (0, 0),
            ZoneKind::Counter { value } => (1, value),
        };
        json!({
            "index": zone.index, "type": kind, "size": zone.size, "counter": counter,
            "read_cr": bit(zone.read.changeable), "read_ac": zone.read.condition.bits(),
            "update_cr": bit(zone.update.changeable), "update_ac": zone.update.condition.bits(),
        })
    };
    table.zones().map(zone).collect()
}

fn product(product: &ProductData) -> Value {
    json!({
        "mask_id": hex::encode(product.mask_id), "serial": hex::encode(product.serial),
        "io_buffer": product.io_buffer, "atomicity_buffer": product.atomicity_buffer, "nvm": product.nvm,
        "version": product.version, "test_date": format!("{:04x}", product.test_date.unwrap()),
        "module_date": format!("{:04x}", product.module_date.unwrap()),
    })
}

/// Right and condition in a recorded option byte.
fn access(option: u8) -> Option<Access> {
    (option & 0x10 != 0)
        .then(|| Access { condition: AccessCondition::from_bits(option), changeable: option & 8 != 0 })
}

/// The calls that work with and without a host session.
#[allow(clippy::too_many_lines)] // one arm per recorded call
#[front]
async fn common<S: Channel>(chip: &mut Stsafe<Replay, NoDelay, S>, case: &Value) -> Outcome {
    let args = &case["args"];
    let slot = || number(&args["slot"]);
    let zone = || number(&args["zone"]);
    let offset = || number(&args["offset"]);
    let length = || vec![0; number(args.get("length").unwrap_or(&args["size"]))];
    Ok(match case["call"].as_str().unwrap() {
        "stse_device_echo" | "StSafeA_Echo" => {
            chip.echo(&hex(&args["data"])).await?;
            json!({ "data": args["data"] })
        }
        "stse_device_reset" | "StSafeA_Reset" => {
            chip.reset().await?;
            json!({})
        }
        "StSafeA_GenerateRandom" if args["subject"] == 1 => {
            json!({ "data": hex::encode(chip.challenge().await?) })
        }
        "stse_generate_random" | "StSafeA_GenerateRandom" => {
            let mut out = length();
            chip.random(&mut out).await?;
            json!({ "data": hex::encode(out) })
        }
        "stsafea_query_mask_id" => json!({ "mask_id": hex::encode(chip.product_data().await?.mask_id) }),
        "StSafeA_ProductDataQuery" => product(&chip.identify().await?),
        "stsafea_get_total_partition_count" => json!({ "count": chip.partition().await?.zones().count() }),
        "stsafea_get_data_partitions_configuration" | "StSafeA_DataPartitionQuery" => {
            json!({ "records": zones(&chip.partition().await?) })
        }
        "stsafea_query_life_cycle_state" | "StSafeA_LifeCycleStateQuery" => {
            json!({ "state": chip.life_cycle().await?.to_byte() })
        }
        "stsafea_query_i2c_parameters" => {
            let mut raw = [0; 2];
            chip.i2c_parameters().await?.emit(&mut stsafe_a100::wire::Writer::new(&mut raw)).unwrap();
            json!({ "raw": hex::encode(raw) })
        }
        "StSafeA_I2cParameterQuery" => {
            let found = chip.i2c_parameters().await?;
            json!({ "address": found.address, "low_power": found.low_power as u8, "lock": bit(found.locked) })
        }
        "stsafea_query_host_key" | "StSafeA_HostKeySlotQuery" => match chip.host_key_slot().await? {
            // The middleware gives the invalid marker, STSELib nothing.
            HostKeySlot::Empty if case["outputs"]["counter"].is_null() => json!({ "presence": 0 }),
            HostKeySlot::Empty => json!({ "presence": 0, "counter": 0x00FF_FFFF }),
            HostKeySlot::Present { counter } => json!({ "presence": 1, "counter": counter.unwrap().get() }),
        },
        "StSafeA_LocalEnvelopeKeySlotQuery" => {
            // Count, then slot, presence and type; the middleware gives an empty slot the type 0.
            let mut fields = vec![2];
            for entry in chip.envelope_keys().await?.slots() {
                fields.extend([
                    entry.slot,
                    bit(entry.key.is_some()),
                    entry.key.map_or(0, EnvelopeKeyKind::code),
                ]);
            }
            json!({ "fields": hex::encode(fields) })
        }
        "stsafea_query_private_key_slots_count" => {
            json!({ "count": chip.private_keys().await?.slots().count() })
        }
        "stsafea_query_private_key_table" => {
            let table = chip.private_keys().await?;
            let mut raw = String::new();
            for slot in table.slots() {
                let oid = slot.curve.unwrap().oid();
                let mode = slot.mode.bits();
                let record =
                    format!("{:02x}01{mode:04x}{:04x}{:0<18}", slot.slot, oid.len(), hex::encode(oid));
                raw.push_str(&record);
            }
            json!({ "global_usage_limit": table.use_limit(), "raw_records_15B_each": raw })
        }
        "stsafea_read_data_zone" | "StSafeA_Read" | "HAL_Get_Data_Zone" => {
            let mut out = length();
            match access(args["option"].as_u64().map_or(0, |_| number(&args["option"]))) {
                Some(access) => chip.restrict_read(zone(), offset(), &mut out, access, token()).await?,
                None => chip.read(zone(), offset(), &mut out).await?,
            }
            json!({ "data": hex::encode(out) })
        }
        "stse_data_storage_read_data_zone" => {
            let mut out = length();
            for (i, chunk) in out.chunks_mut(number(&args["chunk"])).enumerate() {
                let at = number::<u16>(&args["offset"])
                    + number::<u16>(&args["chunk"]) * u16::try_from(i).unwrap();
                chip.read(zone(), at, chunk).await?;
            }
            json!({ "data": hex::encode(out) })
        }
        "stsafea_update_data_zone" | "StSafeA_Update" | "HAL_Store_Data_Zone" => {
            let data = hex(&args["data"]);
            let option: u8 = args["option"].as_u64().map_or(0, |_| number(&args["option"]));
            match access(option) {
                Some(access) => chip.restrict_update(zone(), offset(), &data, access, token()).await?,
                None if option & 0x80 != 0 => chip.update_atomic(zone(), offset(), &data).await?,
                None if args["atomic"] == 1 => chip.update_atomic_steps(zone(), offset(), &data).await?,
                None => chip.update(zone(), offset(), &data).await?,
            }
            json!({})
        }
        "stsafea_read_counter_zone" => {
            let mut out = length();
            let counter = chip.read_counter_zone(zone(), offset(), &mut out).await?;
            json!({ "counter": counter, "data": hex::encode(out) })
        }
        "stsafea_decrement_counter_zone" | "StSafeA_Decrement" => {
            let (amount, data) = (number(&args["amount"]), hex(&args["data"]));
            json!({ "counter": chip.decrement(zone(), amount, offset(), &data).await? })
        }
        "stsafea_generate_ecc_key_pair" => {
            let (curve, limit) = (curve(&args["key_type"]), number(&args["usage_limit"]));
            let key = chip.generate_key_pair(slot(), curve, KeyMode::NONE, limit, token()).await?;
            json!({ "public_key_xy": xy(&key) })
        }
        "StSafeA_GenerateKeyPair" => {
            let mode = number::<u16>(&args["auth_flags"]) | number::<u16>(&args["change_auth_right"]) << 15;
            let (curve, limit) = (curve(&args["curve"]), number(&args["use_limit"]));
            let key = chip.generate_key_pair(slot(), curve, KeyMode::from_bits(mode), limit, token()).await?;
            json!({ "public_key_xy": xy(&key) })
        }
        "stsafea_ecc_generate_signature" | "StSafeA_GenerateSignature" => {
            let signature = chip.sign(slot(), &hex(&args["digest"])).await?;
            json!({ "signature_rs": hex::encode(signature.to_bytes()) })
        }
        "stsafea_ecc_verify_signature" | "StSafeA_VerifyMessageSignature" => {
            let key = key(nist(&args["public_key_xy"]), &args["public_key_xy"]);
            let rs = signature(&args["signature_rs"]);
            json!({ "valid": bit(chip.verify(&key, &rs, &hex(&args["digest"])).await?) })
        }
        "StSafeA_VerifyEntitySignature" => {
            json!({ "valid": bit(chip.verify_entity(&signature(&args["signature_rs"])).await?) })
        }
        "stsafea_generate_wrap_unwrap_key" | "StSafeA_GenerateLocalEnvelopeKey" => {
            let aes256 = args["key"] == "aes256" || args["type"] == 1;
            let kind = if aes256 { EnvelopeKeyKind::Aes256 } else { EnvelopeKeyKind::Aes128 };
            chip.generate_envelope_key(slot(), kind, token()).await?;
            json!({})
        }
        "StSafeA_PutPublicKeySlot" => {
            chip.put_public_key(&key(curve(&args["curve"]), &args["public_key_xy"]), token()).await?;
            json!({})
        }
        "StSafeA_PublicKeySlotQuery" => {
            let key = chip.public_key_slot().await?.unwrap();
            json!({ "presence": 1, "public_key_xy": xy(&key), "oid": hex::encode(key.curve().oid()) })
        }
        "stsafea_verify_password" | "StSafeA_VerifyPassword" => {
            let verdict = chip.verify_password(&array(&args["password"])).await?;
            json!({ "status": bit(verdict.correct), "remaining": verdict.remaining })
        }
        "stsafea_delete_password" | "StSafeA_DeletePassword" => {
            chip.delete_password(token()).await?;
            json!({})
        }
        "stsafea_put_life_cyle_state" => {
            chip.put_life_cycle(LifeCycle::from_byte(number(&args["state"])), token()).await?;
            json!({})
        }
        "stse_put_i2c_parameters" => {
            assert_eq!(args["low_power"], 2);
            let parameters = I2cParameters {
                address: number(&args["address"]),
                low_power: LowPower::Standby,
                locked: args["lock"] == 1,
                idle: number(&args["idle"]),
            };
            chip.put_i2c_parameters(parameters, token()).await?;
            // What the device then holds.
            json!({ "device_i2c_attr": case["outputs"]["device_i2c_attr"] })
        }
        "stse_device_enter_hibernate" | "StSafeA_Hibernate" => {
            let mode = if args["mode"] == 1 { WakeUp::I2cOrReset } else { WakeUp::ResetOnly };
            chip.hibernate(mode).await?;
            json!({})
        }
        other => panic!("unknown call {other}"),
    })
}

/// The calls that exist only in a host session, and the others.
#[front]
async fn hosted<S: HostChannel>(chip: &mut Stsafe<Replay, NoDelay, S>, case: &Value) -> Outcome {
    let args = &case["args"];
    Ok(match case["call"].as_str().unwrap() {
        "stsafea_wrap_payload" | "StSafeA_WrapLocalEnvelope" => {
            let mut out = [0; 488];
            let len = chip.wrap(number(&args["slot"]), &hex(&args["data"]), &mut out).await?;
            json!({ "envelope": hex::encode(&out[..len]) })
        }
        "stsafea_unwrap_payload" | "StSafeA_UnwrapLocalEnvelope" => {
            let mut out = [0; 480];
            let len = chip.unwrap(number(&args["slot"]), &hex(&args["envelope"]), &mut out).await?;
            json!({ "data": hex::encode(&out[..len]) })
        }
        "stsafea_ecc_establish_shared_secret" | "StSafeA_EstablishKey" => {
            let peer = key(nist(&args["peer_public_xy"]), &args["peer_public_xy"]);
            let secret = chip.establish_key(number(&args["slot"]), &peer).await?;
            json!({ "shared_secret": hex::encode(secret.as_bytes()) })
        }
        "HAL_Store_Data_WithinEnvelop" => {
            // Pads to 8 bytes and stores envelopes of at most 480 bytes behind one another.
            let mut data = hex(&args["data"]);
            data.resize(data.len().next_multiple_of(8).max(16), 0);
            let mut at: u16 = number(&args["offset"]);
            for part in data.chunks(480) {
                let mut envelope = [0; 488];
                let len = chip.wrap(0, part, &mut envelope).await?;
                chip.update(number(&args["zone"]), at, &envelope[..len]).await?;
                at += u16::try_from(len).unwrap();
            }
            json!({})
        }
        "HAL_Get_Data_WithinEnvelop" => {
            let size: usize = number(&args["size"]);
            let mut envelope = vec![0; size.next_multiple_of(8).max(16) + 8];
            chip.read(number(&args["zone"]), number(&args["offset"]), &mut envelope).await?;
            let mut data = [0; 480];
            chip.unwrap(0, &envelope, &mut data).await?;
            json!({ "data": hex::encode(&data[..size]) })
        }
        _ => common(chip, case).await?,
    })
}

/// One call; the bus must then be empty.
#[front]
async fn call(mut chip: Chip, mode: Mode, keys: &HostKeys, case: &Value) -> Outcome {
    let Mode::Host(options) = mode else {
        let outcome = match case["call"].as_str().unwrap() {
            "stse_host_key_provisioning" | "StSafeA_PutAttribute" => {
                chip.put_host_keys(keys, token()).await.map(|()| json!({}))
            }
            "Init_HAL" => init(&mut chip).await,
            "Init_Perso" => pair(&mut chip, keys).await,
            _ => common(&mut chip, case).await,
        };
        if case["name"] == "query_public_key_slot_nistp384" {
            // The recording goes on with the challenge for the next case.
            chip.challenge().await.unwrap();
        }
        chip.release().0.assert_done();
        return outcome;
    };
    let mut chip = chip.host_session_with(keys.clone(), SoftCrypto, options);
    let outcome = hosted(&mut chip, case).await;
    let frames = recorded(case);
    if frames.len() > 1 && frames.last().unwrap().write == ASK_COUNTER {
        // STSELib asked for the counter afterwards. The driver would before the next command only.
        let last = chip.resync().await.unwrap();
        if outcome == Err(Error::Device(Status::InvalidCMac)) {
            assert_eq!(last, LastCommand::Settled);
        }
    }
    if case["name"] == "unwrap_rsp_encrypted" {
        // The recording goes on with the key pair the next case needs.
        chip.set_scope(Scope::Encrypted);
        let mode = KeyMode::SIGN_DIGEST | KeyMode::ESTABLISH;
        chip.generate_key_pair(0, Curve::NistP256, mode, 0xFFFF, token()).await.unwrap();
    }
    chip.release().0.assert_done();
    outcome
}

/// The AZ3166 firmware's start: product data, envelope key, host keys.
#[front]
async fn init(chip: &mut Chip) -> Outcome {
    assert_eq!(chip.identify().await?.family(), Family::A100);
    let paired =
        chip.envelope_keys().await?.key(0).is_some() && chip.host_key_slot().await? != HostKeySlot::Empty;
    Ok(json!({ "paired": paired }))
}

/// The keys of the AZ3166 firmware.
fn az3166_keys() -> HostKeys {
    let cipher =
        [0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x66, 0x66, 0x77, 0x77, 0x88, 0x88];
    HostKeys::new(array(&json!("00112233445566778899aabbccddeeff")), cipher)
}

/// The AZ3166 firmware's pairing.
#[front]
async fn pair(chip: &mut Chip, keys: &HostKeys) -> Outcome {
    assert_eq!(chip.envelope_keys().await?.key(0), None);
    chip.generate_envelope_key(0, EnvelopeKeyKind::Aes128, token()).await?;
    assert_eq!(chip.host_key_slot().await?, HostKeySlot::Empty);
    chip.put_host_keys(keys, token()).await?;
    Ok(json!({}))
}

/// Signature sessions span four cases, replayed as one.
#[front]
async fn signature_session(cases: &[Value], keys: &HostKeys) {
    let [start, echo, read, get] = cases else { panic!("a session of four cases") };
    let script = cases.iter().flat_map(recorded).collect();
    let mut config = Config::default();
    config.timing = Timing::POLL_AT_ONCE;
    let options =
        HostOptions { policy: CounterPolicy::ReadEach, scope: Scope::Encrypted, ..HostOptions::default() };
    let slot = number(&start["args"]["slot"]);
    let curve = if slot == 0 { Curve::NistP256 } else { Curve::NistP384 };
    let mut chip = Stsafe::with_config(Replay::new(script), NoDelay::default(), config)
        .host_session_with(keys.clone(), SoftCrypto, options)
        .signature_session(curve);
    assert_eq!(chip.finish(&[]).await, Err(Error::Input(InputError::NoSignatureSession)));
    chip.start(slot).await.unwrap();
    assert_eq!(hosted(&mut chip, echo).await, Ok(echo["outputs"].clone()));
    chip.set_scope(Scope::All);
    assert_eq!(hosted(&mut chip, read).await, Ok(read["outputs"].clone()));
    chip.set_scope(Scope::Encrypted);
    let signed = chip.finish(&hex(&get["args"]["challenge"])).await.unwrap();
    assert_eq!(hex::encode(signed.signature.to_bytes()), get["outputs"]["signature_rs"]);
    assert_eq!(hex::encode(signed.digest.as_bytes()), get["outputs"]["host_session_hash"]);
    chip.leave().close().release().0.assert_done();
}

/// What the call must come to.
fn expected(case: &Value) -> Outcome {
    let exchanges = list(&case["exchanges"]);
    if case["known_host_bug"].is_string() || case["known_host_bug"] == true {
        // The answer was right; the middleware's check was not.
        let data = &exchanges.last().unwrap()["rsp_plain"];
        return Ok(json!({ "data": data }));
    }
    let last_status = exchanges.last().map_or(0, |exchange| number(&exchange["status"]));
    match case["returns"].as_u64().unwrap() {
        _ if exchanges.is_empty() => Err(Error::Input(InputError::TooLong { max: 504 })),
        // libstsafe: not paired, or any failure.
        10 => Ok(json!({ "paired": false })),
        1 if last_status == 0 => Err(Error::Protocol(ProtocolError::Crc { received: 0, computed: 0 })),
        1 => Err(Error::Device(Status::from_header(last_status))),
        0x303 | 0x22 => Err(Error::Protocol(ProtocolError::Crc { received: 0, computed: 0 })),
        0x110 | 0x21 => Err(Error::Crypto(CryptoError::ResponseMac)),
        0 if case["call"] == "Init_HAL" => Ok(json!({ "paired": true })),
        // Not in the outputs of that recording.
        0 if case["name"] == "get_without_crc" => Ok(json!({ "data": exchanges[0]["rsp_plain"] })),
        0 => {
            let mut outputs = case["outputs"].clone();
            for bookkeeping in ["host_counter", "host_counter_used", "flash_08008000_88"] {
                outputs.as_object_mut().unwrap().remove(bookkeeping);
            }
            Ok(outputs)
        }
        status => Err(Error::Device(Status::from_header(u8::try_from(status).unwrap()))),
    }
}

/// How the recorded host protected the call.
fn mode(case: &Value, host_counter: Option<u32>) -> Mode {
    let exchanges = list(&case["exchanges"]);
    let Some(maced) = exchanges.iter().find(|exchange| exchange["cmac"] == true) else {
        return Mode::Plain;
    };
    let r_mac = maced["rmac"] == true;
    // STSELib counts; the others ask before each command.
    let asks =
        exchanges.iter().take_while(|exchange| exchange["cmac"] == false).any(|e| e["cmd_plain"] == "17");
    let policy = if asks { CounterPolicy::ReadEach } else { CounterPolicy::Cached };
    let counted =
        if maced["status"] == 0x16 { host_counter.unwrap() } else { number(&maced["counter_cmac"]) };
    let counter = if asks { None } else { Counter::new(counted) };
    let scope = if r_mac || case["args"]["mac"] == 0xA0 { Scope::All } else { Scope::Encrypted };
    Mode::Host(HostOptions { r_mac, scope, policy, counter, lowest: None })
}

/// Asks for the command authorisation table and goes on as the recording does; gives the rules found.
#[front]
async fn dynamic_init(case: &Value, keys: &HostKeys) -> Result<Rules, Error<ErrorKind>> {
    let mut chip = chip(case, Rules::A110);
    let asks_twice = case["call"] == "stse_init" && case["returns"] == 0;
    if case["call"] == "stse_init" {
        let family = chip.identify().await?.family();
        assert_eq!(case["outputs"]["device_type"], u8::from(family == Family::A110));
    }
    if asks_twice {
        // STSELib asks for the number of lines first.
        chip.command_authorisation().await?;
    }
    let rules = {
        let table = match chip.command_authorisation().await {
            Ok(table) => table,
            Err(error) => {
                chip.release().0.assert_done();
                return Err(error);
            }
        };
        if let Some(records) = case["outputs"]["records"].as_str() {
            let mut lines = vec![];
            for line in table.entries() {
                lines.extend([line.code, line.access.code(), line.encryption.code()]);
            }
            assert_eq!(hex::encode(lines), records);
            assert_eq!(case["outputs"]["change_right"], bit(table.changeable()));
        }
        Rules::from_table(&table)
    };
    // The recording goes on with what the next cases need.
    chip.put_host_keys(keys, token()).await?;
    chip.generate_envelope_key(0, EnvelopeKeyKind::Aes128, token()).await?;
    if asks_twice {
        chip.generate_envelope_key(1, EnvelopeKeyKind::Aes256, token()).await?;
    }
    chip.release().0.assert_done();
    Ok(rules)
}

/// Replays one file and gives the number of cases that applied.
#[front]
pub(crate) async fn replay(file: &str) -> usize {
    let file = vectors(file);
    let setup = &file["setup"];
    let mut keys = match setup["host_mac_key_to_provision"].as_str().unwrap_or_default() {
        // The AZ3166 firmware brings its own.
        "" => az3166_keys(),
        _ => HostKeys::new(
            array(&setup["host_mac_key_to_provision"]),
            array(&setup["host_cipher_key_to_provision"]),
        ),
    };
    let mut host_counter = None;
    let (mut crc, mut rules) = (CrcMode::On, Rules::A100);
    let mut applied = 0;
    let cases = list(&file["cases"]);
    for (i, case) in cases.iter().enumerate() {
        let name = case["name"].as_str().unwrap();
        applied += 1;
        if ["stse_init", "StSafeA_CommandAuthorizationConfigurationQuery"]
            .contains(&case["call"].as_str().unwrap())
        {
            rules = match (dynamic_init(case, &keys).await, number(&case["returns"])) {
                (Ok(found), 0) => found,
                (Err(error), status) => {
                    assert_eq!(error, Error::Device(Status::from_header(status)), "{name}");
                    Rules::A100
                }
                other => panic!("{name}: {other:?}"),
            };
            continue;
        }
        let args = &case["args"];
        if args["mac_key"].is_string() {
            keys = HostKeys::new(array(&args["mac_key"]), array(&args["cipher_key"]));
        }
        if name.starts_with("start_signature_session") {
            signature_session(&cases[i..i + 4], &keys).await;
            continue;
        }
        if name.starts_with("session_") || name.starts_with("get_signature") {
            continue;
        }
        if name.ends_with("open_session") {
            // Nothing but the counter query.
            let mut chip = chip(case, rules);
            let HostKeySlot::Present { counter } = chip.host_key_slot().await.unwrap() else { panic!() };
            assert_eq!(case["outputs"]["host_counter"], counter.unwrap().get());
            continue;
        }
        let mut chip = chip(case, rules);
        // libstsafe remembers that its chip answers without checksums.
        chip.config_mut().crc = if name == "get_without_crc" { CrcMode::Off } else { crc };
        crc = CrcMode::On;
        let outcome = call(chip, mode(case, host_counter), &keys, case).await;
        host_counter = case["outputs"]["host_counter"].as_u64().map(|n| u32::try_from(n).unwrap());
        match (outcome, expected(case)) {
            // Which checksum was received and which computed is not recorded.
            (
                Err(Error::Protocol(ProtocolError::Crc { .. })),
                Err(Error::Protocol(ProtocolError::Crc { .. })),
            ) => {}
            (outcome, expected) => assert_eq!(outcome, expected, "{name}"),
        }
    }
    applied
}

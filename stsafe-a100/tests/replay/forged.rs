//! Forged answers: ST's library takes some of them, the driver must not. Compiled twice, async and blocking.

use embedded_hal::i2c::ErrorKind;
use stsafe_a100::Error;
use stsafe_a100::config::{Config, Timing};
use stsafe_a100::error::{CryptoError, ProtocolError};
use stsafe_a100::session::{HostOptions, SoftCrypto};
use stsafe_a100::wire::{Counter, HostKeys};

use super::{Stsafe, front};
use crate::common::bus::{NoDelay, Replay, recorded};
use crate::common::{array, hex, list, number, vectors};

/// What the driver must say to each.
fn expected(name: &str) -> Error<ErrorKind> {
    match name {
        "len_zero" | "all_zero" => ProtocolError::LengthField(0).into(),
        "len_one" => ProtocolError::LengthField(1).into(),
        "len_508" => ProtocolError::LengthField(508).into(),
        "len_ffff" => ProtocolError::Header(0xFF).into(),
        "short_data" => ProtocolError::DataLength { expected: 10, actual: 3 }.into(),
        "long_data" => ProtocolError::DataLength { expected: 10, actual: 30 }.into(),
        "len_field_altered" => ProtocolError::Crc { received: 0x494A, computed: 0x2AE7 }.into(),
        "rsp_bit7" => ProtocolError::Header(0x80).into(),
        "rsp_bit6_unasked" => ProtocolError::UnexpectedMac.into(),
        "mac_missing" => ProtocolError::MissingMac.into(),
        "mac_flag_short" => ProtocolError::LengthField(4).into(),
        "mac_all_zero" | "mac_replay_plain" => CryptoError::ResponseMac.into(),
        "enc_len_not_block" | "enc_bad_padding" | "enc_empty" => CryptoError::Padding.into(),
        other => panic!("{other}"),
    }
}

/// Plays every case and gives their number.
#[front]
pub(crate) async fn refuse() -> usize {
    let file = vectors("malformed_responses.json");
    for case in list(&file["cases"]) {
        let (name, args) = (case["name"].as_str().unwrap(), &case["args"]);
        let mut config = Config::default();
        config.timing = Timing::POLL_AT_ONCE;
        let mut chip = Stsafe::with_config(Replay::new(recorded(case)), NoDelay::default(), config);
        let mut out = [0; 64];
        let result = if args["mac_key"].is_string() {
            let keys = HostKeys::new(array(&args["mac_key"]), array(&args["cipher_key"]));
            let options = HostOptions { counter: Counter::new(5), ..HostOptions::default() };
            let mut chip = chip.host_session_with(keys, SoftCrypto, options);
            if args["envelope"].is_string() {
                chip.unwrap(number(&args["slot"]), &hex(&args["envelope"]), &mut out).await.map(|_| ())
            } else {
                chip.echo(&hex(&args["data"])).await
            }
        } else {
            chip.echo(&hex(&args["data"])).await
        };
        assert_eq!(result, Err(expected(name)), "{name}");
        assert_eq!(out, [0; 64], "{name}");
    }
    list(&file["cases"]).len()
}

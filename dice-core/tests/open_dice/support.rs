//! The vectors' inputs and algorithm names as types of the crate.

use crate::common::{hex, hex_array, text};
use dice_core::Uds;
use dice_core::open_dice::{Algorithm, CdiAttest, CdiSeal, Cdis, Config, InputValues, Mode};
use serde_json::Value;

/// The algorithms whose features are on, with the names the vectors use.
pub fn algorithms() -> Vec<(&'static str, Algorithm)> {
    vec![
        ("p256", Algorithm::P256),
        #[cfg(feature = "p384")]
        ("p384", Algorithm::P384),
        #[cfg(feature = "ed25519")]
        ("ed25519", Algorithm::Ed25519),
    ]
}

/// The algorithm with a name of the vectors, if its feature is on.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    assert!(["p256", "p384", "ed25519"].contains(&name), "{name}");
    algorithms().into_iter().find(|(known, _)| *known == name).map(|(_, algorithm)| algorithm)
}

/// Owned inputs, from which [`InputValues`] borrow.
pub struct Inputs {
    code_hash: [u8; 64],
    code_descriptor: Vec<u8>,
    config_value: Option<[u8; 64]>,
    config_descriptor: Vec<u8>,
    authority_hash: [u8; 64],
    authority_descriptor: Vec<u8>,
    mode: Mode,
    hidden: [u8; 64],
}

impl Inputs {
    pub fn read(value: &Value) -> Self {
        let inline = match text(&value["config_type"]) {
            "inline" => true,
            "descriptor" => false,
            other => panic!("{other}"),
        };
        let mode = value["mode"].as_u64().and_then(|mode| u8::try_from(mode).ok()).expect("a mode");
        Self {
            code_hash: hex_array(&value["code_hash"]),
            code_descriptor: hex(&value["code_descriptor"]),
            config_value: inline.then(|| hex_array(&value["config_value"])),
            config_descriptor: if inline { Vec::new() } else { hex(&value["config_descriptor"]) },
            authority_hash: hex_array(&value["authority_hash"]),
            authority_descriptor: hex(&value["authority_descriptor"]),
            mode: Mode::from_byte(mode),
            hidden: hex_array(&value["hidden"]),
        }
    }

    pub fn values(&self) -> InputValues<'_> {
        InputValues {
            code_hash: &self.code_hash,
            code_descriptor: &self.code_descriptor,
            config: self
                .config_value
                .as_ref()
                .map_or(Config::Descriptor(&self.config_descriptor), Config::Inline),
            authority_hash: &self.authority_hash,
            authority_descriptor: &self.authority_descriptor,
            mode: self.mode,
            hidden: &self.hidden,
        }
    }
}

/// The CDIs in the fields `attest` and `seal` of a vector.
pub fn cdis(value: &Value, attest: &str, seal: &str) -> Cdis {
    Cdis { attest: CdiAttest::new(hex_array(&value[attest])), seal: CdiSeal::new(hex_array(&value[seal])) }
}

/// What the hardware layer of a device with some UDS starts from.
pub fn uds() -> Cdis {
    let uds = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";
    Cdis::from_uds(&Uds::from_hex(uds).expect("hex"))
}

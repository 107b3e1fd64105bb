//! TCG DICE extensions against the encodings of an independent implementation.

mod common;

use common::{hex, list, text, vectors};
use dice_core::asn1::{DerReader, DerWriter};
use dice_core::hash::{Hash, Sha256, Sha384, Sha512};
use dice_core::tcg::{
    self, Fwid, IntegrityRegister, List, MultiTcbInfo, OperationalFlags, TcbFreshness, TcbInfo, Ueid,
};
use proptest::prelude::*;
use serde_json::Value;

fn der(write: impl FnOnce(&mut DerWriter<'_>)) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let mut writer = DerWriter::new(&mut buffer);
    write(&mut writer);
    writer.finish().unwrap().to_vec()
}

/// The fields of a case that are not plain text or numbers, kept alive while the case is built.
struct Parts {
    digests: Vec<(der::asn1::ObjectIdentifier, Vec<u8>)>,
    vendor_info: Option<Vec<u8>>,
    tcb_type: Option<Vec<u8>>,
}

impl Parts {
    fn of(fields: &Value) -> Self {
        let digests = fields["fwids"].as_array().map_or(&[][..], |fwids| fwids).iter().map(|fwid| {
            let algorithm = match text(&fwid[0]) {
                "sha256" => Sha256::OID,
                "sha384" => Sha384::OID,
                "sha512" => Sha512::OID,
                other => panic!("hash {other}"),
            };
            (algorithm, hex(&fwid[1]))
        });
        let bytes = |name: &str| (!fields[name].is_null()).then(|| hex(&fields[name]));
        Self { digests: digests.collect(), vendor_info: bytes("vendor_info"), tcb_type: bytes("type") }
    }

    fn fwids(&self) -> Vec<Fwid<'_>> {
        self.digests.iter().map(|(algorithm, digest)| Fwid { algorithm: *algorithm, digest }).collect()
    }

    fn info<'a>(&'a self, fields: &'a Value, fwids: &'a [Fwid<'a>]) -> TcbInfo<'a> {
        let number = |name: &str| fields[name].as_u64();
        let flags = |name: &str| {
            fields[name].as_str().map(|bits| OperationalFlags(u32::from_str_radix(bits, 16).unwrap()))
        };
        TcbInfo {
            vendor: fields["vendor"].as_str(),
            model: fields["model"].as_str(),
            version: fields["version"].as_str(),
            svn: number("svn"),
            layer: number("layer"),
            index: number("index"),
            fwids: (!fwids.is_empty()).then(|| List::of(fwids)),
            flags: flags("flags"),
            vendor_info: self.vendor_info.as_deref(),
            tcb_type: self.tcb_type.as_deref(),
            flags_mask: flags("flags_mask"),
            integrity_registers: None,
        }
    }
}

#[test]
fn recorded_tcb_infos_are_written_and_read() {
    let file = vectors("dice/tcg_dice_extensions.json");
    let counts = ["tcb_info", "multi_tcb_info", "ueid", "tcb_freshness"].map(|name| list(&file[name]).len());
    assert_eq!(counts, [14, 3, 3, 2]);
    for case in list(&file["tcb_info"]) {
        let parts = Parts::of(&case["fields"]);
        let fwids = parts.fwids();
        let info = parts.info(&case["fields"], &fwids);
        let trimmed = hex(&case["value_named_bits_trimmed"]);
        assert_eq!(der(|writer| info.write_der(writer)), trimmed, "{}", case["name"]);
        assert_eq!(TcbInfo::parse(&trimmed), Ok(info), "{}", case["name"]);
        assert_eq!(TcbInfo::parse(&hex(&case["value_libnat20"])), Ok(info), "{}", case["name"]);
    }
}

#[test]
fn recorded_multi_tcb_infos_are_read_and_written_again() {
    let file = vectors("dice/tcg_dice_extensions.json");
    let named = |name: &Value| list(&file["tcb_info"]).iter().find(|case| case["name"] == *name).unwrap();
    for case in list(&file["multi_tcb_info"]) {
        let value = hex(&case["value_libnat20"]);
        let multi = MultiTcbInfo::parse(&value).unwrap();
        let expected: Vec<_> =
            list(&case["cases"]).iter().map(|name| hex(&named(name)["value_libnat20"])).collect();
        let expected: Vec<_> = expected.iter().map(|value| TcbInfo::parse(value).unwrap()).collect();
        assert_eq!(multi, MultiTcbInfo(List::of(&expected)));
        let trimmed: Vec<u8> = list(&case["cases"])
            .iter()
            .flat_map(|name| hex(&named(name)["value_named_bits_trimmed"]))
            .collect();
        assert_eq!(
            der(|writer| multi.write_der(writer)),
            der(|writer| writer.sequence(|writer| writer.raw(&trimmed)))
        );
    }
}

#[test]
fn recorded_small_extensions_are_written_and_read() {
    let file = vectors("dice/tcg_dice_extensions.json");
    for case in list(&file["ueid"]) {
        let (ueid, value) = (hex(&case["ueid"]), hex(&case["value"]));
        assert_eq!(der(|writer| Ueid(&ueid).write_der(writer)), value);
        assert_eq!(Ueid::parse(&value), Ok(Ueid(&ueid)));
    }
    for case in list(&file["tcb_freshness"]) {
        let (nonce, value) = (hex(&case["nonce"]), hex(&case["value"]));
        assert_eq!(der(|writer| TcbFreshness(&nonce).write_der(writer)), value);
        assert_eq!(TcbFreshness::parse(&value), Ok(TcbFreshness(&nonce)));
        for len in 0..value.len() {
            assert!(TcbFreshness::parse(&value[..len]).is_err());
        }
    }
}

#[test]
fn identifiers_are_the_published_ones() {
    let file = vectors("dice/tcg_dice_extensions.json");
    for (name, oid) in [
        ("TcbInfo", tcg::oid::TCB_INFO),
        ("Ueid", tcg::oid::UEID),
        ("MultiTcbInfo", tcg::oid::MULTI_TCB_INFO),
        ("TcbFreshness", tcg::oid::TCB_FRESHNESS),
    ] {
        assert_eq!(oid.to_string(), text(&file["extension_oids"][name]));
    }
    for (name, oid) in [
        ("kp-identityInit", tcg::oid::KP_IDENTITY_INIT),
        ("kp-identityLoc", tcg::oid::KP_IDENTITY_LOC),
        ("kp-attestInit", tcg::oid::KP_ATTEST_INIT),
        ("kp-attestLoc", tcg::oid::KP_ATTEST_LOC),
        ("kp-assertInit", tcg::oid::KP_ASSERT_INIT),
        ("kp-assertLoc", tcg::oid::KP_ASSERT_LOC),
        ("kp-eca", tcg::oid::KP_ECA),
    ] {
        assert_eq!(oid.to_string(), text(&file["eku_oids"][name]));
    }
}

/// Early RIoT certificates have another structure under the identifier of TcbInfo.
#[test]
fn the_structure_of_early_riot_is_not_taken_for_a_tcb_info() {
    let file = vectors("dice/veraison_open_dice_chains.json");
    let extension = hex(&file["tcg_riot_extension_der"]);
    let mut reader = DerReader::new(&extension);
    let mut fields = reader.sequence().unwrap().constructed(0).unwrap().unwrap();
    assert_eq!(fields.oid().unwrap(), tcg::oid::TCB_INFO);
    let value = fields.raw().unwrap();
    assert!(TcbInfo::parse(value).is_err());
}

#[test]
fn malformed_infos_are_refused() {
    let refused = |der: &[u8]| TcbInfo::parse(der).is_err();
    assert!(refused(&[]));
    assert!(refused(&[0x30, 0, 0]), "trailing byte");
    assert!(refused(&[0x30, 6, 0x81, 1, b'm', 0x80, 1, b'v']), "fields out of order");
    assert!(refused(&[0x30, 6, 0x80, 1, b'v', 0x80, 1, b'v']), "field twice");
    assert!(refused(&[0x30, 3, 0x80, 1, 0xff]), "not UTF-8");
    assert!(refused(&[0x30, 3, 0x83, 1, 0xff]), "negative number");
    assert!(refused(&[0x30, 4, 0x83, 2, 0, 1]), "number not minimal");
    assert!(refused(&[0x30, 2, 0x8c, 0]), "unknown field");
    assert!(refused(&[0x30, 8, 0x87, 6, 0, 0, 0, 0, 0, 1]), "flags of 40 bits");
    assert!(refused(&[0x30, 4, 0xa6, 2, 0x30, 0]), "measurement without content");
    assert!(refused(&[0x30, 2, 0xa6, 0]), "list without members");
    assert!(refused(&[0x30, 6, 0xab, 4, 0x30, 2, 0xa2, 0]), "register without digests");
    assert!(MultiTcbInfo::parse(&[0x30, 0]).is_err(), "no components");
    assert!(TcbInfo::parse(&[0x30, 0]).unwrap() == TcbInfo::default());
}

proptest! {
    #[test]
    fn everything_that_can_be_written_is_read_back(
        texts in prop::array::uniform3(prop::option::of(".{0,20}")),
        numbers in prop::array::uniform3(prop::option::of(any::<u64>())),
        digests in prop::collection::vec(prop::collection::vec(any::<u8>(), 48), 0..4),
        flags in prop::array::uniform2(prop::option::of(any::<u32>())),
        opaque in prop::array::uniform2(prop::option::of(prop::collection::vec(any::<u8>(), 0..40))),
        register in prop::option::of((prop::option::of("[ -~]{0,12}"), prop::option::of(any::<u64>()))),
    ) {
        let fwids: Vec<_> = digests.iter().map(|digest| Fwid { algorithm: Sha384::OID, digest }).collect();
        let registers: Vec<_> = register
            .iter()
            .filter(|_| !fwids.is_empty())
            .map(|(name, number)| IntegrityRegister {
                name: name.as_deref(),
                number: *number,
                digests: List::of(&fwids),
            })
            .collect();
        let info = TcbInfo {
            vendor: texts[0].as_deref(),
            model: texts[1].as_deref(),
            version: texts[2].as_deref(),
            svn: numbers[0],
            layer: numbers[1],
            index: numbers[2],
            fwids: (!fwids.is_empty()).then(|| List::of(&fwids)),
            flags: flags[0].map(OperationalFlags),
            vendor_info: opaque[0].as_deref(),
            tcb_type: opaque[1].as_deref(),
            flags_mask: flags[1].map(OperationalFlags),
            integrity_registers: (!registers.is_empty()).then(|| List::of(&registers)),
        };
        let encoded = der(|writer| info.write_der(writer));
        prop_assert_eq!(TcbInfo::parse(&encoded), Ok(info));
        for len in 0..encoded.len() {
            prop_assert!(TcbInfo::parse(&encoded[..len]).is_err());
        }
    }
}

#[test]
fn every_flipped_bit_is_refused_or_gives_another_value() {
    let file = vectors("dice/tcg_dice_extensions.json");
    for case in list(&file["tcb_info"]) {
        let original = hex(&case["value_named_bits_trimmed"]);
        for bit in 0..original.len() * 8 {
            let mut flipped = original.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(info) = TcbInfo::parse(&flipped) {
                assert_ne!(info, TcbInfo::parse(&original).unwrap(), "bit {bit}");
            }
        }
    }
}

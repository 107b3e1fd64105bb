//! Reference values in JSON: what may run, in the words of CoRIM (draft-ietf-rats-corim), as far as a DICE chain can
//! tell.
//!
//! ```json
//! { "triples": { "reference-values": [ {
//!     "environment": { "class": { "vendor": "MXCHIP", "model": "AZ3166", "layer": 1, "index": 0 } },
//!     "measurements": [ { "value": {
//!         "digests": ["sha-256;0f5e…"], "svn": { "type": "min-value", "value": 1 }, "op-flags": ["notConfigured"]
//!     } } ]
//! } ] } }
//! ```
//!
//! Everything may be left out; what is left out admits anything, but for `op-flags`, which lists all the flags that may
//! be set, and `integrity-registers`, which lists all the registers that have to be there, each under its name or
//! number, as in `{ "0": ["sha-256;0f5e…"] }`. Each measurement is an alternative. Names that are not known are
//! refused, so that a typing error admits nothing.

pub mod corim;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use dice_core::hash::HashAlgorithm;
use dice_core::standard::FirmwareInfo;
use dice_core::tcg::{Fwid, IntegrityRegister, List, OperationalFlags};
use dice_core::verify::Reference;
use dice_core::{FirmwareDigest, open_dice::Mode};
use serde::{Deserialize, Serialize};

use super::text;

/// A file of reference values.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    triples: Triples,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Triples {
    reference_values: Vec<ReferenceValue>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReferenceValue {
    #[serde(default)]
    environment: Environment,
    measurements: Vec<Measurement>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    #[serde(default)]
    class: Class,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    vendor: Option<String>,
    model: Option<String>,
    layer: Option<u64>,
    index: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measurement {
    value: Value,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Value {
    #[serde(default)]
    digests: Vec<String>,
    svn: Option<Svn>,
    #[serde(default)]
    op_flags: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    integrity_registers: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Svn {
    r#type: SvnType,
    value: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SvnType {
    MinValue,
}

/// Names of the hash functions in the IANA registry "Named Information Hash Algorithm".
const ALGORITHMS: [(&str, HashAlgorithm); 3] = [
    ("sha-256", HashAlgorithm::Sha256),
    ("sha-384", HashAlgorithm::Sha384),
    ("sha-512", HashAlgorithm::Sha512),
];

/// Names of the flags in the TCG DICE Attestation Architecture.
const FLAGS: [(&str, OperationalFlags); 9] = [
    ("notConfigured", OperationalFlags::NOT_CONFIGURED),
    ("notSecure", OperationalFlags::NOT_SECURE),
    ("recovery", OperationalFlags::RECOVERY),
    ("debug", OperationalFlags::DEBUG),
    ("notReplayProtected", OperationalFlags::NOT_REPLAY_PROTECTED),
    ("notIntegrityProtected", OperationalFlags::NOT_INTEGRITY_PROTECTED),
    ("notRuntimeMeasured", OperationalFlags::NOT_RUNTIME_MEASURED),
    ("notImmutable", OperationalFlags::NOT_IMMUTABLE),
    ("notTcb", OperationalFlags::NOT_TCB),
];

type Digest = (HashAlgorithm, Vec<u8>);

/// An integrity register with its name or number.
#[derive(Debug)]
struct Register {
    name: Option<String>,
    number: Option<u64>,
    digests: Vec<Digest>,
}

/// The digests of an [`Alternative`] as the verifier takes them.
#[derive(Debug)]
pub struct Digests<'a> {
    fwids: Vec<Fwid<'a>>,
    registers: Vec<(&'a Register, Vec<Fwid<'a>>)>,
}

impl Digests<'_> {
    /// The integrity registers, for [`Alternative::reference`] to borrow.
    #[must_use]
    pub fn registers(&self) -> Vec<IntegrityRegister<'_>> {
        self.registers
            .iter()
            .map(|(known, digests)| IntegrityRegister {
                name: known.name.as_deref(),
                number: known.number,
                digests: List::of(digests),
            })
            .collect()
    }
}

fn fwids(digests: &[Digest]) -> Vec<Fwid<'_>> {
    digests.iter().map(|(algorithm, digest)| Fwid { algorithm: algorithm.oid(), digest }).collect()
}

/// One alternative of a file, its digests decoded.
#[derive(Debug)]
pub struct Alternative {
    class: Class,
    digests: Vec<Digest>,
    /// `None`: not compared.
    registers: Option<Vec<Register>>,
    minimum_svn: Option<u64>,
    admitted_flags: OperationalFlags,
}

impl Alternative {
    /// The digests, for [`reference`](Self::reference) to borrow.
    #[must_use]
    pub fn digests(&self) -> Digests<'_> {
        let registers = self.registers.iter().flatten();
        let registers = registers.map(|register| (register, fwids(&register.digests))).collect();
        Digests { fwids: fwids(&self.digests), registers }
    }

    /// The alternative as the verifier takes it.
    #[must_use]
    pub fn reference<'a>(
        &'a self,
        digests: &'a Digests<'a>,
        registers: &'a [IntegrityRegister<'a>],
    ) -> Reference<'a> {
        Reference {
            vendor: self.class.vendor.as_deref(),
            model: self.class.model.as_deref(),
            layer: self.class.layer,
            index: self.class.index,
            minimum_svn: self.minimum_svn,
            admitted_flags: self.admitted_flags,
            integrity_registers: self.registers.is_some().then_some(registers),
            ..Reference::firmware(&digests.fwids)
        }
    }
}

/// Reads a file, JSON or a CoRIM in CBOR that is valid at `time` (seconds since 1970).
///
/// # Errors
/// Names what is wrong with it.
pub fn read(bytes: &[u8], time: u64) -> Result<Vec<Alternative>> {
    if corim::is_corim(bytes) {
        return corim::decode(bytes, time);
    }
    parse(&text::decode(bytes).context("not a text")?)
}

/// Reads JSON.
///
/// # Errors
/// Names the place in the JSON, the digest or the flag that is wrong.
pub fn parse(json: &str) -> Result<Vec<Alternative>> {
    let file: File = serde_json::from_str(json).context("reference values")?;
    let mut alternatives = Vec::new();
    for (number, value) in file.triples.reference_values.into_iter().enumerate() {
        ensure!(!value.measurements.is_empty(), "reference value {number} has no measurements");
        for Measurement { value: Value { digests, svn, op_flags, integrity_registers } } in value.measurements
        {
            let Class { vendor, model, layer, index } = &value.environment.class;
            let class = Class { vendor: vendor.clone(), model: model.clone(), layer: *layer, index: *index };
            let context = || format!("reference value {number}");
            let digests = all_digests(&digests).with_context(context)?;
            let registers = integrity_registers.into_iter().map(register).collect::<Result<_>>();
            let registers = Some(registers.with_context(context)?);
            let admitted_flags = op_flags
                .iter()
                .try_fold(OperationalFlags::default(), |flags, name| anyhow::Ok(flags.with(flag(name)?)))
                .with_context(context)?;
            let minimum_svn = svn.map(|svn| svn.value);
            alternatives.push(Alternative { class, digests, registers, minimum_svn, admitted_flags });
        }
    }
    Ok(alternatives)
}

fn all_digests(texts: &[String]) -> Result<Vec<Digest>> {
    texts.iter().map(|text| digest(text)).collect()
}

/// A register under its number, if the key is one, or else under its name.
fn register((key, digests): (String, Vec<String>)) -> Result<Register> {
    ensure!(!digests.is_empty(), "integrity register {key:?} has no digests");
    let digests = all_digests(&digests).with_context(|| format!("integrity register {key:?}"))?;
    let number = key.parse().ok();
    Ok(Register { name: number.is_none().then_some(key), number, digests })
}

/// `sha-256;` and hexadecimal digits.
fn digest(text: &str) -> Result<(HashAlgorithm, Vec<u8>)> {
    let (name, digits) =
        text.split_once(';').with_context(|| format!("digest {text:?} is not like sha-256;0f5e…"))?;
    let Some((_, algorithm)) = ALGORITHMS.iter().find(|(known, _)| *known == name) else {
        bail!("hash function {name:?} is not one of sha-256, sha-384, sha-512");
    };
    let bytes = hex::decode(digits).with_context(|| format!("digest {text:?} is not hexadecimal"))?;
    let wanted = algorithm.output_len();
    ensure!(bytes.len() == wanted, "digest {text:?} has {} bytes, {name} has {wanted}", bytes.len());
    Ok((*algorithm, bytes))
}

/// A digest as [`parse`] reads it.
#[must_use]
pub fn digest_text(fwid: &Fwid<'_>) -> String {
    let name = ALGORITHMS.iter().find(|(_, algorithm)| algorithm.oid() == fwid.algorithm);
    match name {
        Some((name, _)) => format!("{name};{}", hex::encode(fwid.digest)),
        None => format!("{};{}", fwid.algorithm, hex::encode(fwid.digest)),
    }
}

fn flag(name: &str) -> Result<OperationalFlags> {
    match FLAGS.iter().find(|(known, _)| *known == name) {
        Some((_, flag)) => Ok(*flag),
        None => bail!("flag {name:?} is not one of {}", FLAGS.map(|(known, _)| known).join(", ")),
    }
}

/// The names of the flags that are set.
#[must_use]
pub fn flag_names(flags: OperationalFlags) -> Vec<&'static str> {
    FLAGS.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(name, _)| *name).collect()
}

/// The file that admits one firmware of the profile `standard` and nothing else.
#[must_use]
pub fn of_firmware(firmware: &FirmwareDigest, info: &FirmwareInfo<'_>) -> File {
    let flags = match info.mode {
        Mode::NotConfigured => OperationalFlags::NOT_CONFIGURED,
        Mode::Debug => OperationalFlags::DEBUG,
        Mode::Recovery => OperationalFlags::RECOVERY,
        Mode::Normal => OperationalFlags::default(),
    };
    let class = Class {
        vendor: Some(info.vendor.to_owned()),
        model: Some(info.model.to_owned()),
        layer: Some(1),
        index: Some(0),
    };
    let value = Value {
        digests: vec![digest_text(&firmware.as_fwid())],
        svn: Some(Svn { r#type: SvnType::MinValue, value: info.svn }),
        op_flags: flag_names(flags).into_iter().map(str::to_owned).collect(),
        integrity_registers: BTreeMap::new(),
    };
    let measurements = vec![Measurement { value }];
    let value = ReferenceValue { environment: Environment { class }, measurements };
    File { triples: Triples { reference_values: vec![value] } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        format!("{:#}", parse(json).unwrap_err())
    }

    fn with_value(value: &str) -> String {
        format!(r#"{{"triples":{{"reference-values":[{{"measurements":[{{"value":{value}}}]}}]}}}}"#)
    }

    #[test]
    fn what_is_written_is_read() {
        let firmware = FirmwareDigest::of(b"firmware").unwrap();
        let info = FirmwareInfo::new("ACME", "Widget", "1.0.0", 7);
        let json = serde_json::to_string(&of_firmware(&firmware, &info)).unwrap();
        let [alternative] = &parse(&json).unwrap()[..] else { panic!("one") };
        let digests = alternative.digests();
        let registers = digests.registers();
        let reference = alternative.reference(&digests, &registers);
        assert_eq!(reference.integrity_registers, Some(&[][..]));
        assert_eq!((reference.vendor, reference.model), (Some("ACME"), Some("Widget")));
        assert_eq!((reference.layer, reference.index, reference.minimum_svn), (Some(1), Some(0), Some(7)));
        assert_eq!(reference.fwids, [firmware.as_fwid()]);
        assert_eq!(reference.admitted_flags, OperationalFlags::NOT_CONFIGURED);
    }

    #[test]
    fn registers_have_a_name_or_a_number() {
        let digest = format!("sha-256;{}", "0f".repeat(32));
        let json =
            with_value(&format!(r#"{{"integrity-registers":{{"7":["{digest}"],"boot":["{digest}"]}}}}"#));
        let [alternative] = &parse(&json).unwrap()[..] else { panic!("one") };
        let digests = alternative.digests();
        let registers = digests.registers();
        let keys: Vec<_> = registers.iter().map(|register| (register.name, register.number)).collect();
        assert_eq!(keys, [(None, Some(7)), (Some("boot"), None)]);
        assert!(registers.iter().all(|register| register.digests.iter().all(|one| one.digest == [0x0f; 32])));
        let none = with_value(r#"{"integrity-registers":{"7":[]}}"#);
        assert!(message(&none).contains("register \"7\" has no digests"));
        let bad = with_value(r#"{"integrity-registers":{"7":["sha-256;00"]}}"#);
        assert!(message(&bad).contains("register \"7\": digest"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(message("{").contains("line 1"));
        assert!(message(r#"{"triples":{}}"#).contains("reference-values"));
        assert!(message(&with_value(r#"{"digest":[]}"#)).contains("unknown field `digest`"));
        assert!(message(&with_value(r#"{"op-flags":["Debug"]}"#)).contains("\"Debug\""));
        assert!(message(&with_value(r#"{"digests":["00"]}"#)).contains("sha-256;"));
        assert!(message(&with_value(r#"{"digests":["md5;00"]}"#)).contains("\"md5\""));
        assert!(message(&with_value(r#"{"digests":["sha-256;0g"]}"#)).contains("'g'"));
        assert!(message(&with_value(r#"{"digests":["sha-256;00"]}"#)).contains("1 bytes"));
        assert!(message(&with_value(r#"{"svn":{"type":"exact-value","value":1}}"#)).contains("exact-value"));
        let none = r#"{"triples":{"reference-values":[{"measurements":[]}]}}"#;
        assert!(message(none).contains("no measurements"));
    }
}

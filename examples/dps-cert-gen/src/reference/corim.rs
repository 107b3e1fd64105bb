//! Reference values as a CoRIM in CBOR (draft-ietf-rats-corim): an unsigned manifest with one CoMID, whose reference
//! triples say the same as the JSON.
//!
//! What a CoRIM leaves out is not compared. Two things therefore read otherwise than in the JSON: without a flags map
//! any operational flag may be set, and without integrity registers there may be any. A flag that may be set is left
//! out; one that may not stands there in its good state. What is not understood might demand more, and is refused, but
//! for what cannot admit a firmware: entities, endorsements, keys, memberships.

use anyhow::{Context, Result, bail, ensure};
use ciborium::Value;
use dice_core::tcg::OperationalFlags;
use sha2::{Digest as _, Sha256};

use super::{ALGORITHMS, Alternative, Class, Digest, FLAGS, Register};

/// The tag of an unsigned CoRIM.
const UNSIGNED: u64 = 501;
/// The tag of a CoMID within it.
const COMID: u64 = 506;
/// The tag of a least security version number.
const MIN_SVN: u64 = 553;
/// The tag of a time in seconds.
const TIME: u64 = 1;
/// The hash functions' numbers in the IANA registry "Named Information Hash Algorithm", in the order of [`ALGORITHMS`].
const ALGORITHM_NUMBERS: [u64; 3] = [1, 7, 8];

/// Whether a file begins as a CoRIM does, signed or not, rather than as a text.
pub(super) fn is_corim(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0xC0..=0xDB))
}

/// Whether the flag is good when it is set in the words of CoRIM, which turns the TCG's negations round.
fn good_state(name: &str) -> bool {
    name.starts_with("not")
}

fn map(fields: Vec<(u64, Value)>) -> Value {
    Value::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn digest((algorithm, bytes): &Digest) -> Value {
    let known = ALGORITHMS.iter().zip(ALGORITHM_NUMBERS).find(|((_, known), _)| known == algorithm);
    let number = known.map_or(0, |(_, number)| number);
    Value::Array(vec![number.into(), Value::Bytes(bytes.clone())])
}

/// The digests of one object, at most one of each function, as CoRIM has it; several of one function are alternatives.
fn digest_sets(digests: &[Digest]) -> Result<Vec<Vec<&Digest>>> {
    let repeated = |digest: &Digest| digests.iter().filter(|other| other.0 == digest.0).count() > 1;
    match digests {
        [] => Ok(vec![vec![]]),
        _ if !digests.iter().any(repeated) => Ok(vec![digests.iter().collect()]),
        [first, ..] if digests.iter().all(|digest| digest.0 == first.0) => {
            Ok(digests.iter().map(|digest| vec![digest]).collect())
        }
        _ => bail!("several digests of one hash function beside one of another: a CoRIM cannot say that"),
    }
}

fn environment(class: &Class) -> Result<Value> {
    let text = |value: &Option<String>| value.clone().map(Value::Text);
    let number = |value: Option<u64>| value.map(Value::from);
    let fields = [
        (1, text(&class.vendor)),
        (2, text(&class.model)),
        (3, number(class.layer)),
        (4, number(class.index)),
    ];
    let fields: Vec<_> = fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    ensure!(!fields.is_empty(), "a CoRIM needs a vendor, a model, a layer or an index");
    Ok(map(vec![(0, map(fields))]))
}

fn measurements(alternative: &Alternative) -> Result<Vec<Value>> {
    let mut common = Vec::new();
    if let Some(minimum) = alternative.minimum_svn {
        common.push((1, Value::Tag(MIN_SVN, Box::new(minimum.into()))));
    }
    let flags: Vec<_> = (0..)
        .zip(FLAGS)
        .filter(|(_, (_, flag))| !alternative.admitted_flags.contains(*flag))
        .map(|(key, (name, _))| (key, Value::Bool(good_state(name))))
        .collect();
    let mut registers = Vec::new();
    for Register { name, number, digests } in alternative.registers.iter().flatten() {
        let [one] = &digest_sets(digests)?[..] else {
            bail!("an integrity register with several digests of one hash function: a CoRIM cannot say that");
        };
        let key = number.map_or_else(|| Value::from(name.clone().unwrap_or_default()), Value::from);
        registers.push((key, Value::Array(one.iter().map(|one| digest(one)).collect())));
    }
    let mut made = Vec::new();
    for set in digest_sets(&alternative.digests)? {
        let mut fields = common.clone();
        if !set.is_empty() {
            fields.push((2, Value::Array(set.into_iter().map(digest).collect())));
        }
        if !flags.is_empty() {
            fields.push((3, map(flags.clone())));
        }
        if !registers.is_empty() {
            fields.push((14, Value::Map(registers.clone())));
        }
        ensure!(!fields.is_empty(), "a CoRIM needs something to compare");
        made.push(map(vec![(1, map(fields))]));
    }
    Ok(made)
}

fn to_bytes(value: &Value) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).context("CBOR")?;
    Ok(bytes)
}

/// Writes a CoRIM. Its names are made from what it says, so that the same values give the same bytes.
///
/// # Errors
/// A CoRIM cannot say it: there is no class, nothing to compare, or a mixture of digests.
pub fn encode(alternatives: &[Alternative]) -> Result<Vec<u8>> {
    ensure!(!alternatives.is_empty(), "there are no reference values");
    let mut triples = Vec::new();
    for alternative in alternatives {
        let measurements = measurements(alternative)?;
        triples.push(Value::Array(vec![environment(&alternative.class)?, Value::Array(measurements)]));
    }
    let triples = map(vec![(0, Value::Array(triples))]);
    let name = hex::encode(Sha256::digest(to_bytes(&triples)?));
    let name = Value::Text(format!("reference-values-{}", &name[..32]));
    let comid = map(vec![(1, map(vec![(0, name.clone())])), (4, triples)]);
    let tag = Value::Tag(COMID, Box::new(Value::Bytes(to_bytes(&comid)?)));
    to_bytes(&Value::Tag(UNSIGNED, Box::new(map(vec![(0, name), (1, Value::Array(vec![tag]))]))))
}

/// The fields of a map, to be taken one by one.
struct Fields {
    what: &'static str,
    fields: Vec<(i128, Value)>,
}

impl Fields {
    fn of(value: Value, what: &'static str) -> Result<Self> {
        let Value::Map(entries) = value else { bail!("the {what} is not a map") };
        ensure!(!entries.is_empty(), "the {what} is empty");
        let mut fields: Vec<(i128, Value)> = Vec::new();
        for (key, value) in entries {
            let Value::Integer(key) = key else { bail!("the {what} has a key that is not a number") };
            let key = i128::from(key);
            ensure!(fields.iter().all(|(other, _)| *other != key), "the {what} has field {key} twice");
            fields.push((key, value));
        }
        Ok(Self { what, fields })
    }

    fn take(&mut self, key: i128) -> Option<Value> {
        let at = self.fields.iter().position(|(other, _)| *other == key)?;
        Some(self.fields.swap_remove(at).1)
    }

    fn need(&mut self, key: i128) -> Result<Value> {
        let what = self.what;
        self.take(key).with_context(|| format!("the {what} has no field {key}"))
    }

    fn ignore(&mut self, keys: &[i128]) {
        self.fields.retain(|(key, _)| !keys.contains(key));
    }

    fn end(self) -> Result<()> {
        match self.fields.first() {
            None => Ok(()),
            Some((key, _)) => bail!("field {key} of the {} is not understood", self.what),
        }
    }
}

fn list(value: Value, what: &str) -> Result<Vec<Value>> {
    match value {
        Value::Array(list) if !list.is_empty() => Ok(list),
        _ => bail!("{what} is not a list, or is empty"),
    }
}

fn number(value: &Value, what: &str) -> Result<u64> {
    value
        .as_integer()
        .and_then(|number| u64::try_from(number).ok())
        .with_context(|| format!("{what} is not a number"))
}

fn text(value: Value, what: &str) -> Result<String> {
    value.into_text().ok().with_context(|| format!("{what} is not a text"))
}

/// One item and nothing behind it.
fn item(bytes: &[u8], what: &str) -> Result<Value> {
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest)
        .map_err(|error| anyhow::anyhow!("the {what} is not CBOR: {error}"))?;
    ensure!(rest.is_empty(), "{} bytes follow the {what}", rest.len());
    Ok(value)
}

/// Reads an unsigned CoRIM that is valid at `time` (seconds since 1970).
///
/// # Errors
/// Says what is wrong, not understood, or out of date.
pub(super) fn decode(bytes: &[u8], time: u64) -> Result<Vec<Alternative>> {
    let corim = match item(bytes, "CoRIM")? {
        Value::Tag(UNSIGNED, corim) => *corim,
        Value::Tag(18, _) => bail!("a signed CoRIM: check its signature and give the manifest in it"),
        Value::Tag(tag, _) => bail!("expected a CoRIM (tag {UNSIGNED}), found tag {tag}"),
        _ => bail!("expected a CoRIM (tag {UNSIGNED}), found no tag"),
    };
    let mut corim = Fields::of(corim, "CoRIM")?;
    corim.need(0)?;
    let tags = list(corim.need(1)?, "the CoRIM's list of tags")?;
    if let Some(validity) = corim.take(4) {
        check_validity(validity, time)?;
    }
    corim.ignore(&[5]);
    corim.end()?;
    let mut alternatives = Vec::new();
    for tag in tags {
        match tag {
            Value::Tag(COMID, comid) => {
                let comid = comid.into_bytes().ok().context("the CoMID is not a byte string")?;
                read_comid(item(&comid, "CoMID")?, &mut alternatives)?;
            }
            Value::Tag(tag, _) => bail!("expected a CoMID (tag {COMID}) in the CoRIM, found tag {tag}"),
            _ => bail!("expected a CoMID (tag {COMID}) in the CoRIM, found no tag"),
        }
    }
    ensure!(!alternatives.is_empty(), "the CoRIM has no reference values");
    Ok(alternatives)
}

fn check_validity(value: Value, time: u64) -> Result<()> {
    let mut validity = Fields::of(value, "validity")?;
    let seconds = |value: Value| match value {
        Value::Tag(TIME, value) => number(&value, "a time"),
        _ => bail!("a time is not a number of seconds"),
    };
    let not_before = validity.take(0).map(seconds).transpose()?;
    let not_after = seconds(validity.need(1)?)?;
    validity.end()?;
    ensure!(not_before.is_none_or(|begin| begin <= time), "the CoRIM is not valid yet");
    ensure!(time <= not_after, "the CoRIM has expired");
    Ok(())
}

fn read_comid(value: Value, alternatives: &mut Vec<Alternative>) -> Result<()> {
    let mut comid = Fields::of(value, "CoMID")?;
    comid.need(1)?;
    let mut triples = Fields::of(comid.need(4)?, "map of triples")?;
    comid.ignore(&[0, 2]);
    comid.end()?;
    let references = triples.take(0);
    triples.ignore(&[1, 2, 3, 4, 5, 6, 8, 10]);
    triples.end()?;
    for (at, triple) in references
        .map(|references| list(references, "the list of triples"))
        .transpose()?
        .into_iter()
        .flatten()
        .enumerate()
    {
        read_triple(triple, alternatives).with_context(|| format!("reference value {at}"))?;
    }
    Ok(())
}

fn read_triple(value: Value, alternatives: &mut Vec<Alternative>) -> Result<()> {
    let parts = list(value, "the triple")?;
    let [environment, measurements] =
        <[Value; 2]>::try_from(parts).ok().context("the triple does not have two parts")?;
    let mut environment = Fields::of(environment, "environment")?;
    let mut class = Fields::of(environment.need(0)?, "class")?;
    environment.end()?;
    let vendor = class.take(1).map(|value| text(value, "vendor")).transpose()?;
    let model = class.take(2).map(|value| text(value, "model")).transpose()?;
    let layer = class.take(3).map(|value| number(&value, "layer")).transpose()?;
    let index = class.take(4).map(|value| number(&value, "index")).transpose()?;
    class.end()?;
    for measurement in list(measurements, "the list of measurements")? {
        let mut measurement = Fields::of(measurement, "measurement")?;
        let values = measurement.need(1)?;
        measurement.end()?;
        let class = Class { vendor: vendor.clone(), model: model.clone(), layer, index };
        alternatives.push(read_values(values, class)?);
    }
    Ok(())
}

fn read_values(value: Value, class: Class) -> Result<Alternative> {
    let mut values = Fields::of(value, "measurement's value")?;
    let minimum_svn = match values.take(1) {
        None => None,
        Some(Value::Tag(MIN_SVN, minimum)) => Some(number(&minimum, "the minimum SVN")?),
        Some(_) => bail!("an exact SVN is not supported, only a minimum (tag {MIN_SVN})"),
    };
    let digests = values.take(2).map(read_digests).transpose()?.unwrap_or_default();
    let admitted_flags = read_flags(values.take(3))?;
    let registers = values.take(14).map(read_registers).transpose()?;
    values.end()?;
    Ok(Alternative { class, digests, registers, minimum_svn, admitted_flags })
}

fn read_digests(value: Value) -> Result<Vec<Digest>> {
    let mut digests: Vec<Digest> = Vec::new();
    for digest in list(value, "the list of digests")? {
        let parts = list(digest, "the digest")?;
        let [algorithm, bytes] =
            <[Value; 2]>::try_from(parts).ok().context("the digest does not have two parts")?;
        let known = match &algorithm {
            Value::Text(name) => ALGORITHMS.iter().find(|(known, _)| known == name),
            other => {
                let number = number(other, "the hash function")?;
                ALGORITHMS
                    .iter()
                    .zip(ALGORITHM_NUMBERS)
                    .find(|(_, known)| *known == number)
                    .map(|(known, _)| known)
            }
        };
        let Some((name, algorithm)) = known else {
            bail!("the hash function is not one of sha-256, sha-384, sha-512");
        };
        let bytes = bytes.into_bytes().ok().context("the digest is not a byte string")?;
        ensure!(bytes.len() == algorithm.output_len(), "a digest of {name} has {} bytes", bytes.len());
        ensure!(digests.iter().all(|(other, _)| other != algorithm), "two digests of {name} for one object");
        digests.push((*algorithm, bytes));
    }
    Ok(digests)
}

/// The flags that may be set: all but those that stand there in their good state.
fn read_flags(value: Option<Value>) -> Result<OperationalFlags> {
    let mut stated = value.map(|value| Fields::of(value, "map of flags")).transpose()?;
    let mut admitted = OperationalFlags::default();
    for (key, (name, flag)) in (0..).zip(FLAGS) {
        match stated.as_mut().and_then(|stated| stated.take(key)) {
            None => admitted = admitted.with(flag),
            Some(Value::Bool(state)) if state == good_state(name) => {}
            Some(Value::Bool(_)) => bail!("flag {name} cannot be required, only allowed (leave it out)"),
            Some(_) => bail!("the state of flag {name} is neither true nor false"),
        }
    }
    stated.map_or(Ok(()), Fields::end)?;
    Ok(admitted)
}

fn read_registers(value: Value) -> Result<Vec<Register>> {
    let Value::Map(entries) = value else { bail!("the integrity registers are not a map") };
    ensure!(!entries.is_empty(), "the map of integrity registers is empty");
    let mut registers: Vec<Register> = Vec::new();
    for (key, digests) in entries {
        let (name, number) = match key {
            Value::Text(name) => (Some(name), None),
            key => (None, Some(number(&key, "an integrity register's key")?)),
        };
        let twice = registers.iter().any(|other| (&other.name, other.number) == (&name, number));
        ensure!(!twice, "an integrity register occurs twice");
        registers.push(Register { name, number, digests: read_digests(digests)? });
    }
    Ok(registers)
}

#[cfg(test)]
mod tests;

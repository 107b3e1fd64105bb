//! What each command does to the chip. Where no public document says which status a refusal gives, the choice made
//! here is marked as ours.

use std::vec;
use std::vec::Vec;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::fuse::{Blown, Fuse, Torn};
use super::keys::{self, KeyError};
use super::model::{Model, SignatureSession, Stop, field};
use super::state::{Bytes, HostState, PASSWORD_TRIES, PrivateKey, PublicKeySlot, ZoneProfile};
use crate::codec::len16;
use crate::command::{
    Attribute, CHALLENGE_LEN, Command, ENVELOPE_OVERHEAD, EnvelopeKeyKind, KeyMode, LifeCycle,
    LifeCycleState, MAX_WRAP, Query,
};
use crate::curve::{Curve, Point, Rs};
use crate::frame::MAX_DATA;
use crate::mac::Counter;
use crate::response::{
    EnvelopeSlot, Family, HostKeySlot, PasswordVerdict, PrivateKeySlot, ProductData, emit_point,
    emit_public_key_slot,
};
use crate::status::Status;
use crate::zone::{Access, AccessCondition, MAX_ATOMIC, ZoneOptions};

/// A private key's use limit that never ends.
const UNLIMITED: u16 = 0xFFFF;
/// Bytes of user memory an A100 tells of.
const NVM_SIZE: u16 = 0x1800;
/// What an A110's product data have beside an A100's: tags 09 to 0D, three bytes each.
const A110_VERSIONS: [u8; 25] =
    [9, 3, 0, 0, 1, 10, 3, 0, 0, 2, 11, 3, 0, 0, 3, 12, 3, 0, 0, 4, 13, 3, 0x20, 1, 2];

impl From<KeyError> for Status {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Curve => Self::WrongKeyType,
            KeyError::Value => Self::InvalidPublicKey,
        }
    }
}

impl Model {
    /// Carries out a command that was authenticated as far as it claims; `host` says whether by a host C-MAC.
    pub(super) fn execute(
        &mut self,
        command: &Command<'_>,
        host: bool,
        fuse: &mut Fuse,
    ) -> Result<Vec<u8>, Stop> {
        let life_cycle = LifeCycle::from_byte(self.state.life_cycle).state;
        let harmless = matches!(command, Command::Query(_) | Command::Echo(_) | Command::Reset);
        if life_cycle == LifeCycleState::Terminated && !harmless {
            return Err(Status::InvalidLifeCycle.into());
        }
        match *command {
            Command::Echo(data) => Ok(data.to_vec()),
            Command::Reset => {
                self.volatile = super::model::Volatile::default();
                Ok(Vec::new())
            }
            Command::GenerateRandom { len: 0 } => Err(Status::OutOfRange.into()),
            Command::GenerateRandom { len } => {
                let mut out = vec![0; usize::from(len)];
                self.random(&mut out);
                Ok(out)
            }
            Command::GenerateChallenge => {
                let mut out = vec![0; CHALLENGE_LEN];
                self.random(&mut out);
                self.volatile.challenge = Some(out.clone());
                Ok(out)
            }
            Command::StartSignatureSession { slot } => {
                let (curve, _) = self.private_key(slot, KeyMode::SIGN_SESSION)?;
                self.volatile.session = Some(SignatureSession::new(usize::from(slot), curve));
                Ok(Vec::new())
            }
            Command::Decrement { options, zone, offset, amount, data } => {
                self.decrement(options, zone, offset, amount, data, host, fuse)
            }
            Command::Read { options, zone, offset, len } => self.read(options, zone, offset, len, host, fuse),
            Command::Update { options, zone, offset, data } => {
                self.update(options, zone, offset, data, host, fuse)
            }
            Command::DeletePassword => {
                self.state.password.as_ref().ok_or(Status::EntryNotFound)?;
                self.commit(fuse, |state| state.password = None)?;
                Ok(Vec::new())
            }
            Command::Hibernate(wake_up) => {
                self.volatile.asleep = Some(wake_up);
                Ok(Vec::new())
            }
            Command::WrapLocalEnvelope { slot, data } => {
                if !(16..=MAX_WRAP).contains(&data.len()) {
                    return Err(Status::InconsistentData.into());
                }
                Ok(keys::wrap(self.envelope_key(slot)?, data).ok_or(Status::InconsistentData)?)
            }
            Command::UnwrapLocalEnvelope { slot, envelope } => {
                if !(16 + ENVELOPE_OVERHEAD..=MAX_WRAP + ENVELOPE_OVERHEAD).contains(&envelope.len()) {
                    return Err(Status::InconsistentData.into());
                }
                Ok(keys::unwrap(self.envelope_key(slot)?, envelope).ok_or(Status::InconsistentData)?)
            }
            Command::PutAttribute(attribute) => self.put(&attribute, fuse),
            Command::GenerateKeyPair { slot, use_limit, mode, curve } => {
                self.generate_key_pair(slot, use_limit, mode, curve, fuse)
            }
            Command::GenerateEnvelopeKey { slot, kind, .. } => self.generate_envelope_key(slot, kind, fuse),
            Command::Query(query) => Ok(self.query(query)?),
            Command::GetSignature { .. } => {
                let session = self.volatile.session.take().ok_or(Status::WrongSession)?;
                self.sign(len16(session.slot), KeyMode::SIGN_SESSION, &session.digest(), fuse)
            }
            Command::GenerateSignature { slot, digest } => {
                refuse_zero(digest)?;
                self.sign(slot.into(), KeyMode::SIGN_DIGEST, digest, fuse)
            }
            Command::VerifySignature { curve, key, signature, digest } => {
                refuse_zero(digest)?;
                if [key.x.len(), signature.r.len(), digest.len()].iter().any(|&len| len != curve.field_len())
                {
                    return Err(Status::InconsistentData.into());
                }
                let valid = keys::verify(curve, key, signature, digest).map_err(Status::from)?;
                Ok(vec![u8::from(valid)])
            }
            Command::VerifyEntitySignature(signature) => Ok(vec![u8::from(self.verify_entity(signature)?)]),
            Command::EstablishKey { slot, peer } => {
                let (curve, scalar) = self.private_key(slot, KeyMode::ESTABLISH)?;
                if peer.x.len() != curve.field_len() {
                    return Err(Status::InconsistentData.into());
                }
                let secret = keys::shared_secret(curve, &scalar, peer).map_err(Status::from)?;
                self.use_key(slot, fuse)?;
                Ok(field(|w| w.lv2(&secret))?)
            }
            Command::VerifyPassword(password) => self.verify_password(password, fuse),
        }
    }

    /// A change of memory that happens as a whole or not at all.
    fn commit(
        &mut self,
        fuse: &mut Fuse,
        change: impl FnOnce(&mut super::state::State),
    ) -> Result<(), Blown> {
        fuse.step()?;
        change(&mut self.state);
        self.dirty = true;
        fuse.step()
    }

    // Zones

    /// The bytes `offset..offset + len` of a zone that the command may use under this right.
    fn zone_range(
        &self,
        index: u8,
        right: impl Fn(&ZoneProfile) -> Access,
        offset: u16,
        len: usize,
        host: bool,
    ) -> Result<(&ZoneProfile, core::ops::Range<usize>), Status> {
        let zone = self.state.zone(index).ok_or(Status::EntryNotFound)?;
        let allowed = match right(zone).condition {
            AccessCondition::Always => true,
            AccessCondition::Host => host,
            _ => false,
        };
        if !allowed {
            return Err(Status::AccessCondition);
        }
        let range = usize::from(offset)..usize::from(offset) + len;
        if range.end > zone.data.len() {
            return Err(Status::BoundaryExceeded);
        }
        Ok((zone, range))
    }

    /// Whether the change of an access right is allowed: only while the right is changeable, never to a weaker one.
    fn check_change(options: ZoneOptions, right: Access) -> Result<(), Status> {
        match options.change_access {
            Some(access) if !right.changeable || access.condition.bits() < right.condition.bits() => {
                Err(Status::AccessCondition)
            }
            _ => Ok(()),
        }
    }

    fn read(
        &mut self,
        options: ZoneOptions,
        index: u8,
        offset: u16,
        len: u16,
        host: bool,
        fuse: &mut Fuse,
    ) -> Result<Vec<u8>, Stop> {
        if options.atomic {
            return Err(Status::InconsistentData.into());
        }
        let (zone, range) = self.zone_range(index, |zone| zone.line().read, offset, len.into(), host)?;
        Self::check_change(options, zone.line().read)?;
        let mut out = Vec::new();
        if zone.kind == 1 {
            out.extend(zone.counter.to_be_bytes());
        }
        out.extend(zone.data.get(range).unwrap_or_default());
        if out.len() > MAX_DATA {
            return Err(Status::BufferLength.into());
        }
        if let Some(access) = options.change_access {
            self.commit_zone(index, fuse, |zone| {
                (zone.read_ac, zone.read_cr) = (access.condition.bits(), access.changeable.into());
            })?;
        }
        Ok(out)
    }

    fn commit_zone(
        &mut self,
        index: u8,
        fuse: &mut Fuse,
        change: impl FnOnce(&mut ZoneProfile),
    ) -> Result<(), Blown> {
        self.commit(fuse, |state| {
            if let Some(zone) = state.zone_mut(index) {
                change(zone);
            }
        })
    }

    fn update(
        &mut self,
        options: ZoneOptions,
        index: u8,
        offset: u16,
        data: &[u8],
        host: bool,
        fuse: &mut Fuse,
    ) -> Result<Vec<u8>, Stop> {
        let (zone, range) = self.zone_range(index, |zone| zone.line().update, offset, data.len(), host)?;
        if zone.kind != 0 {
            return Err(Status::WrongZoneType.into());
        }
        Self::check_change(options, zone.line().update)?;
        if options.atomic {
            if data.len() > MAX_ATOMIC {
                return Err(Status::OutOfRange.into());
            }
            self.commit_zone(index, fuse, |zone| overwrite(zone, range.start, data))?;
        } else {
            self.write(index, range.start, data, fuse)?;
        }
        if let Some(access) = options.change_access {
            self.commit_zone(index, fuse, |zone| {
                (zone.update_ac, zone.update_cr) = (access.condition.bits(), access.changeable.into());
            })?;
        }
        Ok(Vec::new())
    }

    /// Writes byte by byte; when the fuse blows, the cells are left torn.
    fn write(&mut self, index: u8, start: usize, data: &[u8], fuse: &mut Fuse) -> Result<(), Blown> {
        self.dirty = true;
        for (at, &byte) in (start..).zip(data) {
            let step = fuse.step();
            let Some(zone) = self.state.zone_mut(index) else { return step };
            let page = match (step, fuse.torn) {
                (Ok(()), _) => {
                    overwrite(zone, at, &[byte]);
                    continue;
                }
                (Err(_), Torn::Clean) => 0,
                (Err(_), Torn::Byte) => {
                    let old = zone.data.get(at).copied().unwrap_or_default();
                    let torn = (0..=u8::MAX).find(|torn| *torn != old && *torn != byte).unwrap_or_default();
                    overwrite(zone, at, &[torn]);
                    0
                }
                (Err(_), Torn::Page(size)) => usize::from(size),
            };
            if let Some(first) = at.checked_div(page).map(|number| number * page) {
                for cell in zone.data.iter_mut().skip(first).take(page) {
                    *cell = 0xFF;
                }
            }
            return step;
        }
        fuse.step()
    }

    #[allow(clippy::too_many_arguments)] // the command's own fields
    fn decrement(
        &mut self,
        options: ZoneOptions,
        index: u8,
        offset: u16,
        amount: u32,
        data: &[u8],
        host: bool,
        fuse: &mut Fuse,
    ) -> Result<Vec<u8>, Stop> {
        if options.atomic {
            return Err(Status::InconsistentData.into());
        }
        let (zone, range) = self.zone_range(index, |zone| zone.line().update, offset, data.len(), host)?;
        if zone.kind != 1 {
            return Err(Status::WrongZoneType.into());
        }
        Self::check_change(options, zone.line().update)?;
        let value = zone.counter.checked_sub(amount).ok_or(Status::CounterLimit)?;
        self.commit_zone(index, fuse, |zone| {
            zone.counter = value;
            overwrite(zone, range.start, data);
            if let Some(access) = options.change_access {
                (zone.update_ac, zone.update_cr) = (access.condition.bits(), access.changeable.into());
            }
        })?;
        Ok(value.to_be_bytes().to_vec())
    }

    // Keys

    fn private_slot(&self, slot: u8) -> Result<&PrivateKey, Status> {
        let slot = self.state.private_keys.get(usize::from(slot)).ok_or(Status::OutOfRange)?;
        slot.as_ref().ok_or(Status::KeyNotFound)
    }

    /// Curve and scalar of a key that may be used like this. Mode 0 names nothing and allows everything.
    fn private_key(&self, slot: u8, usage: KeyMode) -> Result<(Curve, Vec<u8>), Status> {
        let key = self.private_slot(slot)?;
        if key.mode != 0 && !KeyMode::from_bits(key.mode).contains(usage) {
            return Err(Status::WrongKeyUsage);
        }
        if key.uses == 0 {
            return Err(Status::KeyBlocked);
        }
        let curve = Curve::from_oid(&key.curve.0).ok_or(Status::InvalidPrivateKey)?;
        Ok((curve, key.scalar.0.clone()))
    }

    fn use_key(&mut self, slot: u8, fuse: &mut Fuse) -> Result<(), Blown> {
        if self.private_slot(slot).is_ok_and(|key| key.uses == UNLIMITED) {
            return Ok(());
        }
        self.commit(fuse, |state| {
            if let Some(Some(key)) = state.private_keys.get_mut(usize::from(slot)) {
                key.uses = key.uses.saturating_sub(1);
            }
        })
    }

    fn sign(&mut self, slot: u16, usage: KeyMode, digest: &[u8], fuse: &mut Fuse) -> Result<Vec<u8>, Stop> {
        let slot = u8::try_from(slot).map_err(|_| Status::OutOfRange)?;
        let (curve, scalar) = self.private_key(slot, usage)?;
        if digest.len() != curve.field_len() {
            return Err(Status::InconsistentData.into());
        }
        let signature = keys::sign(curve, &scalar, digest).map_err(|_| Status::InvalidPrivateKey)?;
        let (r, s) = signature.split_at_checked(curve.field_len()).ok_or(Status::UnexpectedError)?;
        self.use_key(slot, fuse)?;
        Ok(field(|w| Rs { r, s }.emit(w))?)
    }

    fn generate_key_pair(
        &mut self,
        slot: u8,
        use_limit: u16,
        mode: KeyMode,
        curve: Curve,
        fuse: &mut Fuse,
    ) -> Result<Vec<u8>, Stop> {
        if usize::from(slot) >= self.state.private_keys.len() {
            return Err(Status::OutOfRange.into());
        }
        let (scalar, x, y) = loop {
            let mut scalar = vec![0; curve.field_len()];
            self.random(&mut scalar);
            match keys::public(curve, &scalar) {
                Ok((x, y)) => break (scalar, x, y),
                // Not below the group order: about one in 2^32.
                Err(KeyError::Value) => {}
                Err(KeyError::Curve) => return Err(Status::WrongKeyType.into()),
            }
        };
        let key = PrivateKey {
            curve: Bytes(curve.oid().to_vec()),
            scalar: Bytes(scalar),
            mode: mode.bits(),
            uses: use_limit,
        };
        self.commit(fuse, |state| {
            if let Some(place) = state.private_keys.get_mut(usize::from(slot)) {
                *place = Some(key);
            }
        })?;
        Ok(field(|w| emit_point(&Point { x: &x, y: &y }, w))?)
    }

    fn envelope_key(&self, slot: u8) -> Result<&[u8], Status> {
        let slot = self.state.envelope_keys.get(usize::from(slot)).ok_or(Status::OutOfRange)?;
        slot.as_ref().map(|key| &key.0[..]).ok_or(Status::KeyNotFound)
    }

    fn generate_envelope_key(
        &mut self,
        slot: u8,
        kind: EnvelopeKeyKind,
        fuse: &mut Fuse,
    ) -> Result<Vec<u8>, Stop> {
        match self.envelope_key(slot) {
            Err(Status::KeyNotFound) => {}
            // A key that is there is never replaced; that it is this status is our choice.
            Ok(_) => return Err(Status::NotAuthorised.into()),
            Err(status) => return Err(status.into()),
        }
        let mut key = vec![0; if kind == EnvelopeKeyKind::Aes128 { 16 } else { 32 }];
        self.random(&mut key);
        self.commit(fuse, |state| {
            if let Some(place) = state.envelope_keys.get_mut(usize::from(slot)) {
                *place = Some(Bytes(key));
            }
        })?;
        Ok(Vec::new())
    }

    /// Verifies over SHA-256 of the last challenge, which is used up. What the silicon hashes is not documented.
    fn verify_entity(&mut self, signature: Rs<'_>) -> Result<bool, Status> {
        let challenge = self.volatile.challenge.take().ok_or(Status::ChallengeMissing)?;
        let PublicKeySlot { curve, x, y } = self.state.public_key.as_ref().ok_or(Status::KeyNotFound)?;
        let curve = Curve::from_oid(&curve.0).ok_or(Status::WrongKeyType)?;
        if signature.r.len() != curve.field_len() {
            return Err(Status::InconsistentData);
        }
        let digest = Sha256::digest(challenge);
        Ok(keys::verify(curve, Point { x: &x.0, y: &y.0 }, signature, &digest)?)
    }

    fn verify_password(&mut self, given: &[u8], fuse: &mut Fuse) -> Result<Vec<u8>, Stop> {
        let password = self.state.password.as_ref().ok_or(Status::EntryNotFound)?;
        let correct = bool::from(password.0.ct_eq(given));
        let tries = self.state.password_tries.checked_sub(1).ok_or(Status::PasswordBlocked)?;
        let remaining = if correct { PASSWORD_TRIES } else { tries };
        self.commit(fuse, |state| state.password_tries = remaining)?;
        Ok(field(|w| PasswordVerdict { correct, remaining }.emit(w))?)
    }

    // Attributes

    fn put(&mut self, attribute: &Attribute<'_>, fuse: &mut Fuse) -> Result<Vec<u8>, Stop> {
        match *attribute {
            Attribute::HostKeys { mac, cipher } => {
                if self.state.host.is_some() {
                    return Err(Status::NotAuthorised.into());
                }
                let host = HostState { mac: Bytes(mac.to_vec()), cipher: Bytes(cipher.to_vec()), counter: 0 };
                self.commit(fuse, |state| state.host = Some(host))?;
            }
            Attribute::LifeCycle(new) => {
                if LifeCycle::from_byte(self.state.life_cycle).locked {
                    return Err(Status::InvalidLifeCycle.into());
                }
                self.commit(fuse, |state| state.life_cycle = new.to_byte())?;
            }
            Attribute::I2cParameters(parameters) => {
                if self.state.i2c_flags & 1 != 0 {
                    return Err(Status::NotAuthorised.into());
                }
                let [_, flags] =
                    field(|w| parameters.emit(w))?.try_into().map_err(|_| Status::UnexpectedError)?;
                self.commit(fuse, |state| {
                    state.chip.i2c_address = parameters.address;
                    state.i2c_flags = flags;
                })?;
            }
            Attribute::PublicKey { curve, key } => {
                if key.x.len() != curve.field_len() {
                    return Err(Status::InconsistentData.into());
                }
                let slot = PublicKeySlot {
                    curve: Bytes(curve.oid().to_vec()),
                    x: Bytes(key.x.to_vec()),
                    y: Bytes(key.y.to_vec()),
                };
                self.commit(fuse, |state| state.public_key = Some(slot))?;
            }
            Attribute::Other { .. } => return Err(Status::InconsistentData.into()),
        }
        Ok(Vec::new())
    }

    fn query(&self, query: Query) -> Result<Vec<u8>, Status> {
        let state = &self.state;
        match query {
            Query::EnvelopeKeyTable => field(|w| {
                w.u8(2)?;
                (0..).zip(&state.envelope_keys).try_for_each(|(slot, key)| {
                    let key = key.as_ref().map(|key| match key.0.len() {
                        16 => EnvelopeKeyKind::Aes128,
                        _ => EnvelopeKeyKind::Aes256,
                    });
                    EnvelopeSlot { slot, key }.emit(w)
                })
            }),
            Query::LifeCycle => Ok(vec![state.life_cycle]),
            Query::I2cParameters => Ok(vec![state.chip.i2c_address << 1, state.i2c_flags]),
            Query::PublicKeySlot => {
                let slot = state.public_key.as_ref().and_then(|PublicKeySlot { curve, x, y }| {
                    Some((Curve::from_oid(&curve.0)?, Point { x: &x.0, y: &y.0 }))
                });
                field(|w| emit_public_key_slot(slot, w))
            }
            Query::ProductData => {
                let product = ProductData {
                    mask_id: state.chip.mask_id,
                    serial: state.chip.serial,
                    io_buffer: Some(507),
                    atomicity_buffer: Some(len16(MAX_ATOMIC)),
                    nvm: Some(NVM_SIZE),
                    test_date: Some(0x172A),
                    version: Some(1),
                    module_date: Some(0x172B),
                };
                field(|w| {
                    product.emit(w)?;
                    if state.chip.family() == Family::A110 { w.bytes(&A110_VERSIONS) } else { Ok(()) }
                })
            }
            Query::DataPartition => field(|w| {
                w.u8(u8::try_from(state.chip.zones.len()).unwrap_or(u8::MAX))?;
                state.chip.zones.iter().try_for_each(|zone| zone.line().emit(w))
            }),
            Query::PrivateKeyTable => field(|w| {
                w.bytes(&[2, 0])?;
                w.u16(UNLIMITED)?;
                (0..).zip(&state.private_keys).try_for_each(|(slot, key)| {
                    let mode = KeyMode::from_bits(key.as_ref().map_or(0, |key| key.mode));
                    let curve = key.as_ref().and_then(|key| Curve::from_oid(&key.curve.0));
                    PrivateKeySlot { slot, mode, curve }.emit(w)
                })
            }),
            Query::CommandAuthorisation => field(|w| state.chip.emit_table(w)),
            Query::HostKeySlot => {
                let slot = state.host.as_ref().map_or(HostKeySlot::Empty, |host| HostKeySlot::Present {
                    counter: Counter::new(host.counter),
                });
                field(|w| slot.emit(w))
            }
        }
    }
}

/// An all-zero digest hangs this chip family until it is reset.
fn refuse_zero(digest: &[u8]) -> Result<(), Stop> {
    let zero = !digest.is_empty() && digest.iter().all(|byte| *byte == 0);
    if zero { Err(Stop::Hang) } else { Ok(()) }
}

fn overwrite(zone: &mut ZoneProfile, start: usize, data: &[u8]) {
    for (cell, byte) in zone.data.iter_mut().skip(start).zip(data) {
        *cell = *byte;
    }
}

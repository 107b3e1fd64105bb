//! The vault over a driver. This file is compiled twice, async and blocking: `super::front` keeps or strips `async`
//! and `.await`.

use core::marker::PhantomData;

use zeroize::{Zeroize, Zeroizing};

use super::driver::{ENVELOPE_SLOT, Stsafe};
use super::{DelayNs, I2c, front};
use crate::channel::{Host, HostOptions, MaybeHost, Plain, Protection, Scope};
use crate::codec::len16;
use crate::command::{ENVELOPE_OVERHEAD, EnvelopeKeyKind};
use crate::crypto::SoftCrypto;
use crate::error::{Error, Unsuitable};
use crate::irreversible::Irreversible;
use crate::mac::HostKeys;
use crate::response::HostKeySlot;
use crate::status::Status;
use crate::vault::record::{Form, HEADER_LEN, Header, MAX_PIECE, MAX_VALUE, PREFIX_LEN, pieces, text_len};
use crate::vault::table::{check, reads_want_mac};
use crate::vault::{Entry, Former, FormerValue, Place, Setting, Stored, VaultError};

/// Where a whole copy of a value lies, and its header.
type WholeCopy = (Place, Header);

/// Where a value was found; the value itself is in the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// In a copy of the vault's own, with this header.
    Copy(Header),
    /// In its former place, this many bytes, sealed or not.
    Former { len: usize },
    /// Nowhere.
    Nothing,
}

impl Found {
    /// The value's bytes; `None` if there is no value.
    fn len(self) -> Option<usize> {
        match self {
            Self::Copy(Header { form: Form::Removed, .. }) | Self::Nothing => None,
            Self::Copy(header) => Some(header.len.into()),
            Self::Former { len } => Some(len),
        }
    }
}

/// A device's settings in the zones of a chip. See [`crate::vault`] for what it promises and how it stores.
///
/// It needs about 1.1 KiB besides its driver. Values in its buffers are wiped after every call.
pub struct Vault<T, I2C, D, S = Plain> {
    chip: Stsafe<I2C, D, S>,
    settings: PhantomData<T>,
    /// Whether the chip has host keys.
    paired: bool,
    /// Which commands carry MACs in a host session.
    scope: Scope,
    /// Prefix and value.
    value: Zeroizing<[u8; MAX_VALUE]>,
    piece: Zeroizing<[u8; MAX_PIECE]>,
}

impl<T, I2C, D, S> core::fmt::Debug for Vault<T, I2C, D, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Vault").field("paired", &self.paired).finish_non_exhaustive()
    }
}

impl<T, I2C, D, S> Vault<T, I2C, D, S> {
    /// The driver, for everything else the chip can do.
    pub fn chip(&mut self) -> &mut Stsafe<I2C, D, S> {
        &mut self.chip
    }

    /// Gives the driver back.
    pub fn release(self) -> Stsafe<I2C, D, S> {
        self.chip
    }

    /// Whether the chip has host keys.
    pub fn is_paired(&self) -> bool {
        self.paired
    }

    /// Stores values in clear from now on although the chip has host keys: after `unseal`, for a chip whose
    /// C-MAC counter is at its end. Without this call such a vault refuses to store ([`VaultError::Sealed`]).
    pub fn keep_in_clear(&mut self) {
        self.paired = false;
    }

    fn over(chip: Stsafe<I2C, D, S>, paired: bool, scope: Scope) -> Self {
        Self {
            chip,
            settings: PhantomData,
            paired,
            scope,
            value: Zeroizing::new([0; MAX_VALUE]),
            piece: Zeroizing::new([0; MAX_PIECE]),
        }
    }

    fn wipe(&mut self) {
        self.value.zeroize();
        self.piece.zeroize();
    }
}

#[front]
impl<T: Setting, I2C: I2c, D: DelayNs, S: Protection> Vault<T, I2C, D, S> {
    /// A vault on this chip. Asks for the partition table and the host key slot; changes nothing.
    ///
    /// # Errors
    /// [`VaultError::Table`] if the table does not fit the chip; [`VaultError::Chip`].
    pub async fn open(mut chip: Stsafe<I2C, D, S>) -> Result<Self, VaultError<T, I2C::Error>> {
        // What is only read travels without MACs: envelopes have a check of their own, and every MAC costs a counter.
        chip.channel_mut().set_scope(Scope::Changes);
        let sealed = chip.channel().is_sealed();
        let partition = chip.partition().await?;
        check(T::TABLE, &partition, sealed)?;
        let scope = if reads_want_mac(T::TABLE, &partition) { Scope::All } else { Scope::Changes };
        chip.channel_mut().set_scope(scope);
        let paired = chip.host_key_slot().await? != HostKeySlot::Empty;
        Ok(Self::over(chip, paired, scope))
    }

    /// Reads a setting into `out` and gives its length; `None` if it is not set.
    ///
    /// # Errors
    /// [`VaultError::Buffer`] if `out` is too small; [`VaultError::Damaged`], [`VaultError::Sealed`] or
    /// [`VaultError::NotSealed`] if there is a value that cannot be taken; [`VaultError::Chip`].
    pub async fn get(
        &mut self,
        setting: T,
        out: &mut [u8],
    ) -> Result<Option<usize>, VaultError<T, I2C::Error>> {
        let found = self.find_acceptable(setting).await;
        let copied = found.and_then(|found| {
            let Some(len) = found.len() else { return Ok(None) };
            let value = self.value.get(PREFIX_LEN..PREFIX_LEN + len).unwrap_or_default();
            let out = out.get_mut(..len).ok_or(VaultError::Buffer { needed: len16(len) })?;
            out.copy_from_slice(value);
            Ok(Some(len))
        });
        self.wipe();
        copied
    }

    /// Whether a setting has a value. The envelope of a sealed one is not opened: whether it still can be is not said,
    /// and the counter of the session is not used.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn contains(&mut self, setting: T) -> Result<bool, VaultError<T, I2C::Error>> {
        let entry = self.entry(setting)?;
        let found = match self.newest(entry).await? {
            Some((_, header)) => self.acceptable(setting, Found::Copy(header)),
            None => self.find(setting).await,
        };
        self.wipe();
        Ok(found?.len().is_some())
    }

    /// Stores a setting in both its copies and wipes what an earlier firmware kept of it. A value that is there
    /// already is not written again.
    ///
    /// # Errors
    /// [`VaultError::Value`] for a value that is too long, or that the table's check refuses; [`VaultError::Sealed`]
    /// if the chip has host keys and this vault no host session; [`VaultError::NotWritten`], [`VaultError::Chip`].
    pub async fn set(&mut self, setting: T, value: &[u8]) -> Result<Stored, VaultError<T, I2C::Error>> {
        let result = self.set_value(setting, value).await;
        self.wipe();
        result
    }

    /// Forgets a setting, in both copies and in the former place.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn remove(&mut self, setting: T) -> Result<(), VaultError<T, I2C::Error>> {
        let result = self.remove_value(setting).await;
        self.wipe();
        result
    }

    /// Has the chip make a secret of the setting's full length from its random generator, and stores it.
    ///
    /// # Errors
    /// [`VaultError::Exists`] if there is one and `replace` is false; [`VaultError::Value`] if the setting is no
    /// secret; otherwise as [`Self::set`].
    pub async fn generate(&mut self, setting: T, replace: bool) -> Result<Stored, VaultError<T, I2C::Error>> {
        let result = self.generate_value(setting, replace).await;
        self.wipe();
        result
    }

    /// Makes the two copies of every setting equal again where an interruption left them different. Every store does
    /// that first, so that it is never needed; done at start-up, it restores the redundancy earlier.
    ///
    /// # Errors
    /// [`VaultError::NotWritten`], [`VaultError::Chip`].
    pub async fn repair(&mut self) -> Result<(), VaultError<T, I2C::Error>> {
        let mut result = Ok(());
        for entry in T::TABLE {
            result = self.repair_copies(entry).await.map(|_| ());
            if result.is_err() {
                break;
            }
        }
        self.wipe();
        result
    }

    /// Brings every setting into the vault's own form: what stands in a former place is stored anew, and in a sealed
    /// vault plain copies become sealed ones. Call it where whoever operates the device vouches for what is stored,
    /// such as in the configuration console. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] or [`VaultError::Sealed`] at the first setting that cannot be read; nothing of it is
    /// overwritten. Otherwise as [`Self::set`].
    pub async fn adopt(&mut self) -> Result<(), VaultError<T, I2C::Error>> {
        for entry in T::TABLE {
            let result = self.adopt_value(entry.setting).await;
            self.wipe();
            result?;
        }
        Ok(())
    }

    /// Stores every setting in clear again, the way out of a chip whose C-MAC counter comes to its end: from then on
    /// the vault is opened over a plain driver. Interrupted, it can be called again; until it has ended, settings that
    /// are in clear already are refused ([`VaultError::NotSealed`]), not lost. In a vault without a host session there
    /// is nothing to do.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] at the first setting that cannot be read. Otherwise as [`Self::set`].
    pub async fn unseal(&mut self) -> Result<(), VaultError<T, I2C::Error>> {
        if self.is_sealed() {
            for entry in T::TABLE {
                let result = self.unseal_value(entry).await;
                self.wipe();
                result?;
            }
        }
        Ok(())
    }

    /// Whether values are stored as envelopes.
    fn is_sealed(&self) -> bool {
        self.chip.channel().is_sealed()
    }

    /// The form values have in a vault in this state.
    fn own_form(&self) -> Form {
        if self.is_sealed() { Form::Sealed } else { Form::Plain }
    }

    #[allow(clippy::unused_self, reason = "the vault's type names the table")]
    fn entry(&self, setting: T) -> Result<&'static Entry<T>, VaultError<T, I2C::Error>> {
        setting.entry().ok_or(VaultError::Value(setting))
    }

    // Reading

    /// Finds a value, and refuses a plain copy in a sealed vault.
    async fn find_acceptable(&mut self, setting: T) -> Result<Found, VaultError<T, I2C::Error>> {
        let found = self.find(setting).await?;
        self.acceptable(setting, found)
    }

    fn acceptable(&self, setting: T, found: Found) -> Result<Found, VaultError<T, I2C::Error>> {
        match found {
            Found::Copy(Header { form: Form::Plain, .. }) if self.is_sealed() => {
                Err(VaultError::NotSealed(setting))
            }
            Found::Copy(Header { form: Form::Sealed, .. }) if !self.is_sealed() => {
                Err(VaultError::Sealed(setting))
            }
            found => Ok(found),
        }
    }

    /// The newer whole copy: where it is, and its header. `None` if there is none.
    async fn newest(
        &mut self,
        entry: &'static Entry<T>,
    ) -> Result<Option<WholeCopy>, VaultError<T, I2C::Error>> {
        let [a, b] = entry.copies;
        let headers = [(a, self.header(entry, a).await?), (b, self.header(entry, b).await?)];
        let [first, second] = match headers {
            [(_, Some(one)), (_, Some(two))] if two.is_newer(one) => [headers[1], headers[0]],
            _ => headers,
        };
        for (place, header) in [first, second] {
            if let Some(header) = header
                && self.is_whole(place, header).await?
            {
                return Ok(Some((place, header)));
            }
        }
        match (first, second) {
            ((_, Some(_)), (_, Some(_))) => Err(VaultError::Damaged(entry.setting)),
            // At most one header without its body: a first store was interrupted, what was before counts.
            _ => Ok(None),
        }
    }

    /// Finds a value and leaves it in the buffer: in the newer copy, in the other, or in its former place.
    async fn find(&mut self, setting: T) -> Result<Found, VaultError<T, I2C::Error>> {
        let entry = self.entry(setting)?;
        if let Some((place, header)) = self.newest(entry).await? {
            self.load(setting, place, header).await?;
            return Ok(Found::Copy(header));
        }
        match entry.former {
            None => Ok(Found::Nothing),
            Some(former) => self.find_former(setting, former).await,
        }
    }

    async fn header(&mut self, entry: &Entry<T>, place: Place) -> Result<Option<Header>, Error<I2C::Error>> {
        let mut bytes = [0; HEADER_LEN];
        self.chip.read(place.zone, place.offset, &mut bytes).await?;
        Ok(Header::parse(entry.number, entry.max_len, &bytes))
    }

    /// Whether the body in the zone is the header's.
    async fn is_whole(&mut self, place: Place, header: Header) -> Result<bool, Error<I2C::Error>> {
        let mut crc = header.start_crc();
        for (offset, len) in steps(header.body_len()) {
            let piece = self.piece.get_mut(..len).unwrap_or_default();
            self.chip.read(place.zone, body_offset(place, offset), piece).await?;
            crc.update(piece);
        }
        Ok(crc.finalize() == header.crc)
    }

    /// Reads the body into the buffer, opened if sealed.
    async fn load(
        &mut self,
        setting: T,
        place: Place,
        header: Header,
    ) -> Result<(), VaultError<T, I2C::Error>> {
        match header.form {
            Form::Removed => {}
            Form::Plain => {
                let value = PREFIX_LEN..PREFIX_LEN + header.body_len();
                let value = self.value.get_mut(value).unwrap_or_default();
                self.chip.read(place.zone, body_offset(place, 0), value).await?;
            }
            Form::Sealed if !self.is_sealed() => return Err(VaultError::Sealed(setting)),
            Form::Sealed => {
                for (start, offset, len) in pieces(text_len(header.len.into())) {
                    let at = Place { zone: place.zone, offset: body_offset(place, offset) };
                    if !self.open_envelope(at, start, len).await? {
                        return Err(VaultError::Damaged(setting));
                    }
                }
                if self.value.first_chunk() != Some(&header.prefix()) {
                    return Err(VaultError::Damaged(setting));
                }
            }
        }
        Ok(())
    }

    /// Opens the envelope at a place and puts its `len` bytes into the buffer; `false` if it is none of this chip's.
    async fn open_envelope(
        &mut self,
        at: Place,
        start: usize,
        len: usize,
    ) -> Result<bool, Error<I2C::Error>> {
        let envelope = self.piece.get_mut(..len + ENVELOPE_OVERHEAD).unwrap_or_default();
        match self.chip.read(at.zone, at.offset, envelope).await {
            Err(Error::Device(Status::BoundaryExceeded)) => return Ok(false),
            other => other?,
        }
        let text = self.value.get_mut(start..start + len).unwrap_or_default();
        match self.chip.unwrap_envelope(ENVELOPE_SLOT, envelope, text).await {
            Ok(_) => Ok(true),
            Err(Error::Device(Status::KeyNotFound)) => Err(Unsuitable::EnvelopeKeyMissing.into()),
            // The chip itself says no. Anything else may be an accident on the way.
            Err(Error::Device(status)) if !status.is_frame_refused() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn find_former(&mut self, setting: T, former: Former) -> Result<Found, VaultError<T, I2C::Error>> {
        let window = former.window.min(former.usable);
        let value = PREFIX_LEN..PREFIX_LEN + usize::from(window);
        self.chip.read(former.zone, 0, self.value.get_mut(value.clone()).unwrap_or_default()).await?;
        let raw = self.value.get_mut(value.clone()).unwrap_or_default();
        let blank = raw.iter().all(|byte| Some(byte) == raw.first()) && matches!(raw.first(), Some(0 | 0xFF));
        if blank {
            return Ok(Found::Nothing);
        }
        if self.paired && !self.is_sealed() {
            return Err(VaultError::Sealed(setting));
        }
        if self.is_sealed() {
            for (start, offset, len) in former.envelopes() {
                let at = Place { zone: former.zone, offset: len16(offset) };
                if !self.open_envelope(at, PREFIX_LEN + start, len).await? {
                    return Err(VaultError::Damaged(setting));
                }
            }
        }
        let text = self.value.get_mut(value).unwrap_or_default();
        match (former.decode)(text) {
            FormerValue::Value(len)
                if text.get(..len).is_some_and(|value| self::is_value(setting, value)) =>
            {
                Ok(Found::Former { len })
            }
            FormerValue::Nothing => Ok(Found::Nothing),
            FormerValue::Value(_) | FormerValue::Invalid => Err(VaultError::Damaged(setting)),
        }
    }

    // Writing

    async fn set_value(&mut self, setting: T, value: &[u8]) -> Result<Stored, VaultError<T, I2C::Error>> {
        if !is_value(setting, value) {
            return Err(VaultError::Value(setting));
        }
        let found = match self.find(setting).await {
            Err(VaultError::Damaged(_)) => None,
            other => Some(other?),
        };
        let old = found.and_then(Found::len);
        let same = old.is_some_and(|len| self.value.get(PREFIX_LEN..PREFIX_LEN + len) == Some(value));
        if let (true, Some(Found::Copy(header))) = (same, found)
            && (header.form == Form::Sealed) == self.is_sealed()
        {
            self.tidy(setting).await?;
            return Ok(Stored::Unchanged);
        }
        if let Some(place) = self.value.get_mut(PREFIX_LEN..PREFIX_LEN + value.len()) {
            place.copy_from_slice(value);
        }
        self.store(setting, self.own_form(), value.len()).await?;
        Ok(match (found, old) {
            _ if same => Stored::Unchanged,
            (Some(_), None) => Stored::New,
            _ => Stored::Replaced,
        })
    }

    async fn remove_value(&mut self, setting: T) -> Result<(), VaultError<T, I2C::Error>> {
        match self.find(setting).await {
            Ok(Found::Nothing) => return Ok(()),
            Ok(Found::Copy(Header { form: Form::Removed, .. })) => return self.tidy(setting).await,
            Ok(_) | Err(VaultError::Damaged(_) | VaultError::Sealed(_)) => {}
            Err(error) => return Err(error),
        }
        self.store(setting, Form::Removed, 0).await
    }

    async fn generate_value(
        &mut self,
        setting: T,
        replace: bool,
    ) -> Result<Stored, VaultError<T, I2C::Error>> {
        let entry = self.entry(setting)?;
        let len = usize::from(entry.max_len);
        if !entry.secret {
            return Err(VaultError::Value(setting));
        }
        let exists = match self.find(setting).await {
            Ok(found) => found.len().is_some(),
            Err(VaultError::Damaged(_)) => true,
            Err(error) => return Err(error),
        };
        if exists && !replace {
            return Err(VaultError::Exists(setting));
        }
        let secret = self.value.get_mut(PREFIX_LEN..PREFIX_LEN + len).unwrap_or_default();
        self.chip.random(secret).await?;
        // One byte all over is a generator that is stuck.
        let is_stuck = secret.iter().all(|byte| Some(byte) == secret.first());
        if is_stuck || !(entry.check)(secret) {
            return Err(VaultError::Value(setting));
        }
        self.store(setting, self.own_form(), len).await?;
        Ok(if exists { Stored::Replaced } else { Stored::New })
    }

    async fn adopt_value(&mut self, setting: T) -> Result<(), VaultError<T, I2C::Error>> {
        match self.find(setting).await? {
            Found::Nothing => Ok(()),
            Found::Copy(Header { form: Form::Plain, len, .. }) if self.is_sealed() => {
                self.store(setting, Form::Sealed, len.into()).await
            }
            Found::Copy(_) => self.tidy(setting).await,
            Found::Former { len } => self.store(setting, self.own_form(), len).await,
        }
    }

    /// Stores the value that stands in the buffer.
    async fn store(&mut self, setting: T, form: Form, len: usize) -> Result<(), VaultError<T, I2C::Error>> {
        let entry = self.entry(setting)?;
        if self.paired && !self.is_sealed() {
            return Err(VaultError::Sealed(setting));
        }
        let mut sequence = 0;
        // With every other setting whole on both sides, damage around what is written here takes nothing away.
        for other in T::TABLE {
            let newest = self.repair_copies(other).await?;
            if other.setting == setting {
                sequence = newest.map_or(0, |header| header.sequence);
            }
        }
        let [a, b] = entry.copies;
        let header = Header {
            number: entry.number,
            form,
            sequence: sequence.wrapping_add(1),
            len: len16(len),
            crc: 0,
        };
        let header = self.write(entry, a, header).await?;
        self.mirror(entry, a, b, header).await?;
        self.wipe_former(entry).await
    }

    /// Ends what an interrupted store may have left to do.
    async fn tidy(&mut self, setting: T) -> Result<(), VaultError<T, I2C::Error>> {
        let entry = self.entry(setting)?;
        self.repair_copies(entry).await?;
        self.wipe_former(entry).await
    }

    /// Makes both copies equal to the newer whole one and gives its header.
    async fn repair_copies(&mut self, entry: &Entry<T>) -> Result<Option<Header>, VaultError<T, I2C::Error>> {
        let [a, b] = entry.copies;
        let one = self.whole_header(entry, a).await?;
        let two = self.whole_header(entry, b).await?;
        let (from, to, header) = match (one, two) {
            (None, None) => return Ok(None),
            (Some(one), Some(two)) if one == two => return Ok(Some(one)),
            (Some(one), Some(two)) if two.is_newer(one) => (b, a, two),
            (Some(one), _) => (a, b, one),
            (None, Some(two)) => (b, a, two),
        };
        self.mirror(entry, from, to, header).await?;
        Ok(Some(header))
    }

    async fn whole_header(
        &mut self,
        entry: &Entry<T>,
        place: Place,
    ) -> Result<Option<Header>, Error<I2C::Error>> {
        let Some(header) = self.header(entry, place).await? else { return Ok(None) };
        Ok(self.is_whole(place, header).await?.then_some(header))
    }

    /// Writes the value in the buffer as a copy, and gives the header with its checksum.
    async fn write(
        &mut self,
        entry: &Entry<T>,
        place: Place,
        header: Header,
    ) -> Result<Header, VaultError<T, I2C::Error>> {
        self.invalidate(place).await?;
        let mut crc = header.start_crc();
        match header.form {
            Form::Removed => {}
            Form::Plain => {
                let value = PREFIX_LEN..PREFIX_LEN + header.body_len();
                let value = self.value.get(value).unwrap_or_default();
                self.chip.update(place.zone, body_offset(place, 0), value).await?;
                crc.update(value);
            }
            Form::Sealed => {
                let len = usize::from(header.len);
                let text_len = text_len(len);
                if let Some(prefix) = self.value.first_chunk_mut() {
                    *prefix = header.prefix();
                }
                self.value.get_mut(PREFIX_LEN + len..text_len).unwrap_or_default().fill(0);
                for (start, offset, len) in pieces(text_len) {
                    let text = self.value.get(start..start + len).unwrap_or_default();
                    let len = match self.chip.wrap_envelope(ENVELOPE_SLOT, text, &mut *self.piece).await {
                        Err(Error::Device(Status::KeyNotFound)) => {
                            return Err(Error::from(Unsuitable::EnvelopeKeyMissing).into());
                        }
                        other => other?,
                    };
                    let envelope = self.piece.get(..len).unwrap_or_default();
                    self.chip.update(place.zone, body_offset(place, offset), envelope).await?;
                    crc.update(envelope);
                }
            }
        }
        let header = Header { crc: crc.finalize(), ..header };
        self.finish(entry, place, header).await?;
        Ok(header)
    }

    /// Copies a whole copy to the other side.
    async fn mirror(
        &mut self,
        entry: &Entry<T>,
        from: Place,
        to: Place,
        header: Header,
    ) -> Result<(), VaultError<T, I2C::Error>> {
        self.invalidate(to).await?;
        for (offset, len) in steps(header.body_len()) {
            let piece = self.piece.get_mut(..len).unwrap_or_default();
            self.chip.read(from.zone, body_offset(from, offset), piece).await?;
            self.chip.update(to.zone, body_offset(to, offset), piece).await?;
        }
        self.finish(entry, to, header).await
    }

    /// Erases the header, so that the body can be overwritten.
    async fn invalidate(&mut self, place: Place) -> Result<(), Error<I2C::Error>> {
        self.chip.update_atomic(place.zone, place.offset, &[0; HEADER_LEN]).await
    }

    /// Wipes what a longer value before left behind the body, and makes a body that reads back as written count.
    async fn finish(
        &mut self,
        entry: &Entry<T>,
        place: Place,
        header: Header,
    ) -> Result<(), VaultError<T, I2C::Error>> {
        let end = header.body_len();
        let rest = entry.slot_len() - HEADER_LEN - end;
        self.zero(place.zone, body_offset(place, end), rest).await?;
        if self.is_whole(place, header).await? {
            self.chip.update_atomic(place.zone, place.offset, &header.to_bytes()).await?;
            if self.header(entry, place).await? == Some(header) {
                return Ok(());
            }
        }
        Err(VaultError::NotWritten(entry.setting))
    }

    /// Zeroes the former place.
    async fn wipe_former(&mut self, entry: &Entry<T>) -> Result<(), VaultError<T, I2C::Error>> {
        match entry.former {
            None => Ok(()),
            Some(Former { zone, usable, .. }) => Ok(self.zero(zone, 0, usable.into()).await?),
        }
    }

    async fn unseal_value(&mut self, entry: &Entry<T>) -> Result<(), VaultError<T, I2C::Error>> {
        match self.find(entry.setting).await? {
            Found::Nothing => Ok(()),
            Found::Copy(Header { form: Form::Sealed, len, .. }) => {
                self.store(entry.setting, Form::Plain, len.into()).await
            }
            Found::Copy(_) => self.tidy(entry.setting).await,
            Found::Former { len } => self.store(entry.setting, Form::Plain, len).await,
        }
    }

    async fn pair_chip(
        &mut self,
        keys: &HostKeys,
        token: Irreversible,
    ) -> Result<bool, VaultError<T, I2C::Error>> {
        // Keys never travel in a session with older ones, whatever the chip says of itself.
        if self.is_sealed() {
            return Ok(false);
        }
        self.paired = self.chip.host_key_slot().await? != HostKeySlot::Empty;
        if self.paired {
            return Ok(false);
        }
        self.adopt().await?;
        if self.chip.envelope_keys().await?.key(ENVELOPE_SLOT).is_none() {
            self.chip.generate_envelope_key(ENVELOPE_SLOT, EnvelopeKeyKind::Aes128, token).await?;
        }
        self.chip.order_host_keys(keys).await?;
        self.paired = true;
        Ok(true)
    }

    /// Zeroes a part of a zone, where it is not zero yet.
    async fn zero(&mut self, zone: u8, offset: u16, len: usize) -> Result<(), Error<I2C::Error>> {
        for (step, len) in steps(len) {
            let offset = offset.saturating_add(len16(step));
            let piece = self.piece.get_mut(..len).unwrap_or_default();
            self.chip.read(zone, offset, piece).await?;
            if piece.iter().any(|byte| *byte != 0) {
                piece.fill(0);
                self.chip.update(zone, offset, piece).await?;
            }
        }
        Ok(())
    }
}

#[front]
impl<T: Setting, I2C: I2c, D: DelayNs> Vault<T, I2C, D> {
    /// Pairs the chip with this host: makes the local envelope key if there is none, and gives the chip the host keys.
    /// Before that it adopts what stands in clear in former places. Then go on with [`Self::into_sealed`] and
    /// [`adopt`](Self::adopt), which seals what is stored.
    ///
    /// Store the keys in the host first: a chip whose host keys are lost keeps its sealed values to itself for good.
    /// The keys travel in the clear.
    ///
    /// # Errors
    /// Those of [`Self::adopt`]; [`VaultError::Chip`]. If the chip has host keys already, nothing is done and the
    /// answer is `false`.
    pub async fn pair(
        &mut self,
        keys: &HostKeys,
        token: Irreversible,
    ) -> Result<bool, VaultError<T, I2C::Error>> {
        self.pair_chip(keys, token).await
    }

    /// The same vault with a host session. Nothing is sent.
    pub fn into_sealed(self, keys: HostKeys) -> Vault<T, I2C, D, Host<SoftCrypto>> {
        let Self { chip, paired, scope, .. } = self;
        let options = HostOptions { scope, ..HostOptions::default() };
        Vault::over(chip.host_session_with(keys, SoftCrypto, options), paired, scope)
    }
}

#[front]
impl<T: Setting, I2C: I2c, D: DelayNs> Vault<T, I2C, D, MaybeHost> {
    /// As [`Vault::pair`] of a plain vault. In a host session nothing is done, and the answer is `false`.
    ///
    /// # Errors
    /// Those of [`Self::adopt`]; [`VaultError::Chip`].
    pub async fn pair(
        &mut self,
        keys: &HostKeys,
        token: Irreversible,
    ) -> Result<bool, VaultError<T, I2C::Error>> {
        self.pair_chip(keys, token).await
    }

    /// Opens a host session, in place of the one there may be. Nothing is sent.
    pub fn open_session(&mut self, keys: HostKeys) {
        let options = HostOptions { scope: self.scope, ..HostOptions::default() };
        self.chip.channel_mut().0 = Some(Host::new(keys, SoftCrypto, options));
    }

    /// Ends the host session, if there is one; its keys are wiped.
    pub fn close_session(&mut self) {
        self.chip.channel_mut().0 = None;
    }

    /// Sends an echo with MACs, if there is a host session. When its answer is there, no command that failed before can
    /// still be executed: what a failed store has left is what will be.
    ///
    /// # Errors
    /// [`VaultError::Chip`]. Then nothing is proven.
    pub async fn settle(&mut self) -> Result<(), VaultError<T, I2C::Error>> {
        if self.is_sealed() {
            self.chip.echo(&[0x55]).await?;
        }
        Ok(())
    }

    /// Whether there is a host session.
    pub fn has_session(&self) -> bool {
        self.is_sealed()
    }
}

/// Whether these bytes can be a value of the setting.
fn is_value<T: Setting>(setting: T, value: &[u8]) -> bool {
    setting.entry().is_some_and(|entry| value.len() <= usize::from(entry.max_len) && (entry.check)(value))
}

/// Where byte `offset` of a copy's body lies in its zone. Within 16 bits: the table was checked.
fn body_offset(place: Place, offset: usize) -> u16 {
    place.offset.saturating_add(len16(HEADER_LEN + offset))
}

/// Cuts `len` bytes into steps the piece buffer can take: offset and length of each.
fn steps(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(MAX_PIECE).map(move |offset| (offset, MAX_PIECE.min(len - offset)))
}

//! The caller's table: which settings there are, and where their copies lie.

use core::fmt;

use super::record::{self, MAX_FORMER, MAX_LEN};
use crate::zone::{AccessCondition, Partition, ZoneKind};

/// The settings of a device: an enum of the caller's, with its table.
///
/// ```
/// use stsafe_a100::vault::{Entry, Place, Setting};
///
/// #[derive(Clone, Copy, Debug, PartialEq, Eq)]
/// enum MySetting {
///     DeviceKey,
///     Name,
/// }
///
/// impl Setting for MySetting {
///     const TABLE: &'static [Entry<Self>] = &[
///         Entry::new(Self::DeviceKey, 1, "device key", 32, [Place::new(0, 0), Place::new(7, 0)]).secret(),
///         Entry::new(Self::Name, 2, "name", 20, [Place::new(0, 64), Place::new(7, 64)]),
///     ];
/// }
/// ```
pub trait Setting: Copy + Eq + fmt::Debug + 'static {
    /// One entry for each setting.
    const TABLE: &'static [Entry<Self>];

    /// The setting's entry; `None` if the table has none.
    #[must_use]
    fn entry(self) -> Option<&'static Entry<Self>> {
        Self::TABLE.iter().find(|entry| entry.setting == self)
    }

    /// The setting's name; empty if the table has no entry for it.
    #[must_use]
    fn name(self) -> &'static str {
        self.entry().map_or("", |entry| entry.name)
    }
}

/// A place in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The zone.
    pub zone: u8,
    /// Offset in it.
    pub offset: u16,
}

impl Place {
    /// Byte `offset` of this zone.
    #[must_use]
    pub const fn new(zone: u8, offset: u16) -> Self {
        Self { zone, offset }
    }
}

/// Where a firmware that knew no vault kept a setting: from the beginning of a zone. On a chip that is paired the text
/// is in local envelopes, 480 bytes of text in 488 bytes of the zone at a time.
#[derive(Clone, Copy, Debug)]
pub struct Former {
    /// The zone.
    pub zone: u8,
    /// Bytes of text it has room for, without the envelopes' overhead. As many bytes of the zone are zeroed when the
    /// setting has been stored anew; copies of settings may lie behind them.
    pub usable: u16,
    /// Bytes of text that must be read to know the value.
    pub window: u16,
    /// Takes the value from the text in the buffer, `window` bytes or what there is of them, and leaves it at the
    /// front. It must not panic, whatever stands there.
    pub decode: fn(&mut [u8]) -> FormerValue,
}

impl Former {
    /// Bytes of text in the envelopes that must be opened to know the value.
    fn needed(&self) -> usize {
        self.envelopes().map(|(start, _, len)| start + len).last().unwrap_or(0)
    }

    /// The envelopes that must be opened, as [`record::pieces`].
    pub(crate) fn envelopes(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let window = usize::from(self.window);
        record::pieces(self.usable.into()).take_while(move |(start, ..)| *start < window)
    }
}

/// What stands in a former place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormerValue {
    /// A value of this many bytes, now at the start of the buffer.
    Value(usize),
    /// Nothing: erased, or an empty text.
    Nothing,
    /// Neither.
    Invalid,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry<T> {
    /// The setting.
    pub setting: T,
    /// Its number in the stored header. It never changes, and no other setting gets it.
    pub number: u8,
    /// Its name in messages.
    pub name: &'static str,
    /// Longest value in bytes, at most [`MAX_LEN`](super::MAX_LEN).
    pub max_len: u16,
    /// A secret is never shown, and the chip can make one: [`generate`](crate::blocking::Vault::generate).
    pub secret: bool,
    /// Whether these bytes can be a value, once they are not too long.
    pub check: fn(&[u8]) -> bool,
    /// Its two copies; each takes [`slot_len`] bytes.
    pub copies: [Place; 2],
    /// Where it is looked for if it has no copies yet.
    pub former: Option<Former>,
}

const fn any(_: &[u8]) -> bool {
    true
}

impl<T: Copy> Entry<T> {
    /// A setting that is no secret and takes any value of up to `max_len` bytes.
    #[must_use]
    pub const fn new(setting: T, number: u8, name: &'static str, max_len: u16, copies: [Place; 2]) -> Self {
        Self { setting, number, name, max_len, secret: false, check: any, copies, former: None }
    }

    /// The same, as a secret.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The same, with a condition that values must fulfil.
    #[must_use]
    pub const fn checked(self, check: fn(&[u8]) -> bool) -> Self {
        Self { check, ..self }
    }

    /// The same, with a place where an earlier firmware kept it.
    #[must_use]
    pub const fn formerly(self, former: Former) -> Self {
        Self { former: Some(former), ..self }
    }

    pub(crate) fn slot_len(&self) -> usize {
        slot_len(self.max_len)
    }
}

/// Bytes a copy of a setting takes in a zone, header included, for a value of `max_len` bytes in the larger form.
#[must_use]
pub const fn slot_len(max_len: u16) -> usize {
    record::HEADER_LEN + record::sealed_len(max_len as usize)
}

/// Checks that numbers are not used twice, that values are not too long, that copies lie within zones of the chip that
/// this host may use (with host C-MAC if `host`), that they do not overlap each other or a former place, and that the
/// two sides share no zone.
///
/// # Errors
/// [`Misfit`] with the first setting that does not fit.
pub(crate) fn check<T: Setting>(
    table: &[Entry<T>],
    partition: &Partition<'_>,
    host: bool,
) -> Result<(), Misfit<T>> {
    for (index, entry) in table.iter().enumerate() {
        check_entry(entry, partition, host)
            .and_then(|()| {
                table.iter().enumerate().try_for_each(|(at, other)| check_pair(entry, other, at == index))
            })
            .map_err(|problem| Misfit { setting: entry.setting, problem })?;
    }
    Ok(())
}

fn check_entry<T: Setting>(entry: &Entry<T>, partition: &Partition<'_>, host: bool) -> Result<(), Problem> {
    if usize::from(entry.max_len) > MAX_LEN || entry.former.is_some_and(|former| former.needed() > MAX_FORMER)
    {
        return Err(Problem::Length);
    }
    let allowed =
        |condition| condition == AccessCondition::Always || (host && condition == AccessCondition::Host);
    let former = entry.former.map(|former| (former.zone, usize::from(former.usable)));
    let copies = entry.copies.map(|place| (place.zone, usize::from(place.offset) + entry.slot_len()));
    for (zone, end) in copies.into_iter().chain(former) {
        let zone = partition.zone(zone).filter(|zone| zone.kind == ZoneKind::Data).ok_or(Problem::Zone)?;
        if end > usize::from(zone.size) {
            return Err(Problem::Size);
        }
        if !allowed(zone.read.condition) || !allowed(zone.update.condition) {
            return Err(Problem::Access);
        }
    }
    Ok(())
}

fn check_pair<T: Setting>(entry: &Entry<T>, other: &Entry<T>, same: bool) -> Result<(), Problem> {
    let [a, b] = entry.copies;
    let [other_a, other_b] = other.copies;
    // What is zeroed after a former place was read.
    let is_former = |place: Place| {
        other.former.is_some_and(|former| former.zone == place.zone && place.offset < former.usable)
    };
    if a.zone == other_b.zone || is_former(a) || is_former(b) {
        return Err(Problem::Shared);
    }
    if same {
        return Ok(());
    }
    if entry.number == other.number || entry.setting == other.setting {
        return Err(Problem::Number);
    }
    let overlap = |one: Place, two: Place| {
        one.zone == two.zone
            && usize::from(one.offset) < usize::from(two.offset) + other.slot_len()
            && usize::from(two.offset) < usize::from(one.offset) + entry.slot_len()
    };
    if overlap(a, other_a) || overlap(b, other_b) { Err(Problem::Overlap) } else { Ok(()) }
}

/// Whether the chip wants a C-MAC on reads of one of the zones that the table uses.
pub(crate) fn reads_want_mac<T: Setting>(table: &[Entry<T>], partition: &Partition<'_>) -> bool {
    let zones = table.iter().flat_map(|entry| {
        entry.copies.map(|place| place.zone).into_iter().chain(entry.former.map(|former| former.zone))
    });
    zones.filter_map(|zone| partition.zone(zone)).any(|zone| zone.read.condition != AccessCondition::Always)
}

/// Why a table does not fit a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Misfit<T> {
    /// The first setting that does not fit.
    pub setting: T,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Problem {
    Number,
    Length,
    Zone,
    Size,
    Access,
    Shared,
    Overlap,
}

impl<T: Setting> fmt::Display for Misfit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Number => "another setting has the same number or stands in the table twice",
            Problem::Length => "it may be longer than a vault can keep",
            Problem::Zone => "the chip has no such data zone",
            Problem::Size => "the zone is too small",
            Problem::Access => "this host may not read and update the zone",
            Problem::Shared => "the two copies share a zone, or a copy lies in a former place",
            Problem::Overlap => "it overlaps another setting",
        };
        write!(f, "no room for the {} in this chip: {problem}", self.setting.name())
    }
}

impl<T: Setting> core::error::Error for Misfit<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writer;
    use crate::zone::{Access, Zone};
    use std::vec::Vec;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Two {
        Key,
        Name,
    }

    const TABLE: [Entry<Two>; 2] =
        [
            Entry::new(Two::Key, 1, "key", 32, [Place::new(0, 0), Place::new(1, 0)])
                .secret()
                .formerly(Former { zone: 2, usable: 40, window: 33, decode: |_| FormerValue::Nothing }),
            Entry::new(Two::Name, 2, "name", 20, [Place::new(0, 64), Place::new(1, 64)]),
        ];

    impl Setting for Two {
        const TABLE: &'static [Entry<Self>] = &TABLE;
    }

    fn partition(change: impl Fn(&mut Zone)) -> Vec<u8> {
        let mut buf = [0; 128];
        let mut w = Writer::new(&mut buf);
        w.u8(3).unwrap();
        for (index, size) in [(0, 64 + 56), (1, 64 + 56), (2, 200)] {
            let open = Access { condition: AccessCondition::Always, changeable: false };
            let mut zone = Zone { index, kind: ZoneKind::Data, read: open, update: open, size };
            change(&mut zone);
            zone.emit(&mut w).unwrap();
        }
        w.finish().to_vec()
    }

    fn checked(table: &[Entry<Two>], host: bool, change: impl Fn(&mut Zone)) -> Result<(), Problem> {
        let bytes = partition(change);
        check(table, &Partition::parse(&bytes).unwrap(), host).map_err(|misfit| misfit.problem)
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!((slot_len(32), slot_len(20)), (64, 56));
        let fits = |change: fn(&mut Zone)| checked(&TABLE, false, change);
        assert_eq!(fits(|_| {}), Ok(()));
        assert_eq!(fits(|zone| zone.size -= 1), Err(Problem::Size));
        assert_eq!(fits(|zone| zone.kind = ZoneKind::Counter { value: 1 }), Err(Problem::Zone));
        assert_eq!(fits(|zone| zone.index += 20), Err(Problem::Zone));
        let host = |zone: &mut Zone| zone.update.condition = AccessCondition::Host;
        assert_eq!(fits(host), Err(Problem::Access));
        assert_eq!(checked(&TABLE, true, host), Ok(()));

        let changed = |change: fn(&mut [Entry<Two>; 2])| {
            let mut table = TABLE;
            change(&mut table);
            checked(&table, false, |_| {})
        };
        assert_eq!(changed(|table| table[1].number = 1), Err(Problem::Number));
        assert_eq!(changed(|table| table[1].setting = Two::Key), Err(Problem::Number));
        assert_eq!(changed(|table| table[0].max_len = 600), Err(Problem::Length));
        assert_eq!(changed(|table| table[0].copies.swap(0, 1)), Err(Problem::Shared));
        assert_eq!(changed(|table| table[1].copies[0].offset = 63), Err(Problem::Overlap));
        assert_eq!(changed(|table| table[1].copies[1] = Place::new(2, 39)), Err(Problem::Shared));
        assert_eq!(changed(|table| table[1].copies[1] = Place::new(2, 40)), Ok(()));
    }

    #[test]
    fn reads_are_protected_where_the_chip_demands_it() {
        for (condition, expected) in [(AccessCondition::Always, false), (AccessCondition::Host, true)] {
            let bytes = partition(|zone| zone.read.condition = condition);
            assert_eq!(reads_want_mac(&TABLE, &Partition::parse(&bytes).unwrap()), expected);
        }
    }
}

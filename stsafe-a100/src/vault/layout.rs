//! Where each setting's copies lie.

use core::fmt;

use super::record::MAX_LEGACY;
use super::{Setting, legacy};
use crate::zone::{AccessCondition, Partition, ZoneKind};

/// A place in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The zone.
    pub zone: u8,
    /// Offset in it.
    pub offset: u16,
}

/// Where the original firmware keeps a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyPlace {
    /// The zone; the text starts at its beginning.
    pub zone: u8,
    /// Bytes of text it has room for, as the original counts: without the envelopes' overhead.
    pub usable: u16,
}

/// The places of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The setting.
    pub setting: Setting,
    /// Its two copies; each takes [`Setting::slot_len`] bytes.
    pub copies: [Place; 2],
    /// Where it is looked for if it has no copies yet.
    pub legacy: Option<LegacyPlace>,
}

/// A layout: one entry for each setting, in the order of [`Setting::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The entries.
    pub entries: [Entry; Setting::ALL.len()],
}

const fn entry(setting: Setting, a: (u8, u16), b: (u8, u16), legacy: Option<(u8, u16)>) -> Entry {
    Entry {
        setting,
        copies: [Place { zone: a.0, offset: a.1 }, Place { zone: b.0, offset: b.1 }],
        legacy: match legacy {
            Some((zone, usable)) => Some(LegacyPlace { zone, usable }),
            None => None,
        },
    }
}

impl Layout {
    /// The layout for the chip on the AZ3166. The first copies take zones 0 and 2, the second ones zones 7 and 8; the
    /// original's zones 3, 5, 6 and 10 are only read, and zeroed when their setting has been stored anew. (The original
    /// kept an X.509 certificate typed into its web page in zones 0, 7 and 8. It is overwritten.)
    pub const AZ3166: Self = Self {
        entries: [
            entry(Setting::Uds, (2, 0), (7, 96), Some((6, 680))),
            entry(Setting::WifiSsid, (2, 64), (7, 160), Some((3, 120))),
            entry(Setting::WifiPassword, (0, 872), (7, 0), Some((10, 88))),
            entry(Setting::Connection, (0, 0), (8, 0), Some((5, 584))),
            entry(Setting::DpsEndpoint, (0, 552), (8, 552), None),
            entry(Setting::DpsIdScope, (2, 128), (7, 224), None),
            entry(Setting::RegistrationId, (0, 712), (8, 712), None),
        ],
    };

    /// A setting's places.
    pub(crate) fn entry(&self, setting: Setting) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.setting == setting)
    }

    /// Checks that each setting has its entry, that copies lie within zones of the chip that this host may use (with
    /// host C-MAC if `host`), that they do not overlap, and that the two sides share no zone.
    ///
    /// # Errors
    /// [`Misfit`] with the first setting that does not fit.
    pub fn check(&self, partition: &Partition<'_>, host: bool) -> Result<(), Misfit> {
        for (entry, setting) in self.entries.iter().zip(Setting::ALL) {
            let misfit = |problem| Err(Misfit { setting, problem });
            if entry.setting != setting {
                return misfit(Problem::Order);
            }
            let allowed = |condition| {
                condition == AccessCondition::Always || (host && condition == AccessCondition::Host)
            };
            let old = entry.legacy.map(|old| (old.zone, usize::from(old.usable)));
            let copies =
                entry.copies.map(|place| (place.zone, usize::from(place.offset) + setting.slot_len()));
            for (zone, end) in copies.into_iter().chain(old) {
                match partition.zone(zone) {
                    Some(zone) if zone.kind == ZoneKind::Data => {
                        if end > usize::from(zone.size) {
                            return misfit(Problem::Size);
                        }
                        if !allowed(zone.read.condition) || !allowed(zone.update.condition) {
                            return misfit(Problem::Access);
                        }
                    }
                    _ => return misfit(Problem::Zone),
                }
            }
            if entry.legacy.is_some_and(|old| legacy::needed(setting, old.usable.into()) > MAX_LEGACY) {
                return misfit(Problem::Size);
            }
            for other in &self.entries {
                let [a, b] = entry.copies;
                let [other_a, other_b] = other.copies;
                if a.zone == other_b.zone
                    || other.legacy.is_some_and(|old| [a.zone, b.zone].contains(&old.zone))
                {
                    return misfit(Problem::Shared);
                }
                let overlap = |one: Place, two: Place| {
                    one.zone == two.zone
                        && usize::from(one.offset) < usize::from(two.offset) + other.setting.slot_len()
                        && usize::from(two.offset) < usize::from(one.offset) + setting.slot_len()
                };
                if other.setting != setting && (overlap(a, other_a) || overlap(b, other_b)) {
                    return misfit(Problem::Overlap);
                }
            }
        }
        Ok(())
    }
}

/// Why a layout does not fit a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Misfit {
    /// The first setting that does not fit.
    pub setting: Setting,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Problem {
    Order,
    Zone,
    Size,
    Access,
    Shared,
    Overlap,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Order => "it is not in its place in the layout",
            Problem::Zone => "the chip has no such data zone",
            Problem::Size => "the zone is too small",
            Problem::Access => "the zone may not be read and updated by this host",
            Problem::Shared => "the two sides, or a side and the original's zones, share a zone",
            Problem::Overlap => "it overlaps another setting",
        };
        write!(f, "the layout of the {} does not fit: {problem}", self.setting)
    }
}

impl core::error::Error for Misfit {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writer;
    use crate::zone::{Access, Zone};
    use std::vec::Vec;

    /// The usable sizes of the AZ3166's zones, the smallest its chip can have.
    const SIZES: [(u8, u16); 8] =
        [(0, 976), (2, 192), (3, 120), (5, 584), (6, 680), (7, 784), (8, 880), (10, 88)];

    fn table(change: impl Fn(&mut Zone)) -> Vec<u8> {
        let mut buf = [0; 128];
        let mut w = Writer::new(&mut buf);
        w.u8(8).unwrap();
        for (index, size) in SIZES {
            let open = Access { condition: AccessCondition::Always, changeable: false };
            let mut zone = Zone { index, kind: ZoneKind::Data, read: open, update: open, size };
            change(&mut zone);
            zone.emit(&mut w).unwrap();
        }
        w.finish().to_vec()
    }

    fn check(layout: &Layout, host: bool, change: impl Fn(&mut Zone)) -> Result<(), Problem> {
        let table = table(change);
        layout.check(&Partition::parse(&table).unwrap(), host).map_err(|misfit| misfit.problem)
    }

    #[test]
    fn the_az3166_layout_fits_the_az3166() {
        assert_eq!(check(&Layout::AZ3166, false, |_| {}), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let fits = |layout: &Layout, change: fn(&mut Zone)| check(layout, false, change);
        assert_eq!(fits(&Layout::AZ3166, |zone| zone.size -= 40), Err(Problem::Size));
        assert_eq!(
            fits(&Layout::AZ3166, |zone| zone.kind = ZoneKind::Counter { value: 1 }),
            Err(Problem::Zone)
        );
        assert_eq!(fits(&Layout::AZ3166, |zone| zone.index += 20), Err(Problem::Zone));
        let host = |zone: &mut Zone| zone.update.condition = AccessCondition::Host;
        assert_eq!(fits(&Layout::AZ3166, host), Err(Problem::Access));
        assert_eq!(check(&Layout::AZ3166, true, host), Ok(()));

        let changed = |change: fn(&mut [Entry; 7])| {
            let mut layout = Layout::AZ3166;
            change(&mut layout.entries);
            fits(&layout, |_| {})
        };
        assert_eq!(changed(|entries| entries.swap(0, 1)), Err(Problem::Order));
        assert_eq!(changed(|entries| entries[0].copies.swap(0, 1)), Err(Problem::Shared));
        assert_eq!(changed(|entries| entries[1].copies[0].offset = 63), Err(Problem::Overlap));
        assert_eq!(changed(|entries| entries[1].copies[0].offset = 65), Err(Problem::Overlap));
        assert_eq!(changed(|entries| entries[1].copies[1].zone = 6), Err(Problem::Shared));
    }
}

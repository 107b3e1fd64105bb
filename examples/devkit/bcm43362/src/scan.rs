//! Scans: what is asked for, and the networks that are found.

use crate::field::{Writer, byte_at, u16_at, u32_at};
use crate::join::Ssid;

/// Bytes of a scan's parameters.
pub(crate) const PARAMETERS_LEN: usize = 76;
/// Where the first network of a result is.
const NETWORK_AT: usize = 12;
/// Bytes of a network's fixed fields that are looked at.
const FIXED_LEN: usize = 124;
/// In a network's capabilities: it is not open.
const PRIVACY: u16 = 0x10;
/// Elements of a beacon.
const RSN: u8 = 48;
const VENDOR: u8 = 221;

/// How a network is secured, by what its beacon says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkSecurity {
    /// Not at all.
    Open,
    /// WEP, which this driver does not join.
    Wep,
    /// WPA with a passphrase.
    Wpa,
    /// WPA2 with a passphrase; WPA or WPA3 may be possible as well.
    Wpa2,
    /// The same with TKIP in it, mostly for stations that use WPA.
    Wpa2Mixed,
    /// WPA3 only, which the chip cannot.
    Wpa3,
    /// With a server (802.1X), which this driver does not join.
    Enterprise,
}

/// A network that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name; empty if it hides it.
    pub ssid: Ssid,
    /// The access point's address.
    pub bssid: [u8; 6],
    /// Its channel.
    pub channel: u8,
    /// Its signal, in dBm.
    pub rssi: i16,
    /// How it is secured.
    pub security: NetworkSecurity,
}

impl Network {
    /// Reads the data of a scan's partial result; `None` if there is no network in it, or a damaged one.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        let count = u16_at(data, 10);
        let info = data.get(NETWORK_AT..).filter(|info| info.len() >= FIXED_LEN && count > 0)?;
        let len = usize::try_from(u32_at(info, 4)).ok()?;
        let info = info.get(..len).filter(|info| info.len() >= FIXED_LEN)?;
        let name = info.get(19..)?.get(..usize::from(byte_at(info, 18)))?;
        let at = usize::from(u16_at(info, 116));
        let elements = usize::try_from(u32_at(info, 120)).ok()?;
        let elements = info.get(at..)?.get(..elements)?;
        let channel = match byte_at(info, 88) {
            0 => byte_at(info, 72),
            control => control,
        };
        Some(Self {
            // A hidden network sends none, or zeros in its place.
            ssid: Ssid::new(if name.iter().all(|byte| *byte == 0) { &[] } else { name }).ok()?,
            bssid: *info.get(8..)?.first_chunk()?,
            channel,
            rssi: u16_at(info, 78).cast_signed(),
            security: security(u16_at(info, 16), elements),
        })
    }
}

/// What the elements of a beacon say; damaged ones end them.
fn security(capabilities: u16, mut elements: &[u8]) -> NetworkSecurity {
    let mut found = match capabilities & PRIVACY {
        0 => NetworkSecurity::Open,
        _ => NetworkSecurity::Wep,
    };
    while let [id, len, rest @ ..] = elements {
        let Some((element, next)) = rest.split_at_checked(usize::from(*len)) else { break };
        match (*id, element) {
            (RSN, element) => return rsn(element),
            (VENDOR, [0x00, 0x50, 0xF2, 0x01, element @ ..]) => {
                found = if key_managements(element).any(|kind| kind == 2) {
                    NetworkSecurity::Wpa
                } else {
                    NetworkSecurity::Enterprise
                };
            }
            _ => {}
        }
        elements = next;
    }
    found
}

fn rsn(element: &[u8]) -> NetworkSecurity {
    let has = |wanted: &[u8]| key_managements(element).any(|kind| wanted.contains(&kind));
    if has(&[2, 6]) {
        // AES only, of what goes to all and of what goes to one.
        let group = byte_at(element, 5);
        let mut pairwise = element.get(8..).unwrap_or_default().chunks_exact(4).take(pairwise_count(element));
        let is_aes = |suite: &[u8]| byte_at(suite, 3) == 4;
        if group == 4 && pairwise.any(is_aes) { NetworkSecurity::Wpa2 } else { NetworkSecurity::Wpa2Mixed }
    } else if has(&[8]) {
        NetworkSecurity::Wpa3
    } else {
        NetworkSecurity::Enterprise
    }
}

/// The key managements of an element: version, group cipher, pairwise ciphers, and these; of each the last byte counts.
fn key_managements(element: &[u8]) -> impl Iterator<Item = u8> {
    let at = 8 + 4 * pairwise_count(element);
    let count = usize::from(u16_at(element, at));
    let suites = element.get(at + 2..).unwrap_or_default();
    suites.chunks_exact(4).take(count).map(|suite| byte_at(suite, 3))
}

fn pairwise_count(element: &[u8]) -> usize {
    usize::from(u16_at(element, 6))
}

/// The parameters of an active scan over all channels, for one name or for all.
pub(crate) fn parameters(ssid: Option<&Ssid>, sync: u16) -> [u8; PARAMETERS_LEN] {
    let mut bytes = [0; PARAMETERS_LEN];
    let name = ssid.map(Ssid::as_bytes).unwrap_or_default();
    let mut padded = [0; 32];
    padded.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    let _ = Writer::new(&mut bytes)
        .put(&1_u32.to_le_bytes())
        .put(&1_u16.to_le_bytes())
        .put(&sync.to_le_bytes())
        .put(&u32::try_from(name.len()).unwrap_or_default().to_le_bytes())
        .put(&padded)
        // Any access point, of any kind; active; and the firmware's own numbers and times.
        .put(&[0xFF; 6])
        .put(&[2, 0])
        .put(&[0xFF; 16]);
    bytes
}

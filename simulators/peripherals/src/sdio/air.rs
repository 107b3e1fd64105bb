//! The radio channel: the networks around the radio, and the frames of the one it is in.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Frames that wait on their way, each way; what is more is lost, as in the air.
const WAITING: usize = 256;

/// How a network is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AirSecurity {
    /// Not at all.
    Open,
    /// WPA with this passphrase.
    Wpa(String),
    /// WPA2 with this passphrase.
    Wpa2(String),
    /// WPA2 and WPA side by side, with this passphrase: what goes to all of its stations is encrypted with TKIP.
    Mixed(String),
}

impl AirSecurity {
    fn passphrase(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Wpa(passphrase) | Self::Wpa2(passphrase) | Self::Mixed(passphrase) => Some(passphrase),
        }
    }
}

/// A network in reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AirNetwork {
    /// Its name.
    pub ssid: String,
    /// Its access point's address.
    pub bssid: [u8; 6],
    /// Its channel.
    pub channel: u8,
    /// Its signal at the radio, in dBm.
    pub rssi: i16,
    /// How it is secured.
    pub security: AirSecurity,
    /// Whether its beacons keep the name to themselves.
    pub is_hidden: bool,
}

impl AirNetwork {
    /// A network on channel 6 with a fair signal.
    #[must_use]
    pub fn new(ssid: &str, security: AirSecurity) -> Self {
        let (bssid, ssid) = ([0x02, 0, 0, 0xA9, 0, 1], ssid.to_owned());
        Self { ssid, bssid, channel: 6, rssi: -55, security, is_hidden: false }
    }

    /// Whether a key opens it: its passphrase as text, or the 64 digits made of it (IEEE 802.11i, annex H.4).
    pub(super) fn opens(&self, key: &[u8], is_passphrase: bool) -> bool {
        let Some(passphrase) = self.security.passphrase() else { return true };
        if is_passphrase {
            key == passphrase.as_bytes()
        } else {
            key.eq_ignore_ascii_case(pairwise_master_key(passphrase, &self.ssid).as_bytes())
        }
    }
}

/// 64 hexadecimal digits: PBKDF2 with HMAC-SHA-1, 4096 rounds.
fn pairwise_master_key(passphrase: &str, ssid: &str) -> String {
    let prf = |parts: [&[u8]; 2]| -> [u8; 20] {
        let mut mac = Hmac::<Sha1>::new_from_slice(passphrase.as_bytes()).expect("any length will do");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    };
    let blocks = (1_u32..=2).flat_map(|index| {
        let mut round = prf([ssid.as_bytes(), &index.to_be_bytes()]);
        let mut sum = round;
        for _ in 1..4096 {
            round = prf([&round, &[]]);
            sum.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    });
    hex::encode(blocks.take(32).collect::<Vec<u8>>())
}

/// What happens to the radio's association from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// The access point sends the station away.
    Deauthenticated(u32),
    /// The access point is out of range.
    Gone,
}

type Callback = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Inner {
    networks: Vec<AirNetwork>,
    joined: Option<[u8; 6]>,
    happenings: VecDeque<Happening>,
    to_network: VecDeque<Vec<u8>>,
    to_station: VecDeque<Vec<u8>>,
    on_frame: Option<Callback>,
}

/// The air. Its clones are the same air.
#[derive(Clone, Default)]
pub struct Air(Arc<Mutex<Inner>>);

impl fmt::Debug for Air {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Air").field("networks", &self.networks()).finish_non_exhaustive()
    }
}

impl Air {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The networks there are.
    #[must_use]
    pub fn networks(&self) -> Vec<AirNetwork> {
        self.inner().networks.clone()
    }

    /// A network comes into reach, in the place of one with its access point's address.
    pub fn add(&self, network: AirNetwork) {
        let mut inner = self.inner();
        inner.networks.retain(|other| other.bssid != network.bssid);
        inner.networks.push(network);
    }

    /// An access point goes out of reach. Gives its network.
    #[must_use]
    pub fn remove(&self, bssid: [u8; 6]) -> Option<AirNetwork> {
        let mut inner = self.inner();
        let at = inner.networks.iter().position(|network| network.bssid == bssid)?;
        if inner.joined == Some(bssid) {
            inner.happenings.push_back(Happening::Gone);
        }
        Some(inner.networks.remove(at))
    }

    /// The access point ends the authentication of the radio, if it is in a network, for a reason of IEEE 802.11.
    /// Gives whether it was.
    #[must_use]
    pub fn deauthenticate(&self, reason: u32) -> bool {
        let mut inner = self.inner();
        let is_joined = inner.joined.is_some();
        if is_joined {
            inner.happenings.push_back(Happening::Deauthenticated(reason));
        }
        is_joined
    }

    /// The access point whose network the radio is in.
    #[must_use]
    pub fn joined(&self) -> Option<[u8; 6]> {
        self.inner().joined
    }

    /// The next Ethernet frame that the radio has sent into its network.
    #[must_use]
    pub fn take(&self) -> Option<Vec<u8>> {
        self.inner().to_network.pop_front()
    }

    /// Sends an Ethernet frame to the radio. Gives whether it is on its way: there has to be room, and the radio in a
    /// network.
    #[must_use]
    pub fn send(&self, frame: Vec<u8>) -> bool {
        let mut inner = self.inner();
        let is_possible = inner.joined.is_some() && inner.to_station.len() < WAITING;
        if is_possible {
            inner.to_station.push_back(frame);
        }
        is_possible
    }

    /// Calls this whenever the radio has sent a frame or its association has changed, from within the card: it may do
    /// no more than wake someone.
    pub fn on_frame(&self, callback: impl Fn() + Send + Sync + 'static) {
        self.inner().on_frame = Some(Arc::new(callback));
    }

    pub(super) fn set_joined(&self, joined: Option<[u8; 6]>) {
        let mut inner = self.inner();
        inner.joined = joined;
        inner.happenings.clear();
        inner.to_station.clear();
        Self::call(inner);
    }

    pub(super) fn happening(&self) -> Option<Happening> {
        self.inner().happenings.pop_front()
    }

    pub(super) fn transmit(&self, frame: Vec<u8>) {
        let mut inner = self.inner();
        if inner.to_network.len() < WAITING {
            inner.to_network.push_back(frame);
        }
        Self::call(inner);
    }

    fn call(inner: MutexGuard<'_, Inner>) {
        let callback = inner.on_frame.clone();
        drop(inner);
        if let Some(callback) = callback {
            callback();
        }
    }

    pub(super) fn next_for_station(&self) -> Option<Vec<u8>> {
        self.inner().to_station.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::{AirNetwork, AirSecurity, pairwise_master_key};

    #[test]
    fn keys_are_made_as_the_standard_says() {
        // IEEE 802.11i, H.4.
        let expected = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        assert_eq!(pairwise_master_key("password", "IEEE"), expected);
        let network = AirNetwork::new("IEEE", AirSecurity::Wpa2("password".to_owned()));
        assert!(network.opens(b"password", true) && network.opens(expected.to_uppercase().as_bytes(), false));
        assert!(!network.opens(b"Password", true) && !network.opens(&[b'0'; 64], false));
    }
}

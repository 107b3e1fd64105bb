//! The time for a device that has no clock: a client of the Simple Network Time Protocol (RFC 4330, RFC 5905 §14),
//! sans-IO.
//!
//! A [`Request`] gives 48 bytes to send to UDP port 123 of a server and judges the answer. What comes out is what
//! [`Trust::at`](crate::Trust::at) wants: the time must be known before certificates are judged.
//!
//! ```
//! use azure_iot_tls::sntp::{Error, Request};
//!
//! /// When this firmware was built: no time is before it.
//! const BUILT: u64 = 1_780_000_000;
//!
//! fn ask(random: [u8; 8], mut exchange: impl FnMut(&[u8]) -> ([u8; 48], u32)) -> Result<u64, Error> {
//!     let request = Request::new(random);
//!     let (answer, waited_ms) = exchange(&request.bytes()); // UDP, with a limit of a second or so
//!     Ok(request.accept(&answer, waited_ms, BUILT)?.unix_seconds)
//! }
//! ```
//!
//! # What it is worth
//! Plain SNTP is not authenticated. Whoever can read the request on its way, or controls the network or its name
//! server, can set the device's clock to any time after the floor that is given to [`accept`](Request::accept). With
//! that they can make an expired certificate look valid, whose key they hold, or make connections fail. They cannot
//! make any other certificate valid. Whoever cannot see the request cannot answer it: 64 random bits are in it, which
//! the answer must repeat.
//!
//! The other way without a clock is the `Date` header of a first HTTPS answer (`dps_client::https` reads it), over a
//! TLS connection whose [`Trust`](crate::Trust) has no time: only who holds a certificate for that host, valid or
//! expired, can set the time then, at the price of one more connection. After that the device connects anew, with the
//! time.

mod error;

pub use error::{Error, Kiss};

/// Length of a request and of the part of an answer that is read, in bytes.
pub const PACKET_LEN: usize = 48;

/// The longest time between request and answer that is accepted, in milliseconds: the error of the time is at most
/// half of it.
pub const MAX_WAIT_MS: u32 = 5_000;

const VERSION_4_CLIENT: u8 = 0b00_100_011;
/// The mode of an answer.
const SERVER: u8 = 4;

/// Seconds from 1900, where NTP begins, to 1970.
const UNIX_OFFSET: u64 = 2_208_988_800;

/// One question to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    nonce: [u8; 8],
}

/// The time at which an answer arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: u64,
    /// And milliseconds, 0 to 999.
    pub millis: u16,
    /// How many servers stand between this one and a reference clock, and one more: 1 to 15.
    pub stratum: u8,
}

impl Request {
    /// Makes a request that only its answer can match: eight bytes of the caller's random number generator.
    ///
    /// They stand in the place of the device's own time, which it does not have and which would be nobody's business.
    #[must_use]
    pub const fn new(random: [u8; 8]) -> Self {
        Self { nonce: random }
    }

    /// What is to be sent: version 4, mode client, and the transmit timestamp.
    #[must_use]
    pub const fn bytes(&self) -> [u8; PACKET_LEN] {
        let mut packet = [0; PACKET_LEN];
        if let Some(transmit) = packet.last_chunk_mut() {
            *transmit = self.nonce;
        }
        let [first, ..] = &mut packet;
        *first = VERSION_4_CLIENT;
        packet
    }

    /// Judges a datagram that came `waited_ms` milliseconds after the request was sent, and gives the time at which
    /// it came.
    ///
    /// `not_before`, seconds since 1970, is a time that is certainly over: when the firmware was built, or the last
    /// time known. NTP counts seconds modulo 2³²; the answer is taken to be the first such time from there on (RFC
    /// 5905 §6), so that the year 2036 needs no attention.
    ///
    /// What follows the first 48 bytes, extensions and authenticators, is not looked at.
    ///
    /// # Errors
    /// [`Error::NotTheAnswer`] says that the datagram has nothing to do with the request: wait on for another. All
    /// others end this question; [`Error::Kiss`] asks for more, see [`Kiss`].
    pub fn accept(&self, datagram: &[u8], waited_ms: u32, not_before: u64) -> Result<Time, Error> {
        let packet: &[u8; PACKET_LEN] = datagram.first_chunk().ok_or(Error::NotTheAnswer)?;
        let [first, stratum, _, _, rest @ ..] = packet;
        let (delay, rest) = word(rest);
        let (dispersion, rest) = word(rest);
        let (reference, rest) = word(rest);
        let (_, rest) = long(rest);
        let (originate, rest) = long(rest);
        let (receive, rest) = long(rest);
        let (transmit, _) = long(rest);
        let (leap, version, mode) = (first >> 6, (first >> 3) & 7, first & 7);
        if originate != u64::from_be_bytes(self.nonce) || mode != SERVER || !(3..=4).contains(&version) {
            return Err(Error::NotTheAnswer);
        }
        match stratum {
            0 => return Err(Error::Kiss(Kiss(reference.to_be_bytes()))),
            1..=15 => {}
            _ => return Err(Error::Unsynchronised),
        }
        // Leap indicator 3 is the alarm. Delay and dispersion are 16.16 bit seconds: from one second on they tell of
        // trouble.
        if leap == 3 || transmit == 0 || receive == 0 {
            return Err(Error::Unsynchronised);
        }
        if delay >= 1 << 16 || dispersion >= 1 << 16 {
            return Err(Error::Inaccurate);
        }
        if waited_ms > MAX_WAIT_MS {
            return Err(Error::Slow);
        }
        // The server's own working time is in no other clock than its own.
        let inside_ms = to_millis(transmit.wrapping_sub(receive));
        let way_ms = u64::from(waited_ms).checked_sub(inside_ms).ok_or(Error::Inaccurate)? / 2;
        let at = to_millis(transmit) + way_ms;
        let (seconds, millis) = (at / 1_000, at % 1_000);
        Ok(Time {
            unix_seconds: after(not_before, seconds),
            millis: u16::try_from(millis).unwrap_or_default(), // below 1000
            stratum: *stratum,
        })
    }
}

/// The first time from `not_before` on that is `ntp_seconds` modulo 2³².
fn after(not_before: u64, ntp_seconds: u64) -> u64 {
    const ERA: u64 = 1 << 32;
    let floor = not_before.saturating_add(UNIX_OFFSET);
    let ahead = (ntp_seconds % ERA + ERA - floor % ERA) % ERA;
    not_before.saturating_add(ahead)
}

/// Milliseconds of a timestamp or a span in 32.32 bit seconds.
fn to_millis(timestamp: u64) -> u64 {
    let (seconds, fraction) = (timestamp >> 32, timestamp & 0xffff_ffff);
    seconds * 1_000 + ((fraction * 1_000) >> 32)
}

fn word(bytes: &[u8]) -> (u32, &[u8]) {
    bytes.split_first_chunk().map_or((0, &[]), |(word, rest)| (u32::from_be_bytes(*word), rest))
}

fn long(bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk().map_or((0, &[]), |(long, rest)| (u64::from_be_bytes(*long), rest))
}

//! The time of day by SNTP (RFC 5905 §14): the request and what an answer says, without a socket.

/// Bytes of a message; what follows them in an answer is not looked at.
pub const MESSAGE_LEN: usize = 48;
/// The service's UDP port.
pub const PORT: u16 = 123;

/// Leap indicator 0, version 4, mode 3 (client).
const CLIENT: u8 = 0b00_100_011;
const MODE: u8 = 0b111;
const SERVER: u8 = 4;
/// Leap indicator of a server that does not know the time itself.
const ALARM: u8 = 0b11;
/// From 1900 to 1970, in seconds.
const EPOCH: u64 = 2_208_988_800;
/// Timestamps below this belong to the era that begins in 2036.
const ERA: u64 = 1 << 31;

/// A request. `nonce` stands where the client's own time would: an answer repeats it, so that nobody who has not seen the
/// request can forge one.
#[must_use]
pub fn request(nonce: [u8; 8]) -> [u8; MESSAGE_LEN] {
    let mut message = [0; MESSAGE_LEN];
    message[0] = CLIENT;
    message[40..].copy_from_slice(&nonce);
    message
}

/// Seconds since 1970 that an answer to the request with this nonce tells; `None` if it is none.
#[must_use]
pub fn unix_time(answer: &[u8], nonce: [u8; 8]) -> Option<u64> {
    let message: &[u8; MESSAGE_LEN] = answer.first_chunk()?;
    let [head, stratum, ..] = *message;
    // A stratum of 0 is a refusal ("kiss of death"), one of 16 a server without a source.
    let sound = head & MODE == SERVER && head >> 6 != ALARM && (1..16).contains(&stratum);
    let [a, b, c, d, ..] = message[40..] else { return None };
    let seconds = u64::from(u32::from_be_bytes([a, b, c, d]));
    if !sound || message[24..32] != nonce || seconds == 0 {
        return None;
    }
    let era = if seconds < ERA { 1 << 32 } else { 0 };
    Some(era + seconds - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 8] = *b"nonce 01";

    fn answer(seconds: u32) -> [u8; MESSAGE_LEN] {
        let mut message = [0; MESSAGE_LEN];
        message[0] = 0b00_100_100;
        message[1] = 2;
        message[24..32].copy_from_slice(&NONCE);
        message[40..44].copy_from_slice(&seconds.to_be_bytes());
        message
    }

    #[test]
    fn the_request_is_a_clients() {
        let request = request(NONCE);
        assert_eq!((request[0], &request[40..]), (0x23, NONCE.as_slice()));
        assert_eq!(unix_time(&request, NONCE), None);
    }

    #[test]
    fn seconds_are_counted_from_1970_in_both_eras() {
        assert_eq!(unix_time(&answer(2_208_988_800), NONCE), Some(0));
        // 2026-11-26T06:00:00Z
        assert_eq!(unix_time(&answer(4_004_661_600), NONCE), Some(1_795_672_800));
        // The first second of the next era, 2036-02-07T06:28:16Z, and the one after.
        assert_eq!(unix_time(&answer(u32::MAX), NONCE), Some(2_085_978_495));
        assert_eq!(unix_time(&answer(1), NONCE), Some(2_085_978_497));
        let longer = [answer(2_208_988_801).as_slice(), b"authenticator"].concat();
        assert_eq!(unix_time(&longer, NONCE), Some(1));
    }

    #[test]
    fn what_is_no_sound_answer_to_this_request_is_not_believed() {
        let good = answer(4_004_661_600);
        let with = |index: usize, value: u8| {
            let mut message = good;
            message[index] = value;
            message
        };
        for (why, message) in [
            ("broadcast", with(0, 0b00_100_101)),
            ("clock not set", with(0, 0b11_100_100)),
            ("kiss of death", with(1, 0)),
            ("no source", with(1, 16)),
            ("another request's", with(31, b'2')),
            ("no time", answer(0)),
        ] {
            assert_eq!(unix_time(&message, NONCE), None, "{why}");
        }
        for length in 0..MESSAGE_LEN {
            assert_eq!(unix_time(&good[..length], NONCE), None, "{length} bytes");
        }
    }
}

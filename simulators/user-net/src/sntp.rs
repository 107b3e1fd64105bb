//! Answers to the board's questions for the time (SNTP, RFC 5905): this machine's.

use std::time::Duration;

/// The service's port.
pub(crate) const PORT: u16 = 123;
const MESSAGE: usize = 48;
/// From 1900 to 1970, in seconds.
const EPOCH: u64 = 2_208_988_800;

/// The answer to a request, given the time since 1970; `None` if it is no request.
pub(crate) fn answer(request: &[u8], now: Duration) -> Option<[u8; MESSAGE]> {
    let request: &[u8; MESSAGE] = request.first_chunk()?;
    let version = request[0] & 0b00_111_000;
    if request[0] & 0b111 != 3 {
        return None;
    }
    // Seconds wrap in 2036, as the format wants it.
    let seconds = u32::try_from((now.as_secs() + EPOCH) & 0xFFFF_FFFF).ok()?;
    let fraction = u32::try_from((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000).ok()?;
    let mut message = [0; MESSAGE];
    message[0] = version | 4;
    // A secondary server whose clock is good to a millisecond.
    (message[1], message[2], message[3]) = (2, request[2], 0xF6);
    message[12..16].copy_from_slice(&[127, 0, 0, 1]);
    message[24..32].copy_from_slice(&request[40..48]);
    for at in [16, 32, 40] {
        message[at..at + 4].copy_from_slice(&seconds.to_be_bytes());
        message[at + 4..at + 8].copy_from_slice(&fraction.to_be_bytes());
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_the_time_and_the_request_s_timestamp() {
        let mut request = [0; MESSAGE];
        request[0] = 0b00_100_011;
        request[40..].copy_from_slice(b"a nonce!");
        let answer = answer(&request, Duration::from_millis(1_700_000_000_500)).unwrap();
        assert_eq!((answer[0], answer[1], &answer[24..32]), (0b00_100_100, 2, &b"a nonce!"[..]));
        assert_eq!(answer[40..44], 3_908_988_800_u32.to_be_bytes());
        assert_eq!(answer[44..48], [0x80, 0, 0, 0]);
        // After the wrap.
        let later = super::answer(&request, Duration::from_secs(2_085_978_496 + 7)).unwrap();
        assert_eq!(later[40..44], [0, 0, 0, 7]);
    }

    #[test]
    fn only_requests_are_answered() {
        assert_eq!(answer(&[0b00_100_011; 47], Duration::ZERO), None);
        assert_eq!(answer(&[0b00_100_100; 48], Duration::ZERO), None);
    }
}

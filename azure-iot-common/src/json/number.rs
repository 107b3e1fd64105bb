//! Whole numbers in every form that JSON has for them.

/// Sign (`true` for a minus) and magnitude of a number that is whole and fits, whatever its fraction and exponent. The
/// reader has checked its grammar.
pub(super) fn whole(text: &str) -> Option<(bool, u64)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = text.bytes().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match end.and_then(|at| text.split_at_checked(at)) {
        Some((mantissa, exponent)) => (mantissa, self::exponent(exponent.get(1..)?)?),
        None => (text, 0),
    };
    let integer = mantissa.bytes().position(|byte| byte == b'.').unwrap_or(mantissa.len());
    // How many digits, of those written and zeros behind them, stand before the point.
    let mut places = i32::try_from(integer).ok().filter(|integer| *integer > 0)?.saturating_add(exponent);
    let mut digits = mantissa.bytes().filter(|byte| *byte != b'.');
    let mut value = 0u64;
    loop {
        let digit = match digits.next() {
            Some(byte) => byte.wrapping_sub(b'0'),
            None if value == 0 || places <= 0 => return Some((negative, value)),
            None => 0,
        };
        // `NaN` and `Infinity`, and digits behind the point.
        if digit > 9 || (places <= 0 && digit != 0) {
            return None;
        }
        if places > 0 {
            value = (value <= u64::MAX / 10).then_some(value.wrapping_mul(10))?.checked_add(digit.into())?;
        }
        places = places.saturating_sub(1);
    }
}

/// The number behind the `e`; beyond some thousand digits one is like another.
fn exponent(text: &str) -> Option<i32> {
    let negative = text.starts_with('-');
    let magnitude =
        text.bytes().filter(|byte| !matches!(byte, b'+' | b'-')).try_fold(0i32, |value, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit <= 9).then(|| value.saturating_mul(10).saturating_add(digit.into()))
        })?;
    Some(if negative { -magnitude } else { magnitude })
}

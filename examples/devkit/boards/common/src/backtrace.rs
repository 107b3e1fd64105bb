//! The calls that led to a crash, as far as the stack shows.
//!
//! A word of the stack that points behind a call instruction is where that call returns to. One that nobody has
//! overwritten since an earlier call looks the same, so a backtrace may name calls that are over. The image holds no
//! messages and no places of panics, which would be a tenth of it; `tools/where` turns the addresses into functions
//! and lines.

use core::fmt;

/// The most calls in a backtrace.
pub const DEPTH: usize = 8;

/// The program in memory.
#[derive(Debug, Clone, Copy)]
pub struct Code<'a> {
    /// Address of the first byte.
    pub start: u32,
    /// The instructions.
    pub bytes: &'a [u8],
}

impl Code<'_> {
    fn half_word(&self, address: u32) -> Option<u16> {
        let at = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// The address of the call that returns to this word, if it is one: the Thumb bit is set, and the instruction
    /// before is a `bl` or a `blx` (Armv7-M ARM, A7.7.18 and A7.7.19).
    fn call_before(&self, word: u32) -> Option<u32> {
        if word & 1 == 0 {
            return None;
        }
        let register = (word ^ 1).checked_sub(2)?;
        let last = self.half_word(register)?;
        if last & 0xff87 == 0x4780 {
            return Some(register);
        }
        let label = register.checked_sub(2)?;
        let first = self.half_word(label)?;
        (first & 0xf800 == 0xf000 && last & 0xd000 == 0xd000).then_some(label)
    }
}

/// The last calls before a crash: addresses of the call instructions, the innermost first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backtrace {
    calls: [u32; DEPTH],
    length: usize,
}

impl Backtrace {
    /// Looks for calls in these words of the stack, the newest first.
    pub fn new(code: &Code<'_>, stack: impl Iterator<Item = u32>) -> Self {
        let mut backtrace = Self::default();
        let calls = stack.filter_map(|word| code.call_before(word));
        for (slot, call) in backtrace.calls.iter_mut().zip(calls) {
            *slot = call;
            backtrace.length += 1;
        }
        backtrace
    }

    /// The addresses.
    #[must_use]
    pub fn calls(&self) -> &[u32] {
        self.calls.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls().iter().try_for_each(|call| write!(f, " {call:#x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 0x0800_c000;

    /// `nop`, `bl`, `blx r3`, `b.w`, `bx lr`
    const CODE: [u8; 14] =
        [0x00, 0xbf, 0xff, 0xf7, 0xfe, 0xff, 0x98, 0x47, 0x00, 0xf0, 0x00, 0xb8, 0x70, 0x47];

    fn backtrace(stack: &[u32]) -> Backtrace {
        Backtrace::new(&Code { start: START, bytes: &CODE }, stack.iter().copied())
    }

    #[test]
    fn a_word_behind_a_call_is_one() {
        let found = backtrace(&[START + 9, 0, START + 7]);
        assert_eq!(found.calls(), [START + 6, START + 2], "blx, then bl");
        assert_eq!(found.to_string(), " 0x800c006 0x800c002");
    }

    #[test]
    fn other_words_are_not() {
        let before_the_code = [0, 1, 2, 3, START - 1, START + 1];
        let no_call_before = [START + 3, START + 5, START + 11, START + 13, START + 15];
        let no_thumb_bit = [START + 6, START + 8];
        let behind_the_code = [START + 17, u32::MAX];
        for word in
            before_the_code.into_iter().chain(no_call_before).chain(no_thumb_bit).chain(behind_the_code)
        {
            assert_eq!(backtrace(&[word]).calls(), [], "{word:#x}");
        }
    }

    #[test]
    fn a_long_backtrace_keeps_the_last_calls() {
        let mut stack = [START + 7; DEPTH + 3];
        stack[0] = START + 9;
        let found = backtrace(&stack);
        assert_eq!(found.calls().len(), DEPTH);
        assert_eq!(found.calls()[..2], [START + 6, START + 2]);
    }

    #[test]
    fn the_longest_report_fits_into_its_record() {
        let found = Backtrace { calls: [u32::MAX; DEPTH], length: DEPTH };
        let longest = format!("hard fault at {0:#x}, cfsr {0:#x}, hfsr {0:#x};{found}", u32::MAX);
        assert!(longest.len() <= crate::crash::MAX_LEN, "{} bytes", longest.len());
    }
}

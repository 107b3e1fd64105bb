//! IP packets on a serial line: SLIP (RFC 1055), without I/O and without an allocator.
//!
//! ```
//! use slip_link::{Decoder, encode};
//!
//! let line: Vec<u8> = encode(b"a packet").collect();
//! let mut decoder: Decoder<1500> = Decoder::new();
//! let packets: Vec<Vec<u8>> = line.iter().filter_map(|byte| decoder.push(*byte).map(<[u8]>::to_vec)).collect();
//! assert_eq!(packets, [b"a packet"]);
//! ```
//!
//! # What comes of a bad line
//! SLIP has no checksum: what the line damages is found by the checksums of IP, TCP and UDP. The decoder gives out what
//! it is sure of: a packet that is longer than its buffer, or holds an escape that means nothing, is dropped whole, up
//! to the next END. Both ends send an END first, so that noise before a packet is a packet of its own.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

/// Ends a packet.
pub const END: u8 = 0o300;
/// Begins a pair that stands for one byte.
const ESC: u8 = 0o333;
/// With [`ESC`]: a byte like [`END`].
const ESC_END: u8 = 0o334;
/// With [`ESC`]: a byte like [`ESC`].
const ESC_ESC: u8 = 0o335;

/// Most bytes on the line for a packet of `len` bytes.
#[must_use]
pub const fn max_encoded_len(len: usize) -> usize {
    2 * len + 2
}

/// The bytes on the line for a packet: at most [`max_encoded_len`].
pub fn encode(packet: &[u8]) -> impl Iterator<Item = u8> {
    let body = packet.iter().flat_map(|byte| {
        let (first, second) = match *byte {
            END => (ESC, Some(ESC_END)),
            ESC => (ESC, Some(ESC_ESC)),
            other => (other, None),
        };
        core::iter::once(first).chain(second)
    });
    core::iter::once(END).chain(body).chain(core::iter::once(END))
}

/// Takes bytes from the line and gives packets of at most `N` bytes.
#[derive(Debug, Clone)]
pub struct Decoder<const N: usize> {
    buffer: [u8; N],
    len: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within a packet, or before its first byte.
    Packet,
    /// Behind an [`ESC`].
    Escape,
    /// Within a packet that is given up.
    Dropping,
    /// A packet was given out.
    Given,
}

impl<const N: usize> Default for Decoder<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Decoder<N> {
    /// A decoder that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: [0; N], len: 0, state: State::Packet }
    }

    /// Takes a byte from the line; gives the packet that it ends. Empty packets are none.
    pub fn push(&mut self, byte: u8) -> Option<&[u8]> {
        if self.state == State::Given {
            (self.state, self.len) = (State::Packet, 0);
        }
        match (self.state, byte) {
            (State::Packet, END) => {
                self.state = State::Given;
                return self.buffer.get(..self.len).filter(|packet| !packet.is_empty());
            }
            // An END is never part of a packet, whatever was before it.
            (_, END) => (self.state, self.len) = (State::Packet, 0),
            (State::Packet, ESC) => self.state = State::Escape,
            (State::Packet, byte) => self.add(byte),
            (State::Escape, ESC_END) => self.add(END),
            (State::Escape, ESC_ESC) => self.add(ESC),
            (State::Escape, _) => self.state = State::Dropping,
            (State::Dropping | State::Given, _) => {}
        }
        None
    }

    fn add(&mut self, byte: u8) {
        self.state = match self.buffer.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
                State::Packet
            }
            None => State::Dropping,
        };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn decode<const N: usize>(line: &[u8]) -> Vec<Vec<u8>> {
        let mut decoder: Decoder<N> = Decoder::new();
        line.iter().filter_map(|byte| decoder.push(*byte).map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn special_bytes_are_escaped_as_in_the_rfc() {
        let line: Vec<u8> = encode(&[1, 192, 2, 219, 3]).collect();
        assert_eq!(line, [192, 1, 219, 220, 2, 219, 221, 3, 192]);
        assert!(line.len() <= max_encoded_len(5));
    }

    #[test]
    fn bad_packets_are_dropped_whole_and_the_next_one_is_whole() {
        // An escape that means nothing.
        assert_eq!(decode::<8>(&[1, 219, 1, 2, 192, 3, 192]), [[3]]);
        // An escape before an END.
        assert_eq!(decode::<8>(&[1, 219, 192, 2, 192]), [[2]]);
        // Too long by one, then exactly as long as fits.
        assert_eq!(decode::<2>(&[1, 2, 3, 192, 4, 5, 192]), [[4, 5]]);
        // Too long by an escaped byte.
        assert_eq!(decode::<2>(&[1, 2, 219, 220, 192, 6, 192]), [[6]]);
        // Nothing between two ENDs.
        assert_eq!(decode::<2>(&[192, 192, 192]), Vec::<Vec<u8>>::new());
    }

    proptest! {
        #[test]
        fn packets_come_out_as_they_went_in(packets: Vec<Vec<u8>>, noise: Vec<u8>) {
            let mut line = noise.clone();
            for packet in &packets {
                line.extend(encode(packet));
            }
            let wanted: Vec<_> = packets.into_iter().filter(|packet| !packet.is_empty()).collect();
            let got = decode::<256>(&line);
            // The noise may end as a packet of its own, or as several.
            prop_assert!(got.ends_with(&wanted));
            prop_assert!(got.len() - wanted.len() <= noise.split(|byte| *byte == END).count());
        }

        #[test]
        fn anything_on_the_line_is_survived(line: Vec<u8>) {
            for packet in decode::<7>(&line) {
                prop_assert!(!packet.is_empty() && packet.len() <= 7);
            }
        }
    }
}

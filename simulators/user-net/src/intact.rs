//! Finds what the line has damaged: SLIP has no checksum, and the IP stack checks none of those within.

use etherparse::checksum::Sum16BitWords;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// Whether a packet has the checksums that it should have (RFC 791, 768, 9293). What is neither TCP nor UDP has not:
/// nobody here would answer it.
pub(crate) fn is_intact(packet: &[u8]) -> bool {
    let Ok(SlicedPacket { net: Some(net), transport, .. }) = SlicedPacket::from_ip(packet) else {
        return false;
    };
    let Some(transport) = transport else { return false };
    match net {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header();
            let (from, to) = (ip.source(), ip.destination());
            let is_right = match transport {
                TransportSlice::Tcp(tcp) => tcp.calc_checksum_ipv4(from, to) == Ok(tcp.checksum()),
                // It may do without.
                TransportSlice::Udp(udp) if udp.checksum() == 0 => true,
                TransportSlice::Udp(udp) => {
                    udp.to_header().calc_checksum_ipv4_raw(from, to, udp.payload()) == Ok(udp.checksum())
                }
                _ => false,
            };
            // As it came, bits without a meaning included.
            is_right && Sum16BitWords::new().add_slice(ip.slice()).ones_complement() == 0
        }
        NetSlice::Ipv6(ip) => {
            let (from, to) = (ip.header().source(), ip.header().destination());
            match transport {
                TransportSlice::Tcp(tcp) => tcp.calc_checksum_ipv6(from, to) == Ok(tcp.checksum()),
                TransportSlice::Udp(udp) => {
                    udp.to_header().calc_checksum_ipv6_raw(from, to, udp.payload()) == Ok(udp.checksum())
                }
                _ => false,
            }
        }
        NetSlice::Arp(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn packets() -> [Vec<u8>; 4] {
        let v4 = || PacketBuilder::ipv4([10, 0, 2, 15], [10, 0, 2, 3], 64);
        let v6 = || PacketBuilder::ipv6([1; 16], [2; 16], 64);
        let mut packets = [const { Vec::new() }; 4];
        let [tcp, udp, tcp6, udp6] = &mut packets;
        v4().tcp(49_152, 443, 1, 4096).write(tcp, b"odd").unwrap();
        v4().udp(49_152, 53).write(udp, b"even").unwrap();
        v6().tcp(49_152, 443, 1, 4096).write(tcp6, b"").unwrap();
        v6().udp(49_152, 53).write(udp6, b"x").unwrap();
        packets
    }

    #[test]
    fn one_bit_is_found_wherever_it_is() {
        for packet in packets() {
            assert!(is_intact(&packet));
            for bit in 0..8 * packet.len() {
                // An IPv6 header has no checksum of its own: what is not part of the pseudo-header is nobody's.
                let guarded = packet[0] >> 4 == 4 || bit >= 8 * 8 || (32..48).contains(&bit);
                let mut bad = packet.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(!guarded || !is_intact(&bad), "bit {bit} of {packet:02x?}");
            }
        }
    }

    #[test]
    fn udp_may_do_without_and_pieces_are_none() {
        let [tcp, mut udp, ..] = packets();
        udp[26..28].fill(0);
        assert!(is_intact(&udp));
        for len in 0..tcp.len() {
            assert!(!is_intact(&tcp[..len]), "{len} bytes");
        }
    }
}

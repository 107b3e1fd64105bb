//! The station's way out: Ethernet on its side, IP packets on the other.

use std::net::Ipv4Addr;

use etherparse::{
    ArpEthIpv4Packet, ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header, NetSlice,
    PacketBuilder, SlicedPacket, TransportSlice,
};
use user_net::{GATEWAY, NAME_SERVER};

use crate::dhcp;

/// The gateway's own address; the name server's is the same.
const ADDRESS: [u8; 6] = [0x02, 0, 0, 0, 2, 2];

/// What follows from a station's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing.
    Nothing,
    /// This frame is for the station.
    Frame(Vec<u8>),
    /// This packet is for the network.
    Packet(Vec<u8>),
}

/// The gateway of one station.
#[derive(Debug, Default)]
pub struct Gateway {
    station: Option<[u8; 6]>,
}

impl Gateway {
    /// A gateway that does not know its station yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a frame of the station's.
    pub fn receive(&mut self, frame: &[u8]) -> Reaction {
        let Ok(sliced) = SlicedPacket::from_ethernet(frame) else { return Reaction::Nothing };
        let Some(ethernet) =
            sliced.link.and_then(|link| link.to_header()).and_then(etherparse::LinkHeader::ethernet2)
        else {
            return Reaction::Nothing;
        };
        let is_for_all = ethernet.destination == [0xFF; 6];
        if !is_for_all && ethernet.destination != ADDRESS {
            return Reaction::Nothing;
        }
        self.station = Some(ethernet.source);
        match (sliced.net, sliced.transport) {
            (Some(NetSlice::Arp(arp)), _) => match arp.to_packet().try_eth_ipv4() {
                Ok(request) => arp_answer(&request).map_or(Reaction::Nothing, Reaction::Frame),
                Err(_) => Reaction::Nothing,
            },
            (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Udp(udp)))
                if udp.destination_port() == dhcp::SERVER_PORT =>
            {
                let reply = dhcp::answer(udp.payload()).and_then(|reply| self.dhcp_frame(&reply));
                reply.map_or(Reaction::Nothing, Reaction::Frame)
            }
            (Some(NetSlice::Ipv4(ip)), _) if !is_for_all => {
                let start = Ethernet2Header::LEN;
                let len = usize::from(ip.header().total_len());
                // What is beyond it is padding.
                frame
                    .get(start..start + len)
                    .map_or(Reaction::Nothing, |packet| Reaction::Packet(packet.to_vec()))
            }
            _ => Reaction::Nothing,
        }
    }

    /// A packet of the network's as a frame for the station, once that is known.
    #[must_use]
    pub fn wrap(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let header =
            Ethernet2Header { source: ADDRESS, destination: self.station?, ether_type: EtherType::IPV4 };
        Some([&header.to_bytes()[..], packet].concat())
    }

    fn dhcp_frame(&self, reply: &[u8]) -> Option<Vec<u8>> {
        let builder = PacketBuilder::ethernet2(ADDRESS, self.station?)
            .ipv4(GATEWAY.octets(), Ipv4Addr::BROADCAST.octets(), 64)
            .udp(dhcp::SERVER_PORT, dhcp::CLIENT_PORT);
        let mut frame = Vec::with_capacity(builder.size(reply.len()));
        builder.write(&mut frame, reply).ok()?;
        Some(frame)
    }
}

fn arp_answer(request: &ArpEthIpv4Packet) -> Option<Vec<u8>> {
    let wanted = request.target_ipv4;
    let is_here = wanted == GATEWAY.octets() || wanted == NAME_SERVER.octets();
    if !is_here || request.operation != ArpOperation::REQUEST {
        return None;
    }
    let reply = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REPLY,
        &ADDRESS,
        &wanted,
        &request.sender_mac,
        &request.sender_ipv4,
    )
    .ok()?;
    let builder = PacketBuilder::ethernet2(ADDRESS, request.sender_mac).arp(reply);
    let mut frame = Vec::with_capacity(builder.size());
    builder.write(&mut frame).ok()?;
    Some(frame)
}

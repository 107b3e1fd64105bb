//! The DHCP server (RFC 2131): one address, for whoever asks.

use std::net::Ipv4Addr;

use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};
use user_net::{BOARD, GATEWAY, NAME_SERVER};

/// The server's port, and the client's.
pub(crate) const SERVER_PORT: u16 = 67;
pub(crate) const CLIENT_PORT: u16 = 68;
/// An address is lent for so many seconds.
const LEASE_S: u32 = 3600;

/// The answer to a message of a client's; `None` if there is none.
pub(crate) fn answer(message: &[u8]) -> Option<Vec<u8>> {
    let packet = DhcpPacket::new_checked(message).ok()?;
    let request = DhcpRepr::parse(&packet).ok()?;
    let is_for_others = request.server_identifier.is_some_and(|server| server != GATEWAY);
    let message_type = match request.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        _ if is_for_others => return None,
        DhcpMessageType::Request => {
            let renewed = Some(request.client_ip).filter(|address| !address.is_unspecified());
            match request.requested_ip.or(renewed) {
                Some(BOARD) => DhcpMessageType::Ack,
                _ => DhcpMessageType::Nak,
            }
        }
        _ => return None,
    };
    let is_lent = message_type != DhcpMessageType::Nak;
    let servers = [NAME_SERVER].into_iter().collect();
    let reply = DhcpRepr {
        message_type,
        transaction_id: request.transaction_id,
        secs: 0,
        client_hardware_address: request.client_hardware_address,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: if is_lent { BOARD } else { Ipv4Addr::UNSPECIFIED },
        server_ip: GATEWAY,
        router: is_lent.then_some(GATEWAY),
        subnet_mask: is_lent.then_some(Ipv4Addr::new(255, 255, 255, 0)),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: request.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: is_lent.then_some(servers),
        max_size: None,
        lease_duration: is_lent.then_some(LEASE_S),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut bytes = vec![0; reply.buffer_len()];
    reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).ok()?;
    Some(bytes)
}

//! A virtual access point for the simulated radio: its network gives an address by DHCP, answers ARP, and leads to
//! this machine by the network in user mode that serial lines have as well ([`user_net`]).
//!
//! The radio's side – names, security, passphrases, what is in reach – is the [`Air`](peripherals::Air); this is what
//! a station finds once it is in a network.
#![forbid(unsafe_code)]

mod access_point;
mod dhcp;
mod gateway;

pub use access_point::AccessPoint;
pub use gateway::{Gateway, Reaction};
pub use user_net::{Hosts, Rule};

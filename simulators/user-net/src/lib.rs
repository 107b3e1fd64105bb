//! A network in user mode, without privileges: a board's packets go in, and come out as this machine's connections.
//!
//! [`UserNet`] ends the board's TCP connections here (crate `ipstack`) and makes connections of this machine's
//! instead; it answers DNS and SNTP itself. What the board may reach is said by [`Hosts`]: by default this machine
//! only, under the names that are given. How the packets get here is others' business: a serial line's (`serial-net`),
//! an access point's (`access-point`).
//!
//! | address | what is there |
//! |---|---|
//! | 10.0.2.15 | the board |
//! | 10.0.2.2 | this machine's 127.0.0.1, port by port |
//! | 10.0.2.3 | the name server |
//! | 198.18.0.0/15 | a name each, as the name server has answered |
//!
//! The first three are those of QEMU's user-mode network; the last range is reserved for tests (RFC 2544).
#![forbid(unsafe_code)]

mod dns;
mod hosts;
mod intact;
mod packets;
mod sntp;
mod stack;

pub use hosts::{BOARD, GATEWAY, Hosts, NAME_SERVER, Rule};
pub use packets::PacketSender;
pub use stack::{Link, MTU, UserNet};

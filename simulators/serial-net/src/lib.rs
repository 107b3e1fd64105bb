//! Gives a board at the other end of a serial line the network of this machine: a network in user mode, without
//! privileges.
//!
//! On the line are IP packets in SLIP frames. [`Bridge::run`] brings them to a network in user mode (crate
//! `user-net`), which makes connections of this machine's of them and answers DNS and SNTP. What the board may reach
//! is said by [`Hosts`]: by default this machine only, under the names that are given.
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

mod bridge;

pub use bridge::Bridge;
pub use user_net::{Hosts, Rule};

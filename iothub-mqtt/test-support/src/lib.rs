//! What the tests of the hub client share: MQTT as a server reads and writes it ([`packet`]), a server that does
//! what a test says ([`server`]), the broker mosquitto ([`broker`]), flash whose power fails ([`flash`]), and the
//! published test vectors ([`vectors`]).
//! What is not as it should be panics: the test has failed.
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate)]

pub mod broker;
pub mod flash;
pub mod packet;
pub mod server;
pub mod vectors;

pub use broker::Broker;
pub use packet::Packet;
pub use server::{Server, pair, pair_of};

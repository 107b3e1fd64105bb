//! Everything that can go wrong with any device, and how it recovers.

mod cloud;
mod identity;
mod power;
mod slot_key;

pub use cloud::{restart, tls_versions, untrusted_servers};
pub use identity::{change_firmware, changed_firmware, lost_keys};
pub use power::{cuts_while_starting, cuts_while_storing};
pub use slot_key::slot_key;

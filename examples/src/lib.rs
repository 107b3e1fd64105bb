//! Host side of the examples: what the programs share.

pub mod cert_gen;
pub mod cloud;
pub mod footprint;
pub mod host;
pub mod local_cloud;
pub mod zero_touch;

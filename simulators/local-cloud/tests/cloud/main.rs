//! The local cloud, driven by a client of its own kind and by clients that break the rules.

mod client;
mod dps;
mod faults;
mod flow;
mod https;
mod hub;
mod hub_faults;
mod hubs;
mod identity;
mod issue;
mod limits;
mod program;
mod resumption;
mod state;
mod tiers;

//! For devices of Azure IoT in networks that do not let MQTT out: MQTT over WebSockets on port 443 ([`websocket`]), and
//! a way through an HTTP proxy ([`proxy`]).
//!
//! Each takes an `embedded-io-async` stream and gives one, so that it goes between two layers that know nothing of it:
//! the proxy between TCP and TLS, WebSockets between TLS and MQTT. The README says what is checked, and by whom.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]
// Futures of this crate are as `Send` as the streams they are made from.
#![allow(async_fn_in_trait)]

mod error;
mod host;
pub mod http;
pub mod proxy;
pub mod websocket;

pub use azure_iot_common::Error as RequestError;
pub use error::{Error, FrameFault, HandshakeFault};

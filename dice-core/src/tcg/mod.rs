//! The X.509 extensions of the TCG DICE Attestation Architecture (version 1.1): what a layer is, in a form verifiers
//! of other makers read.
//!
//! All of them are encoded with [`write_der`](TcbInfo::write_der) and read with [`parse`](TcbInfo::parse), without an
//! allocator. What is written here is the content of the extension (its `extnValue`).

mod list;
mod tcb_info;
mod token;

pub use list::{List, ListIter};
pub use tcb_info::{Fwid, IntegrityRegister, MultiTcbInfo, OperationalFlags, TcbInfo};
pub use token::{TcbFreshness, Ueid};

/// Object identifiers of the extensions and of the key purposes.
pub mod oid {
    use der::asn1::ObjectIdentifier;

    /// tcg-dice-TcbInfo: [`TcbInfo`](super::TcbInfo).
    ///
    /// Early RIoT certificates use the same identifier for another structure.
    pub const TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
    /// tcg-dice-Ueid: [`Ueid`](super::Ueid).
    pub const UEID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.4");
    /// tcg-dice-MultiTcbInfo: [`MultiTcbInfo`](super::MultiTcbInfo).
    pub const MULTI_TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.5");
    /// tcg-dice-TcbFreshness: [`TcbFreshness`](super::TcbFreshness).
    pub const TCB_FRESHNESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.11");

    /// tcg-dice-kp-identityInit: the key identifies the device, initial.
    pub const KP_IDENTITY_INIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.100.6");
    /// tcg-dice-kp-identityLoc: the key identifies the device, local.
    pub const KP_IDENTITY_LOC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.100.7");
    /// tcg-dice-kp-attestInit: the key attests, initial.
    pub const KP_ATTEST_INIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.100.8");
    /// tcg-dice-kp-attestLoc: the key attests, local.
    pub const KP_ATTEST_LOC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.100.9");
    /// tcg-dice-kp-assertInit: the key asserts, initial.
    pub const KP_ASSERT_INIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.100.10");
    /// tcg-dice-kp-assertLoc: the key asserts, local.
    pub const KP_ASSERT_LOC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.100.11");
    /// tcg-dice-kp-eca: the key is that of an embedded CA.
    pub const KP_ECA: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.100.12");
}

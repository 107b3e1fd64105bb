//! Sans-IO client for the Azure Device Provisioning Service: a transport-agnostic registration state machine.
#![no_std]
#![forbid(unsafe_code)]

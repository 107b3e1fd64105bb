//! The same with embedded-tls as the client: it takes no heap, but its server does.

use crate::heap::{self, Side};
use crate::{Device, ECC, FORGED, HOST, NOW, Server, Spent, drive, made, peer, pipe, report, there_and_back};
use azure_iot_tls::embedded_tls::{Buffers, FULL_RX, USUAL_TX, connect};
use azure_iot_tls::mbedtls::Stack;
use azure_iot_tls::{Error, Identity, IdentityError, SecretKey, Signature, Signer, Trust, roots};
use core::ffi::CStr;
use core::pin::pin;
use static_cell::ConstStaticCell;

type Memory = Buffers<FULL_RX, USUAL_TX>;

/// embedded-tls sends the leaf only: its issuer is what the server knows.
const DEVICE_ISSUER: &[u8] = made!("device-issuer.der");

/// The device, whose key the adapter's crate signs with.
struct Signing;

impl Identity for Signing {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        Device.certificate(index)
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        Signer::sign(&SecretKey::from_bytes(*made!("device.key")), digest)
    }
}

/// A handshake and a message; then a server whose certificate was not signed by its issuer, one below another root, one
/// with another name, and one that has expired: nobody is connected to those.
pub(crate) fn run(stack: &Stack) -> Result<(), Error> {
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
    let memory = MEMORY.take();
    let roots = [ECC.root, roots::DIGICERT_GLOBAL_ROOT_G2.der];
    session(stack, &ECC, memory, &Trust::new(HOST, &roots)?.at(NOW))?;
    let forged = session(stack, &FORGED[1], memory, &Trust::new(HOST, &roots)?.at(NOW));
    assert!(matches!(forged, Err(Error::BadSignature(_))), "{forged:?}");
    let others = [roots::DIGICERT_GLOBAL_ROOT_G2.der];
    let untrusted = session(stack, &ECC, memory, &Trust::new(HOST, &others)?.at(NOW));
    assert_eq!(untrusted, Err(Error::UnknownCa));
    let misnamed = session(stack, &ECC, memory, &Trust::new("other-hub.azure-devices.net", &roots)?.at(NOW));
    assert_eq!(misnamed, Err(Error::WrongHost));
    let expired = session(stack, &ECC, memory, &Trust::new(HOST, &roots)?.at(NOW + 30 * 366 * 86_400));
    assert_eq!(expired, Err(Error::Expired));
    Ok(())
}

fn session(
    stack: &Stack,
    server: &'static Server,
    memory: &mut Memory,
    trust: &Trust<'_>,
) -> Result<(), Error> {
    let pipes = pipe::Pipes::new();
    let (ours, theirs) = pipes.ends();
    let chain = CStr::from_bytes_with_nul(server.pem).map_err(|_| Error::Roots)?;
    heap::turn_of(Side::Server);
    let mut peer = pin!(peer::serve(stack, theirs, chain, server.key, DEVICE_ISSUER));
    heap::forget_peak();
    let mut random = crate::Counting(7);

    let mut spent = Spent::default();
    let connecting = pin!(connect(ours, memory, trust, Some(&Signing), &mut random));
    let mut stream = drive(connecting, &mut peer, &mut spent)?;
    report("embedded-tls: handshake, TLS 1.3, ECC", &spent);

    let mut spent = Spent::default();
    drive(pin!(there_and_back(&mut stream)), &mut peer, &mut spent)?;
    report("embedded-tls: 1 KiB there and back", &spent);
    assert_eq!(heap::peak(Side::Client), 0, "embedded-tls has no use for a heap");
    Ok(())
}

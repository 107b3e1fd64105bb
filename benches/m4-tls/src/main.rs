//! TLS handshakes of the adapters for Mbed TLS and embedded-tls with a server in the same memory, on the emulated
//! board: what the client takes of instructions, stack and heap. `tools/measure-m4 tls` makes a table of it.
//!
//! Both sides are polled in turns. Instructions and stack are counted around the client's turns only, and the heap
//! knows whose turn it is.
#![no_std]
#![no_main]

mod heap;
#[path = "../../m4/src/measure.rs"]
mod measure;
mod peer;
mod pipe;
mod tickets;
mod without_heap;

use azure_iot_tls::mbedtls::{SessionCache, Stack};
use azure_iot_tls::{Error, Identity, IdentityError, SecretKey, Signature, Trust, Versions, roots};
use core::ffi::CStr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use cortex_m_semihosting::{debug, hprintln};
use embedded_io_async::{Read, Write};
use heap::Side;
use panic_semihosting as _;
use tinyrlibc as _;

macro_rules! made {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}
pub(crate) use made;

/// A server's credentials, and the root above them.
struct Server {
    pem: &'static [u8],
    key: &'static [u8],
    root: &'static [u8],
}

const RSA: Server = Server { pem: made!("rsa.pem"), key: made!("rsa.pk8"), root: made!("rsa-root.der") };
const ECC: Server = Server { pem: made!("ecc.pem"), key: made!("ecc.pk8"), root: made!("ecc-root.der") };
/// The same with a leaf whose signature is wrong.
const FORGED: [Server; 2] =
    [Server { pem: made!("rsa-forged.pem"), ..RSA }, Server { pem: made!("ecc-forged.pem"), ..ECC }];
const DEVICE_ROOT: &[u8] = made!("device-root.der");
/// The server's name.
const HOST: &str = "my-hub.azure-devices.net";
/// 2026-06-15
const NOW: u64 = 1_781_481_600;

/// A device with its leaf and the certificate above it.
struct Device;

impl Identity for Device {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        let chain: [&[u8]; 2] = [made!("device-leaf.der"), made!("device-issuer.der")];
        chain.get(index).copied()
    }

    fn sign(&self, _: &[u8; 32]) -> Result<Signature, IdentityError> {
        Err(IdentityError::Signer) // Mbed TLS signs by itself
    }

    fn secret_key(&self) -> Option<SecretKey> {
        Some(SecretKey::from_bytes(*made!("device.key")))
    }
}

/// Not random at all, so that every run is the same.
struct Counting(u32);

impl rand_core::TryRng for Counting {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.0 = self.0.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        Ok(self.0 ^ (self.0 >> 15))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from(self.try_next_u32()?) << 32 | u64::from(self.try_next_u32()?))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for byte in bytes {
            *byte = self.try_next_u32()?.to_be_bytes()[0];
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counting {}

/// What the client's turns took.
#[derive(Default)]
struct Spent {
    instructions: u64,
    stack: usize,
}

/// Polls client and server in turns until the client is done.
fn drive<T>(
    mut client: Pin<&mut impl Future<Output = T>>,
    server: &mut Pin<&mut impl Future>,
    spent: &mut Spent,
) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    let mut server_is_done = false;
    for _ in 0..100_000 {
        heap::turn_of(Side::Client);
        let (polled, instructions, stack) = measure::measured(|| client.as_mut().poll(&mut cx));
        spent.instructions += instructions;
        spent.stack = spent.stack.max(stack);
        heap::turn_of(Side::Server);
        if let Poll::Ready(output) = polled {
            return output;
        }
        if !server_is_done {
            server_is_done = server.as_mut().poll(&mut cx).is_ready();
        }
    }
    panic!("neither side goes on");
}

fn report(name: &str, spent: &Spent) {
    hprintln!("{}\t{}\t{}\t{}", name, spent.instructions, spent.stack, heap::peak(Side::Client));
}

fn handshake(stack: &Stack, server: &'static Server, versions: Versions, name: &str) -> Result<(), Error> {
    let pipes = pipe::Pipes::new();
    let (ours, theirs) = pipes.ends();
    let chain = CStr::from_bytes_with_nul(server.pem).map_err(|_| Error::Roots)?;
    heap::turn_of(Side::Server);
    let mut peer = pin!(peer::serve(stack, theirs, chain, server.key, DEVICE_ROOT));
    let roots = [server.root, roots::DIGICERT_GLOBAL_ROOT_G2.der];
    let trust = Trust::new(HOST, &roots)?.at(NOW).versions(versions);
    heap::forget_peak();

    let mut spent = Spent::default();
    let mut stream = drive(pin!(stack.connect(ours, &trust, Some(&Device))), &mut peer, &mut spent)?;
    assert_eq!(stream.is_tls13(), versions == Versions::Tls13);
    report(name, &spent);

    let mut spent = Spent::default();
    drive(pin!(there_and_back(&mut stream)), &mut peer, &mut spent)?;
    if versions == Versions::Tls13 && server.key.len() < 200 {
        report("1 KiB there and back", &spent);
        hprintln!("held while connected\t\t\t{}", heap::used(Side::Client));
    }
    heap::turn_of(Side::Client);
    drop(stream);
    heap::turn_of(Side::Server);
    Ok(())
}

/// Sends 1 KiB, and hears it again.
async fn there_and_back<S: Read<Error = Error> + Write<Error = Error>>(stream: &mut S) -> Result<(), Error> {
    let text = [0x55; 1024];
    let mut echo = [0; 1024];
    stream.write_all(&text).await?;
    stream.flush().await?;
    let mut have = 0;
    while have < echo.len() {
        have += stream.read(&mut echo[have..]).await?;
    }
    assert_eq!(text, echo);
    Ok(())
}

/// Two connections, the second of which goes on with the session of the first.
fn resumed(stack: &Stack, server: &'static Server, versions: Versions, name: &str) -> Result<(), Error> {
    let chain = CStr::from_bytes_with_nul(server.pem).map_err(|_| Error::Roots)?;
    let roots = [server.root, roots::DIGICERT_GLOBAL_ROOT_G2.der];
    let trust = Trust::new(HOST, &roots)?.at(NOW).versions(versions);
    heap::turn_of(Side::Client);
    let cache = SessionCache::new();
    for is_resumed in [false, true] {
        let pipes = pipe::Pipes::new();
        let (ours, theirs) = pipes.ends();
        heap::turn_of(Side::Server);
        let mut peer = pin!(peer::serve(stack, theirs, chain, server.key, DEVICE_ROOT));
        heap::forget_peak();
        let mut spent = Spent::default();
        let client = pin!(stack.connect_or_resume(ours, &trust, Some(&Device), &cache));
        let mut stream = drive(client, &mut peer, &mut spent)?;
        assert_eq!(stream.is_resumed(), is_resumed);
        if is_resumed {
            report(name, &spent);
        }
        // In TLS 1.3 the ticket comes with what is read.
        let answer = async {
            stream.write_all(&[1]).await?;
            stream.flush().await?;
            stream.read(&mut [0]).await
        };
        drive(pin!(answer), &mut peer, &mut spent)?;
        heap::turn_of(Side::Client);
        drop(stream);
    }
    drop(cache);
    heap::turn_of(Side::Server);
    Ok(())
}

/// Nobody is connected to a server whose certificate was not signed by its issuer.
fn refused(stack: &Stack, server: &'static Server) -> Result<(), Error> {
    let pipes = pipe::Pipes::new();
    let (ours, theirs) = pipes.ends();
    let chain = CStr::from_bytes_with_nul(server.pem).map_err(|_| Error::Roots)?;
    let mut peer = pin!(peer::serve(stack, theirs, chain, server.key, DEVICE_ROOT));
    let roots = [server.root];
    let trust = Trust::new(HOST, &roots)?.at(NOW);
    let outcome = drive(pin!(stack.connect(ours, &trust, Some(&Device))), &mut peer, &mut Spent::default());
    assert!(matches!(outcome, Err(Error::BadSignature(_))), "{:?}", outcome.map(|_| ()));
    Ok(())
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut RANDOM: Counting = Counting(1);
    heap::start();
    let stack = Stack::new(RANDOM).unwrap();
    for (server, title) in [(&RSA, "RSA"), (&ECC, "ECC")] {
        for (versions, version) in [(Versions::Tls12, "1.2"), (Versions::Tls13, "1.3")] {
            let mut name = heapless::String::<64>::new();
            core::fmt::write(&mut name, format_args!("handshake, TLS {version}, {title}")).unwrap();
            handshake(&stack, server, versions, &name).unwrap();
        }
    }
    for (versions, name) in
        [(Versions::Tls12, "resumed handshake, TLS 1.2"), (Versions::Tls13, "resumed handshake, TLS 1.3")]
    {
        resumed(&stack, &ECC, versions, name).unwrap();
    }
    for server in &FORGED {
        refused(&stack, server).unwrap();
    }
    without_heap::run(&stack).unwrap();
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

//! Power cuts at every byte and every step of a renewal, and ten thousand random ones: a credential that the hub takes
//! is always left. In flash, and in zones of a secure element.

use azure_iot_credentials::{Candidates, CredentialStore, Error, KeyBytes};
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError as _, NorFlashErrorKind, ReadNorFlash,
};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use stsafe_a100::ZoneFlash;
use stsafe_a100::asynch::Stsafe;
use stsafe_a100::sim::{Outage, Profile, Torn, VirtualBus, VirtualChip, VirtualDelay, ZoneProfile};
use stsafe_a100::vault::Place;

const BLOCK: usize = 1024;

/// Two or more blocks of flash, and the power that is left: each byte written costs one, each erased block as many as
/// it has bytes. When it fails, the byte in hand has some of its bits, and a block being erased has anything.
struct Flash<'r> {
    cells: Vec<u8>,
    power: Option<usize>,
    used: usize,
    rng: &'r mut SmallRng,
}

impl<'r> Flash<'r> {
    fn new(blocks: usize, rng: &'r mut SmallRng) -> Self {
        Self { cells: vec![0xFF; blocks * BLOCK], power: None, used: 0, rng }
    }

    /// Uses so much; gives how much of it there was power for.
    fn spend(&mut self, wanted: usize) -> usize {
        let given = self.power.map_or(wanted, |left| left.min(wanted));
        if let Some(left) = &mut self.power {
            *left -= given;
        }
        self.used += given;
        given
    }
}

impl ErrorType for Flash<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash<'_> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        if self.power == Some(0) {
            return Err(NorFlashErrorKind::Other);
        }
        bytes.copy_from_slice(&self.cells[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl NorFlash for Flash<'_> {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        assert!((from as usize).is_multiple_of(BLOCK) && (to as usize).is_multiple_of(BLOCK) && from < to);
        for block in (from as usize..to as usize).step_by(BLOCK) {
            let erased = self.spend(BLOCK);
            for at in block..block + BLOCK {
                // Bits become 1 at any time during the erasure, each at its own.
                let done = erased == BLOCK || self.rng.random_range(0..BLOCK) < erased;
                let some: u8 = self.rng.random();
                self.cells[at] |= if done { 0xFF } else { some & self.rng.random::<u8>() };
            }
            if erased < BLOCK {
                return Err(NorFlashErrorKind::Other);
            }
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        assert!((offset as usize).is_multiple_of(8) && bytes.len().is_multiple_of(8));
        let written = self.spend(bytes.len());
        let cells = &mut self.cells[offset as usize..][..bytes.len()];
        for (cell, byte) in cells.iter_mut().zip(bytes).take(written) {
            assert_eq!(*cell, 0xFF, "written twice without erasing");
            *cell = *byte;
        }
        if let (Some(cell), Some(byte)) = (cells.get_mut(written), bytes.get(written)) {
            *cell &= byte | self.rng.random::<u8>();
            return Err(NorFlashErrorKind::Other);
        }
        Ok(())
    }
}

/// A hub as the service is: it issues, keeps the certificate that has connected last and the one issued since, and
/// refuses all others.
#[derive(Clone, Default)]
struct Hub {
    issued: u32,
    connected: u32,
    waiting: Option<u32>,
}

impl Hub {
    fn issue(&mut self) -> u32 {
        self.issued += 1;
        self.waiting = Some(self.issued);
        self.issued
    }

    fn connect(&mut self, certificate: u32) -> bool {
        if self.waiting == Some(certificate) {
            (self.connected, self.waiting) = (certificate, None);
        }
        self.connected == certificate
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("something waits"),
    }
}

/// The chain of certificate `number`, which tells its key; of different lengths.
fn chain(number: u32) -> Vec<u8> {
    let mut chain = number.to_le_bytes().to_vec();
    chain.resize(350 + 37 * (number as usize % 9), number.to_le_bytes()[0] ^ 0x5A);
    chain
}

fn key(number: u32) -> [u8; 48] {
    [number.to_le_bytes()[0].wrapping_mul(31); 48]
}

/// One start of the device: connects with the first credential that the hub takes, confirms it, and renews it
/// `renewals` times. Whether it got online.
async fn life<const SLOTS: usize>(
    flash: impl NorFlash,
    hub: &mut Hub,
    renewals: usize,
) -> Result<bool, Error> {
    let mut store = CredentialStore::<_, SLOTS>::new(flash)?;
    for renewal in 0..=renewals {
        let mut candidates = Candidates::new(store.entries().await?);
        let number = loop {
            let Some(entry) = candidates.current().copied() else { return Ok(false) };
            let mut buffer = [0; BLOCK];
            let credential = store.load(&entry, &mut buffer).await?;
            let certificate = u32::from_le_bytes(credential.chain[..4].try_into().unwrap());
            assert_eq!(credential.chain, chain(certificate), "a credential that is whole");
            assert_eq!((credential.key.kind, credential.key.bytes), (2, &key(certificate)[..]));
            if hub.connect(certificate) {
                break entry.number;
            }
            candidates.refused();
        };
        store.confirm(number).await?;
        if renewal < renewals {
            let certificate = hub.issue();
            let bytes = key(certificate);
            store.add(KeyBytes { kind: 2, bytes: &bytes }, &chain(certificate)).await?;
        }
    }
    Ok(true)
}

/// A device that was registered and has its first certificate.
fn registered<const SLOTS: usize>(flash: impl NorFlash, hub: &mut Hub) {
    let certificate = hub.issue();
    let mut store = CredentialStore::<_, SLOTS>::new(flash).unwrap();
    let bytes = key(certificate);
    block_on(store.add(KeyBytes { kind: 2, bytes: &bytes }, &chain(certificate))).unwrap();
    assert_eq!(block_on(life::<SLOTS>(store.into_flash(), hub, 0)), Ok(true));
}

/// A life that ends after `power` units; then one with power. Whether the power was cut.
fn cut_life<const SLOTS: usize>(flash: &mut Flash<'_>, hub: &mut Hub, renewals: usize, power: usize) -> bool {
    flash.power = Some(power);
    let result = block_on(life::<SLOTS>(&mut *flash, hub, renewals));
    flash.power = None;
    assert!(matches!(result, Ok(true) | Err(Error::Flash(_))), "{result:?}");
    result.is_err()
}

#[test]
fn a_cut_at_every_byte_and_step_leaves_a_credential() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut cuts = 0;
    for power in 1.. {
        let (mut flash, mut hub) = (Flash::new(2, &mut rng), Hub::default());
        registered::<2>(&mut flash, &mut hub);
        let cut = cut_life::<2>(&mut flash, &mut hub, 2, power);
        assert_eq!(block_on(life::<2>(&mut flash, &mut hub, 0)), Ok(true), "after {power}");
        if !cut {
            break;
        }
        cuts += 1;
    }
    // Two renewals: each erases two blocks and writes one credential and one note.
    assert!(cuts > 5000, "{cuts}");
}

/// Bytes of a zone that holds one credential.
const ZONE: usize = 576;

/// Does something with two zones as a flash.
fn with_zones<T>(
    chip: &VirtualChip,
    act: impl FnOnce(ZoneFlash<'_, VirtualBus, VirtualDelay, ZONE, 2>) -> T,
) -> T {
    let mut driver = Stsafe::new(chip.bus(), chip.delay());
    act(ZoneFlash::new(&mut driver, [Place::new(1, 0), Place::new(4, 24)]))
}

/// The same in zones of an STSAFE-A100: cut at steps of the bus and of its memory, whatever a cut write leaves there.
#[test]
fn cuts_of_a_secure_element_that_holds_the_store_leave_a_credential() {
    let mut cuts = 0;
    for torn in [Torn::Clean, Torn::Byte, Torn::Page(64)] {
        let zones = vec![ZoneProfile::open(1, 576), ZoneProfile::open(4, 600)];
        let chip = VirtualChip::new(Profile { zones, ..Profile::az3166() }, [7; 32]);
        let mut hub = Hub::default();
        with_zones(&chip, |flash| registered::<2>(flash, &mut hub));
        let whole = chip.fork();
        let before = whole.steps();
        let life_of = |chip: &VirtualChip, hub: &mut Hub, renewals| {
            with_zones(chip, |flash| block_on(life::<2>(flash, hub, renewals)))
        };
        assert_eq!(life_of(&whole, &mut hub.clone(), 1), Ok(true));
        let steps = whole.steps() - before;
        // A step is a byte on the bus or in memory; a stride that shares no factor with a frame's or a page's length.
        for step in (0..steps).step_by(11) {
            let (chip, mut hub) = (chip.fork(), hub.clone());
            chip.set_torn(torn);
            chip.outage_after(step, Outage::PowerCut);
            let cut = life_of(&chip, &mut hub, 1);
            assert!(matches!(cut, Ok(true) | Err(Error::Flash(_))), "{torn:?}, step {step}: {cut:?}");
            cuts += u32::from(cut.is_err());
            chip.clear_faults();
            chip.power_on();
            assert_eq!(life_of(&chip, &mut hub, 0), Ok(true), "{torn:?}, step {step} of {steps}");
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

#[test]
fn zones_are_a_flash_of_their_size() {
    let zones = vec![ZoneProfile::open(1, 576), ZoneProfile::open(4, 600)];
    let chip = VirtualChip::new(Profile { zones, ..Profile::az3166() }, [7; 32]);
    with_zones(&chip, |mut flash| {
        assert_eq!(flash.capacity(), 2 * ZONE);
        let across = u32::try_from(ZONE - 100).unwrap();
        let bytes: Vec<u8> = (0..200).collect();
        block_on(flash.erase(0, 2 * u32::try_from(ZONE).unwrap())).unwrap();
        block_on(flash.write(across, &bytes)).unwrap();
        let mut read = [0; 202];
        block_on(flash.read(across - 1, &mut read)).unwrap();
        assert_eq!((read[0], &read[1..201], read[201]), (0xFF, &bytes[..], 0xFF));
        for at in [0, across] {
            let beyond = block_on(flash.read(at, &mut [0; 2 * ZONE + 1])).unwrap_err();
            assert_eq!(beyond.kind(), NorFlashErrorKind::OutOfBounds);
        }
        assert_eq!(block_on(flash.erase(0, 64)).unwrap_err().kind(), NorFlashErrorKind::OutOfBounds);
    });
}

#[test]
fn ten_thousand_cuts_one_after_the_other_leave_a_credential() {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut at = SmallRng::seed_from_u64(3);
    let (mut cuts, mut hub) = (0, Hub::default());
    let mut flash = Flash::new(6, &mut rng);
    registered::<3>(&mut flash, &mut hub);
    while cuts < 10_000 {
        // Often cut again before anything was done, sometimes after several renewals.
        let power = if at.next_u32() & 1 == 0 { at.random_range(1..64) } else { at.random_range(1..20_000) };
        cuts += usize::from(cut_life::<3>(&mut flash, &mut hub, 4, power));
        if at.next_u32().is_multiple_of(4) {
            assert_eq!(block_on(life::<3>(&mut flash, &mut hub, 0)), Ok(true), "after {cuts} cuts");
        }
    }
    assert_eq!(block_on(life::<3>(&mut flash, &mut hub, 3)), Ok(true));
    assert!(hub.issued > 1000, "{} certificates", hub.issued);
}

#[test]
fn a_first_certificate_that_is_cut_off_costs_nothing_else() {
    let mut rng = SmallRng::seed_from_u64(4);
    for power in 1..700 {
        let mut flash = Flash::new(2, &mut rng);
        flash.power = Some(power + BLOCK);
        let mut store = CredentialStore::<_>::new(&mut flash).unwrap();
        let added = block_on(store.add(KeyBytes { kind: 2, bytes: &key(1) }, &chain(1)));
        flash.power = None;
        let mut store = CredentialStore::<_>::new(&mut flash).unwrap();
        let entries = block_on(store.entries()).unwrap();
        if added.is_ok() {
            assert_eq!(entries.len(), 1);
        }
        // Whatever is there: it takes the next one.
        let number = block_on(store.add(KeyBytes { kind: 2, bytes: &key(2) }, &chain(2))).unwrap();
        let entries = block_on(store.entries()).unwrap();
        assert_eq!(entries.first().map(|entry| (entry.number, entry.confirmed)), Some((number, false)));
    }
}

#[test]
fn old_and_new_are_kept_until_the_new_one_has_worked_and_then_the_old_key_is_gone() {
    let mut rng = SmallRng::seed_from_u64(5);
    let mut flash = Flash::new(4, &mut rng);
    let mut store = CredentialStore::<_>::new(&mut flash).unwrap();
    assert!(block_on(store.entries()).unwrap().is_empty());
    assert_eq!(store.room(), 2 * BLOCK - 64);
    let first = block_on(store.add(KeyBytes { kind: 1, bytes: b"first key" }, b"first chain")).unwrap();
    block_on(store.confirm(first)).unwrap();
    for lost in 0..3u8 {
        // Issued, but never let in: each takes the place of the one before, not of the one that works.
        let bytes = [b"other key ", &[lost][..]].concat();
        block_on(store.add(KeyBytes { kind: 1, bytes: &bytes }, b"chain")).unwrap();
    }
    let entries = block_on(store.entries()).unwrap();
    let known: Vec<_> = entries.iter().map(|entry| (entry.number, entry.confirmed)).collect();
    assert_eq!(known, [(4, false), (first, true)]);
    let mut candidates = Candidates::new(entries);
    assert_eq!(candidates.current().map(|entry| entry.number), Some(4));
    assert_eq!(candidates.refused().map(|entry| entry.number), Some(first));
    assert!(candidates.refused().is_none() && candidates.refused().is_none());
    candidates.start_over();
    let newest = *candidates.current().unwrap();
    let mut buffer = [0; 64];
    let credential = block_on(store.load(&newest, &mut buffer)).unwrap();
    assert_eq!((credential.key.bytes, credential.chain), (&b"other key \x02"[..], &b"chain"[..]));
    assert_eq!(block_on(store.load(&newest, &mut [0; 9])).unwrap_err(), Error::BufferTooSmall { needed: 32 });
    assert_eq!(block_on(store.confirm(77)), Err(Error::NotFound));
    block_on(store.confirm(4)).unwrap();
    block_on(store.confirm(4)).unwrap();
    assert!(block_on(store.load(&newest, &mut [0; 64])).is_ok(), "the entry is from before");
    let big = block_on(store.add(KeyBytes { kind: 1, bytes: &[1; 48] }, &[2; 2 * BLOCK])).unwrap_err();
    assert_eq!(big, Error::NoRoom { room: store.room() });
    let debug = format!("{credential:?}");
    assert!(!debug.contains("111") && !debug.contains("other"), "{debug}");
    let used = flash.used;
    assert!(!flash.cells.windows(5).any(|window| window == b"first"), "the old key is still in the flash");
    let mut store = CredentialStore::<_>::new(&mut flash).unwrap();
    block_on(store.confirm(4)).unwrap();
    block_on(store.clear()).unwrap();
    assert!(block_on(store.entries()).unwrap().is_empty());
    assert_eq!(flash.used, used + 4 * BLOCK, "what is confirmed costs nothing");
    assert!(matches!(
        CredentialStore::<_, 9>::new(&mut Flash::new(4, &mut SmallRng::seed_from_u64(6))).map(|_| ()),
        Err(Error::NoRoom { room: 0 })
    ));
}

#[test]
fn every_changed_bit_is_seen() {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut flash = Flash::new(2, &mut rng);
    let mut store = CredentialStore::<_>::new(&mut flash).unwrap();
    block_on(store.add(KeyBytes { kind: 1, bytes: &[7; 32] }, &[9; 100])).unwrap();
    assert_eq!(&flash.cells[..4], b"AICR");
    for bit in (0..32 * 8).chain(64 * 8..(64 + 132) * 8) {
        flash.cells[bit / 8] ^= 1 << (bit % 8);
        let mut store = CredentialStore::<_>::new(&mut flash).unwrap();
        assert!(block_on(store.entries()).unwrap().is_empty(), "bit {bit}");
        flash.cells[bit / 8] ^= 1 << (bit % 8);
    }
}

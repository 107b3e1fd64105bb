//! Host keys in flash: what is kept, what counts, and what a failing flash does to it.

use devkit_app::host_keys::{HostKeyError, HostKeyStore, NoFlash, RECORD_LEN, SPARE, Sealing, StoredKeys};
use peripherals::FlashSector;
use stsafe_a100::asynch::CounterStore;
use stsafe_a100::session::{Counter, HostKeys};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("something waits"),
    }
}

fn keys(seed: u8) -> HostKeys {
    HostKeys::new([seed; 16], core::array::from_fn(|i| seed ^ u8::try_from(i).unwrap()))
}

fn stored(seed: u8, paired: bool) -> StoredKeys {
    StoredKeys { keys: keys(seed), paired, sealing: Sealing::Sealed, lowest: None }
}

fn read(flash: &FlashSector) -> Option<StoredKeys> {
    block_on(HostKeyStore::new(flash.clone()).read()).unwrap()
}

fn keep(flash: &FlashSector, seed: u8) -> Result<(), HostKeyError> {
    block_on(HostKeyStore::new(flash.clone()).keep(&keys(seed)))
}

fn confirm(flash: &FlashSector) -> Result<(), HostKeyError> {
    block_on(HostKeyStore::new(flash.clone()).confirm())
}

#[test]
fn the_last_keys_count() {
    let flash = FlashSector::new();
    assert_eq!(read(&flash), None);
    confirm(&flash).unwrap();
    assert_eq!(flash.steps(), 0, "there is nothing to confirm");
    keep(&flash, 1).unwrap();
    assert_eq!(read(&flash), Some(stored(1, false)));
    let steps = flash.steps();
    keep(&flash, 1).unwrap();
    assert_eq!(flash.steps(), steps, "they are there");
    confirm(&flash).unwrap();
    assert_eq!(read(&flash), Some(stored(1, true)));
    // The same keys for another chip.
    for seed in [1, 2] {
        keep(&flash, seed).unwrap();
        assert_eq!(read(&flash), Some(stored(seed, false)));
    }
    assert!(!format!("{:?}", read(&flash)).contains("[2"), "keys are not printed");
}

#[test]
fn a_record_is_as_documented_and_every_changed_bit_is_seen() {
    let flash = FlashSector::new();
    keep(&flash, 7).unwrap();
    let record = flash.contents();
    assert_eq!(&record[..8], b"SAHK\x07\x07\x07\x07");
    assert_eq!(record[20..24], [7, 6, 5, 4]);
    assert_eq!((&record[36..44], &record[48..64]), (&[0; 8][..], &[0xFF; 16][..]));
    // CRC-32, as zlib has it.
    assert_eq!(record[44..48], 0xF710_1F63_u32.to_le_bytes());
    for bit in 0..48 * 8 {
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        flash.load(&changed).unwrap();
        assert_eq!(read(&flash), None, "bit {bit}");
    }
    flash.load(&[0; 4096]).unwrap();
    assert_eq!(read(&flash), None);
}

#[test]
fn a_cell_that_is_worn_out_costs_one_record() {
    for at in [0, 5, 33, 47] {
        let flash = FlashSector::new();
        keep(&flash, 1).unwrap();
        flash.wear_out(RECORD_LEN + at);
        assert_eq!(keep(&flash, 2), Err(HostKeyError::NotWritten));
        assert_eq!(read(&flash), Some(stored(1, false)), "the ones before");
        keep(&flash, 2).unwrap();
        assert_eq!(read(&flash).unwrap().keys, keys(2));
    }
}

/// The power fails at every word of the way from one pair of keys to the next, with and without room for them.
#[test]
fn a_power_cut_leaves_the_keys_before_or_the_new_ones() {
    for full in [false, true] {
        let before = FlashSector::new();
        for seed in 1..=if full { 64 } else { 3 } {
            keep(&before, seed).unwrap();
            confirm(&before).unwrap();
        }
        let last = read(&before).unwrap();
        let steps = 12 + u32::from(full);
        let mut gone = 0;
        for (step, noise) in (0..steps).flat_map(|step| (1..20).map(move |noise| (step, noise * 77_777))) {
            let flash = FlashSector::new();
            flash.load(&before.contents()).unwrap();
            flash.cut_after(step, noise);
            assert!(keep(&flash, 99).is_err());
            assert!(matches!(keep(&flash, 99), Err(HostKeyError::Flash(_))), "without power");
            flash.power_on();
            let found = read(&flash);
            gone += u32::from(found.is_none());
            assert!(full || found.as_ref() == Some(&last), "step {step}: {found:?}");
            assert_ne!(found, Some(stored(99, false)), "it was not reported as kept");
            keep(&flash, 99).unwrap();
            assert_eq!(read(&flash).unwrap().keys, keys(99), "step {step}");
        }
        assert_eq!(gone > 0, full, "a full area is erased first");
    }
}

fn counter(value: u32) -> Counter {
    Counter::new(value).unwrap()
}

fn raise(flash: &FlashSector, value: u32) -> Result<(), HostKeyError> {
    block_on(HostKeyStore::new(flash.clone()).raise(counter(value)))
}

fn lowest(flash: &FlashSector) -> Option<u32> {
    block_on(HostKeyStore::new(flash.clone()).lowest()).unwrap().map(Counter::get)
}

#[test]
fn the_highest_counter_counts_and_new_keys_begin_anew() {
    let flash = FlashSector::new();
    keep(&flash, 1).unwrap();
    confirm(&flash).unwrap();
    assert_eq!(lowest(&flash), None);
    for value in 1..=30 {
        raise(&flash, value * 0x0001_0203).unwrap();
        assert_eq!(lowest(&flash), Some(value * 0x0001_0203));
        assert!(read(&flash).unwrap().paired);
    }
    // As documented: seven to a record.
    assert_eq!(&flash.contents()[64..80], b"SACN\0\0\0\0\x03\x02\x01\0\xFC\xFD\xFE\xFF");
    assert_eq!(&flash.contents()[128..132], b"SACN");
    keep(&flash, 1).unwrap();
    assert_eq!(lowest(&flash), None, "the same keys for another chip");
}

#[test]
fn states_follow_one_another_and_forgotten_keys_are_gone() {
    let flash = FlashSector::new();
    let mut store = HostKeyStore::new(flash.clone());
    keep(&flash, 1).unwrap();
    confirm(&flash).unwrap();
    raise(&flash, 5).unwrap();
    for sealing in [Sealing::Unsealing, Sealing::Clear] {
        block_on(store.set_sealing(sealing)).unwrap();
        assert_eq!(
            read(&flash).unwrap(),
            StoredKeys { sealing, lowest: Some(counter(5)), ..stored(1, true) }
        );
    }
    block_on(store.forget()).unwrap();
    assert_eq!(read(&flash), None);
    let steps = flash.steps();
    block_on(store.forget()).unwrap();
    assert_eq!(flash.steps(), steps, "there is nothing to forget");
    keep(&flash, 2).unwrap();
    assert_eq!(read(&flash), Some(stored(2, false)));
}

/// The power fails at every word of a counter, with every kind of noise: the one before counts, or this one, never a
/// higher one: that would lock the chip out.
#[test]
fn a_power_cut_leaves_the_counter_before_or_the_new_one() {
    for before in [0, 3, 7, 10] {
        let flash = FlashSector::new();
        keep(&flash, 1).unwrap();
        confirm(&flash).unwrap();
        for value in 0..before {
            raise(&flash, 0x00AA_5500 + value).unwrap();
        }
        let last = lowest(&flash);
        let contents = flash.contents();
        for (step, noise) in (0..4).flat_map(|step| (1..60).map(move |noise| (step, noise * 77_777))) {
            let flash = FlashSector::new();
            flash.load(&contents).unwrap();
            flash.cut_after(step, noise);
            let done = raise(&flash, 0x00AB_1234).is_ok();
            flash.power_on();
            let found = lowest(&flash);
            assert!(found == Some(0x00AB_1234) || (found == last && !done), "{before} {step}: {found:x?}");
            raise(&flash, 0x00AB_1235).unwrap();
            assert_eq!(lowest(&flash), Some(0x00AB_1235), "{before} {step}");
        }
    }
}

#[test]
fn starts_leave_room_and_a_full_area_says_so() {
    let flash = FlashSector::new();
    keep(&flash, 1).unwrap();
    let mut store = HostKeyStore::new(flash.clone());
    let mut starts = 0;
    while !block_on(store.is_almost_full()).unwrap() {
        starts += 1;
        raise(&flash, starts).unwrap();
    }
    let changes = (1..100_000).take_while(|change| raise(&flash, starts + change).is_ok()).count();
    assert!(starts > 300 && changes >= (SPARE - 1) * 7, "{starts} {changes}");
    assert_eq!(raise(&flash, 0x00FF_0000), Err(HostKeyError::NoRoom));
    assert_eq!(read(&flash).unwrap().keys, keys(1), "nothing is erased for it");
}

#[test]
fn a_worn_out_cell_costs_one_counter() {
    let flash = FlashSector::new();
    keep(&flash, 1).unwrap();
    raise(&flash, 1).unwrap();
    flash.wear_out(64 + 8 + 8);
    raise(&flash, 2).unwrap();
    assert_eq!(lowest(&flash), Some(2));
}

#[test]
fn without_flash_nothing_is_kept() {
    let mut store = HostKeyStore::new(NoFlash);
    assert_eq!(block_on(store.read()), Ok(None));
    assert_eq!(block_on(store.keep(&keys(1))), Err(HostKeyError::NoRoom));
    assert_eq!(block_on(store.confirm()), Ok(()));
}

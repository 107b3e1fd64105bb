//! The queue in flash: power cuts at every byte that is written and every step of an erasure, and ten thousand random
//! ones; what is stored and not removed is there, whole, in order.

use iothub_mqtt::queue::{MAX_PROPERTIES, RecordId, TelemetryQueue, WhenFull};
use iothub_mqtt::{Error, Telemetry};
use iothub_mqtt_test_support::flash::{Flash, PAGE};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use std::collections::BTreeSet;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("something waits"),
    }
}

/// The body of message `number`, of different lengths.
fn body(number: u32) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(4 + 13 * (number as usize % 9), number.to_le_bytes()[0] ^ 0x5A);
    body
}

/// What happened outside of the flash: what no power cut undoes.
#[derive(Default)]
struct World {
    /// The number of the next message.
    next: u32,
    /// Stored, and not yet removed or dropped.
    stored: BTreeSet<u32>,
    /// Being stored, removed or dropped when the power failed.
    open: BTreeSet<u32>,
    /// Messages that were dropped for good.
    dropped: u32,
    starts: u64,
}

impl World {
    /// One start of the device: sends some, stores some, as `rng` says.
    async fn life<const W: usize>(
        &mut self,
        flash: &mut Flash<W>,
        when_full: WhenFull,
        rng: &mut SmallRng,
        steps: usize,
    ) -> Result<(), Error> {
        self.starts += 1;
        let (mut buffer, mut record) = ([0; 256], [0; 256]);
        let area = flash.area();
        let mut queue = TelemetryQueue::open(flash, area, when_full, self.starts, &mut buffer).await?;
        for _ in 0..steps {
            if rng.next_u32() % 5 < 3 {
                let number = self.next;
                self.next += 1;
                self.open.insert(number);
                let before = queue.dropped();
                let pushed = queue.push(&Telemetry::new(&body(number))).await;
                if when_full == WhenFull::DropOldest {
                    // As many as were counted are gone: the oldest, unless older ones were there that were in hand
                    // at an earlier cut.
                    for _ in before..queue.dropped() {
                        self.dropped += 1;
                        self.open.extend(self.stored.pop_first());
                    }
                }
                match pushed {
                    Ok(()) => {
                        self.open.remove(&number);
                        self.stored.insert(number);
                    }
                    Err(Error::QueueFull) => {
                        assert_eq!(when_full, WhenFull::DropNewest);
                        self.open.remove(&number);
                        self.dropped += 1;
                    }
                    Err(error) => {
                        if when_full == WhenFull::DropOldest {
                            self.open.extend(self.stored.pop_first());
                        }
                        return Err(error);
                    }
                }
            } else {
                let Some(stored) = queue.load(&[], &mut record).await? else { continue };
                let (number, id) = self.received(&stored.message()?.telemetry(), stored.message()?.id());
                // The hub has it; from here on it may be removed.
                self.stored.remove(&number);
                self.open.insert(number);
                assert!(queue.remove(id).await?);
                self.open.remove(&number);
            }
        }
        Ok(())
    }

    /// The oldest message that there is, whole.
    fn received(&mut self, telemetry: &Telemetry<'_>, id: RecordId) -> (u32, RecordId) {
        let number = u32::from_le_bytes(telemetry.payload[..4].try_into().unwrap());
        assert_eq!(telemetry.payload, body(number), "a message that is whole");
        let oldest = self.stored.first().copied();
        assert!(
            oldest == Some(number) || self.open.contains(&number),
            "{number} came, {oldest:?} is the oldest"
        );
        (number, id)
    }

    /// Receives everything that is left.
    async fn drain<const W: usize>(&mut self, flash: &mut Flash<W>) -> Result<u32, Error> {
        self.starts += 1;
        let (mut buffer, mut record) = ([0; 256], [0; 256]);
        let area = flash.area();
        let mut queue =
            TelemetryQueue::open(flash, area, WhenFull::DropNewest, self.starts, &mut buffer).await?;
        let mut last = None;
        while let Some(stored) = queue.load(&[], &mut record).await? {
            let message = stored.message()?;
            let (number, id) = self.received(&message.telemetry(), message.id());
            assert!(last < Some(number), "{number} after {last:?}");
            last = Some(number);
            assert!(queue.remove(id).await?);
            self.stored.remove(&number);
            self.open.remove(&number);
        }
        assert!(self.stored.is_empty(), "lost: {:?}", self.stored);
        // What was in hand at a cut is not there, after all.
        self.open.clear();
        Ok(queue.dropped())
    }
}

/// A life that ends after `power` units. Whether the power was cut.
fn cut_life<const W: usize>(
    flash: &mut Flash<W>,
    world: &mut World,
    when_full: WhenFull,
    rng: &mut SmallRng,
    steps: usize,
    power: usize,
) -> bool {
    flash.power = Some(power);
    let result = block_on(world.life(flash, when_full, rng, steps));
    flash.power = None;
    assert!(matches!(result, Ok(()) | Err(Error::Flash(_))), "{result:?}");
    result.is_err()
}

fn cut_everywhere<const W: usize>(when_full: WhenFull) -> usize {
    let mut cuts = 0;
    for power in 1.. {
        let mut rng = SmallRng::seed_from_u64(1);
        let (mut flash, mut world) = (Flash::<W>::new(3, power as u64), World::default());
        block_on(world.life(&mut flash, when_full, &mut rng, 40)).unwrap();
        let cut = cut_life(&mut flash, &mut world, when_full, &mut rng, 40, power);
        // Often a device is cut again while it recovers.
        flash.power = Some(power % 97);
        let _ = block_on(world.life(&mut flash, when_full, &mut rng, 0));
        flash.power = None;
        block_on(world.life(&mut flash, when_full, &mut rng, 7)).unwrap();
        block_on(world.drain(&mut flash)).unwrap();
        if !cut {
            break;
        }
        cuts += 1;
    }
    cuts
}

#[test]
fn a_cut_at_every_byte_and_step_loses_and_tears_nothing() {
    let cuts = cut_everywhere::<1>(WhenFull::DropNewest)
        + cut_everywhere::<4>(WhenFull::DropOldest)
        + cut_everywhere::<8>(WhenFull::DropNewest)
        + cut_everywhere::<32>(WhenFull::DropOldest);
    assert!(cuts > 5000, "{cuts}");
}

#[test]
fn ten_thousand_cuts_one_after_the_other_lose_and_tear_nothing() {
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
        let (mut flash, mut world) = (Flash::<4>::new(4, 2), World::default());
        let (mut rng, mut at) = (SmallRng::seed_from_u64(3), SmallRng::seed_from_u64(4));
        let mut cuts = 0;
        while cuts < 5_000 {
            // Often cut again before anything was done, sometimes after many messages.
            let power =
                if at.next_u32() & 1 == 0 { at.random_range(1..100) } else { at.random_range(1..3_000) };
            cuts += usize::from(cut_life(&mut flash, &mut world, when_full, &mut rng, 60, power));
            if at.next_u32().is_multiple_of(4) {
                block_on(world.drain(&mut flash)).unwrap();
            }
        }
        block_on(world.drain(&mut flash)).unwrap();
        assert!(world.next > 10_000, "{} messages", world.next);
    }
}

/// Opens it at start number `start`.
fn open<'f, 'b>(
    flash: &'f mut Flash<4>,
    when_full: WhenFull,
    start: u64,
    buffer: &'b mut [u8],
) -> Result<TelemetryQueue<'b, &'f mut Flash<4>>, Error> {
    let area = flash.area();
    block_on(TelemetryQueue::open(flash, area, when_full, start, buffer))
}

#[test]
fn a_message_comes_back_as_it_was_with_an_id_that_stays() {
    let mut flash = Flash::<4>::new(2, 1);
    let (mut buffer, mut record, mut next) = ([0; 512], [0; 512], [0; 512]);
    let properties: Vec<_> = (0..MAX_PROPERTIES).map(|_| ("name & more", "wert ü")).collect();
    let full = Telemetry {
        message_id: Some("own-id"),
        correlation_id: Some("c"),
        user_id: Some("u"),
        creation_time: Some("2026-11-24T10:00:00Z"),
        component: Some("thermostat"),
        output: Some("o"),
        ..Telemetry::json(b"{}").with_properties(&properties)
    };
    let mut queue = open(&mut flash, WhenFull::DropOldest, 0xABCD, &mut buffer).unwrap();
    block_on(queue.push(&full)).unwrap();
    block_on(queue.push(&Telemetry::new(&[0, 255]))).unwrap();
    // A reset, and another.
    for start in [7, 8] {
        let mut queue = open(&mut flash, WhenFull::DropOldest, start, &mut buffer).unwrap();
        assert_eq!((queue.len(), queue.dropped()), (2, 0));
        let stored = block_on(queue.load(&[], &mut record)).unwrap().unwrap();
        let message = stored.message().unwrap();
        assert_eq!(format!("{:?}", message.telemetry()), format!("{full:?}"));
        let first = message.id();
        let stored = block_on(queue.load(&[first], &mut next)).unwrap().unwrap();
        let message = stored.message().unwrap();
        assert_eq!(message.telemetry().message_id, Some("000000000000abcd-1"));
        assert_eq!((message.telemetry().payload, message.telemetry().content_type), (&[0, 255][..], None));
        assert!(block_on(queue.load(&[first, message.id()], &mut [0; 512])).unwrap().is_none());
        let debug = format!("{queue:?} {stored:?}");
        assert!(debug.contains("waiting: 2") && !debug.contains("255"), "{debug}");
    }
}

#[test]
fn what_cannot_be_stored_is_refused_and_costs_nothing() {
    let mut flash = Flash::<4>::new(2, 1);
    let mut buffer = [0; 1024];
    let mut queue = open(&mut flash, WhenFull::DropOldest, 1, &mut buffer).unwrap();
    let many = [("a", "b"); MAX_PROPERTIES + 1];
    let refused = [
        (Telemetry::new(b"").with_properties(&many), Error::TooLarge),
        (Telemetry::new(&[0; PAGE]), Error::TooLarge),
        (Telemetry::new(&[0; 1024]), Error::TooLarge),
        (Telemetry::new(b"").with_properties(&[("", "")]), Error::Invalid { what: "property name", at: 0 }),
        (
            Telemetry { message_id: Some(&"x".repeat(129)), ..Telemetry::new(b"") },
            Error::Invalid { what: "message id", at: 129 },
        ),
    ];
    for (telemetry, error) in refused {
        assert_eq!(block_on(queue.push(&telemetry)), Err(error));
    }
    assert!(queue.is_empty());
    let flash = queue.into_flash();
    assert!(flash.cells.iter().skip(8).all(|cell| *cell == 0xFF), "something was written");

    // Areas that are none, a buffer that a record does not fit, and something else in the flash.
    let mut queue = open(flash, WhenFull::DropOldest, 1, &mut buffer).unwrap();
    block_on(queue.push(&Telemetry::new(&[1; 300]))).unwrap();
    assert!(matches!(
        open(flash, WhenFull::DropOldest, 1, &mut [0; 300]).map(|_| ()),
        Err(Error::BufferTooSmall { needed: 300.. })
    ));
    for area in [0..512, 0..4096, 4..1028] {
        let opened = block_on(TelemetryQueue::open(&mut *flash, area, WhenFull::DropOldest, 1, &mut buffer));
        assert!(matches!(opened.map(|_| ()), Err(Error::Invalid { what: "flash area", .. })));
    }
    flash.cells.fill(0x11);
    assert_eq!(open(flash, WhenFull::DropOldest, 1, &mut buffer).map(|_| ()), Err(Error::QueueCorrupted));
    let area = flash.area();
    block_on(TelemetryQueue::erase(&mut &mut *flash, area)).unwrap();
    assert!(open(flash, WhenFull::DropOldest, 1, &mut buffer).unwrap().is_empty());
}

#[test]
fn a_full_queue_drops_what_was_chosen_and_counts_it_over_resets() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropNewest] {
        let mut flash = Flash::<4>::new(4, 1);
        let (mut buffer, mut record) = ([0; 128], [0; 128]);
        let mut queue = open(&mut flash, when_full, 1, &mut buffer).unwrap();
        let mut taken = Vec::new();
        for number in 0..100u32 {
            match block_on(queue.push(&Telemetry::new(&number.to_le_bytes()))) {
                Ok(()) => taken.push(number),
                Err(error) => assert_eq!((error, when_full), (Error::QueueFull, WhenFull::DropNewest)),
            }
        }
        let (waiting, dropped) = (queue.len(), queue.dropped());
        assert_eq!(waiting + dropped, 100);
        assert!(waiting > 20, "{waiting}");
        let mut left = Vec::new();
        let mut queue = open(&mut flash, when_full, 2, &mut buffer).unwrap();
        assert_eq!(queue.len(), waiting);
        while let Some(stored) = block_on(queue.load(&[], &mut record)).unwrap() {
            let message = stored.message().unwrap();
            left.push(u32::from_le_bytes(message.telemetry().payload.try_into().unwrap()));
            assert!(block_on(queue.remove(message.id())).unwrap());
            assert!(!block_on(queue.remove(message.id())).unwrap(), "it was removed");
        }
        if when_full == WhenFull::DropOldest {
            assert_eq!(left, (dropped..100).collect::<Vec<_>>());
        } else {
            assert_eq!(left, taken);
            // Of those since the last one that was taken nothing is stored.
            block_on(queue.push(&Telemetry::new(b"next"))).unwrap();
        }
        // The last removal, or the next message, has stored the number.
        let kept = queue.dropped();
        let mut queue = open(&mut flash, when_full, 3, &mut buffer).unwrap();
        assert_eq!(queue.dropped(), kept);
        let Some(stored) = block_on(queue.load(&[], &mut record)).unwrap() else {
            assert_eq!((kept, when_full), (dropped, WhenFull::DropOldest));
            continue;
        };
        // One that nobody takes.
        let id = stored.message().unwrap().id();
        assert!(block_on(queue.discard(id)).unwrap() && !block_on(queue.discard(id)).unwrap());
        let queue = open(&mut flash, when_full, 4, &mut buffer).unwrap();
        assert_eq!((queue.dropped(), queue.len()), (kept + 1, 0));
    }
}

#[test]
fn all_pages_wear_alike_and_seldom() {
    let mut flash = Flash::<4>::new(8, 1);
    let (mut buffer, mut record) = ([0; 128], [0; 128]);
    let messages = 2_000;
    for start in 0..messages {
        // A device that sleeps between two messages.
        let mut queue = open(&mut flash, WhenFull::DropOldest, start, &mut buffer).unwrap();
        block_on(queue.push(&Telemetry::json(br#"{"temperature":21.5}"#))).unwrap();
        let stored = block_on(queue.load(&[], &mut record)).unwrap().unwrap();
        block_on(queue.remove(stored.message().unwrap().id())).unwrap();
    }
    // Records of 72 bytes: six on a page of 512.
    let erased = flash.erased as u64;
    assert!((messages / 7..messages / 5).contains(&erased), "{erased} erasures for {messages} messages");
}

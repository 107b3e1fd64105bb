//! The queue of telemetry over any content of its flash, and its records.

use embedded_storage_async::nor_flash::NorFlash as _;
use iothub_mqtt::queue::{Stored, TelemetryQueue, WhenFull};
use iothub_mqtt::{Endpoint, Error, Telemetry};
use iothub_mqtt_test_support::flash::{Flash, PAGE};

use crate::bytes::Bytes;

const PAGES: usize = 3;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("something waits"),
    }
}

/// The first byte chooses what a full queue drops; the others are the flash, which is erased behind them.
pub(crate) fn run(input: &[u8]) {
    record(input);
    let mut bytes = Bytes(input);
    let when_full = if bytes.byte() & 1 == 0 { WhenFull::DropOldest } else { WhenFull::DropNewest };
    let mut flash = Flash::<4>::new(PAGES, 1);
    flash.cells.iter_mut().zip(bytes.0).for_each(|(cell, byte)| *cell = *byte);
    match block_on(use_queue(&mut flash, when_full)) {
        Ok(()) => {}
        Err(Error::QueueCorrupted | Error::BufferTooSmall { .. }) => {
            // What is left then.
            let end = u32::try_from(PAGES * PAGE).unwrap();
            block_on(flash.erase(0, end)).unwrap();
            block_on(use_queue(&mut flash, when_full)).expect("an erased flash is an empty queue");
        }
        Err(error) => panic!("{error}"),
    }
}

/// Takes what is there, fills the queue, and takes that.
async fn use_queue(flash: &mut Flash<4>, when_full: WhenFull) -> Result<(), Error> {
    let (mut buffer, mut out) = ([0; 256], [0; 256]);
    let area = flash.area();
    let mut queue = TelemetryQueue::open(flash, area, when_full, 9, &mut buffer).await?;
    for _ in 0..2 {
        let waiting = queue.len();
        let mut taken = 0;
        while let Some(stored) = queue.load(&[], &mut out).await? {
            let message = stored.message()?;
            telemetry(&message.telemetry());
            if !queue.remove(message.id()).await? {
                // Pages that no queue has written may change their order when a note is written between them.
                return Ok(());
            }
            taken += 1;
            assert!(taken <= waiting, "more than there are");
        }
        for number in 0..30u8 {
            match queue.push(&Telemetry::json(&[number; 20])).await {
                Ok(()) => {}
                Err(Error::QueueFull) => assert_eq!(when_full, WhenFull::DropNewest),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Any bytes as a record.
fn record(input: &[u8]) {
    if let Ok(message) = Stored::new(input).message() {
        telemetry(&message.telemetry());
    }
}

fn telemetry(telemetry: &Telemetry<'_>) {
    assert!(telemetry.message_id.is_some());
    let endpoint = Endpoint::new("hub.azure-devices.net", "my-device").unwrap();
    let _ = telemetry.topic(&endpoint, &mut [0; 4096]);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![], vec![0; PAGE], vec![1, 0x11]];
    for when_full in [WhenFull::DropOldest, WhenFull::DropNewest] {
        for count in [1, 4, 40u8] {
            let mut flash = Flash::<4>::new(PAGES, 1);
            let mut buffer = [0; 256];
            let area = flash.area();
            let filled = async {
                let mut queue = TelemetryQueue::open(&mut flash, area, when_full, 7, &mut buffer).await?;
                for number in 0..count {
                    let _ = queue.push(&Telemetry::json(&[number; 20]).with_properties(&[("a", "b")])).await;
                }
                Ok::<_, Error>(())
            };
            block_on(filled).unwrap();
            seeds.push([&[u8::from(when_full == WhenFull::DropNewest)], &flash.cells[..]].concat());
        }
    }
    // A record by itself: kind, start, number, dropped, properties, body.
    seeds.push(b"\0\x07\0\0\x01\x02id\0\0\0\0\0\0\0\x01\x01a\x01b\x02{}".to_vec());
    seeds
}

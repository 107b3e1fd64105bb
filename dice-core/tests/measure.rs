//! Measuring streams and flash, and lending the device secret.
#![cfg(all(feature = "embedded-io", feature = "embedded-io-async", feature = "embedded-storage"))]

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use dice_core::hash::{Sha256, Sha512};
use dice_core::{AsyncUdsSource, Error, FirmwareDigest, Measurement, SourceError, Uds, UdsSource};
use embedded_storage::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use proptest::prelude::*;

/// Runs a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the future waits"),
    }
}

/// A stream that gives at most `piece` bytes a call and fails after `fails_after` bytes.
struct Stream<'a> {
    data: &'a [u8],
    piece: usize,
    fails_after: Option<usize>,
    given: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broken;

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("broken")
    }
}

impl core::error::Error for Broken {}

impl embedded_io::Error for Broken {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

impl embedded_io::ErrorType for Stream<'_> {
    type Error = Broken;
}

impl embedded_io::Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        if self.fails_after.is_some_and(|limit| self.given >= limit) {
            return Err(Broken);
        }
        let len = self.piece.min(buffer.len()).min(self.data.len());
        let (now, later) = self.data.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.data = later;
        self.given += len;
        Ok(len)
    }
}

impl embedded_io_async::Read for Stream<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        embedded_io::Read::read(self, buffer)
    }
}

/// Flash that reads in units of four bytes.
struct Flash(Vec<u8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FlashError(NorFlashErrorKind);

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        self.0
    }
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        embedded_storage::nor_flash::check_read(self, offset, bytes.len()).map_err(FlashError)?;
        let start = offset as usize;
        bytes.copy_from_slice(&self.0[start..start + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

proptest! {
    #[test]
    fn streams_and_flash_measure_as_slices(
        words in prop::collection::vec(any::<[u8; 4]>(), 1..100),
        piece in 1_usize..50,
        buffer in 4_usize..70,
        skip in 0_usize..20,
    ) {
        let image = words.concat();
        let expected = FirmwareDigest::of(&image).unwrap();
        let stream = || Stream { data: &image, piece, fails_after: None, given: 0 };
        let mut buffer = vec![0; buffer];
        prop_assert_eq!(Measurement::new().read_to_end(stream(), &mut buffer), Ok(expected));
        let digest = ready(Measurement::new().read_to_end_async(stream(), &mut buffer));
        prop_assert_eq!(digest, Ok(expected));

        let mut flash = Flash([vec![0xff; 4 * skip], image.clone(), vec![0xee; 8]].concat());
        let (offset, len) = (u32::try_from(4 * skip).unwrap(), u32::try_from(image.len()).unwrap());
        prop_assert_eq!(Measurement::new().read_flash(&mut flash, offset, len, &mut buffer), Ok(expected));

        let mut sha512 = Measurement::<Sha512>::with_hash();
        sha512.update(&image);
        let digest = Measurement::<Sha512>::with_hash().read_to_end(stream(), &mut buffer);
        prop_assert_eq!(digest, Ok(sha512.finish().unwrap()));
    }
}

#[test]
fn each_failure_has_its_own_error() {
    let mut buffer = [0; 16];
    let stream = |data, fails_after| Stream { data, piece: 8, fails_after, given: 0 };
    let measurement = Measurement::<Sha256>::with_hash;
    assert_eq!(
        measurement().read_to_end(stream(&[1; 40], Some(16)), &mut buffer),
        Err(SourceError::Read(Broken))
    );
    assert_eq!(
        measurement().read_to_end(stream(&[], None), &mut buffer),
        Err(SourceError::Dice(Error::EmptyMeasurement))
    );
    assert_eq!(
        measurement().read_to_end(stream(&[1; 40], None), &mut []),
        Err(SourceError::Dice(Error::BufferTooSmall { needed: 1, available: 0 }))
    );
    let mut flash = Flash(vec![7; 64]);
    let mut read = |offset, len, buffer: &mut [u8]| measurement().read_flash(&mut flash, offset, len, buffer);
    assert!(read(0, 64, &mut buffer).is_ok());
    assert_eq!(read(0, 0, &mut buffer), Err(SourceError::Dice(Error::EmptyMeasurement)));
    assert_eq!(read(2, 8, &mut buffer), Err(SourceError::Read(FlashError(NorFlashErrorKind::NotAligned))));
    assert_eq!(read(0, 6, &mut buffer), Err(SourceError::Read(FlashError(NorFlashErrorKind::NotAligned))));
    assert_eq!(read(60, 8, &mut buffer), Err(SourceError::Read(FlashError(NorFlashErrorKind::OutOfBounds))));
    assert_eq!(
        read(u32::MAX - 3, 8, &mut buffer),
        Err(SourceError::Read(FlashError(NorFlashErrorKind::OutOfBounds)))
    );
    assert_eq!(
        read(0, 8, &mut [0; 3]),
        Err(SourceError::Dice(Error::BufferTooSmall { needed: 4, available: 3 }))
    );
    let error: SourceError<Broken> = Error::EmptyMeasurement.into();
    assert!(core::error::Error::source(&error).is_some());
    assert!(!error.to_string().is_empty() && !SourceError::Read(Broken).to_string().is_empty());
}

#[test]
fn a_secret_is_lent() {
    let mut uds = Uds::from_bytes(*b"a device secret for tests only..").unwrap();
    let first: Result<u8, Error> = UdsSource::with_uds(&mut uds, |uds| uds.expose()[0]);
    assert_eq!(first, Ok(b'a'));
    let second: Result<u8, Error> = ready(AsyncUdsSource::with_uds(&mut uds, |uds| uds.expose()[1]));
    assert_eq!(second, Ok(b' '));
}

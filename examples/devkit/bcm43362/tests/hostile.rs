//! A card, a controller and a flash that answer anything: the bring-up ends, and never in success.

use core::cell::Cell;

use bcm43362::command::{Command, Transfer};
use bcm43362::{BlobSource, Clock, Nvram, Radio, Region, SdioBus, SdioError, SdioErrorKind, Width};
use embedded_hal_async::delay::DelayNs;

#[derive(Debug)]
struct Failure(SdioErrorKind);

impl SdioError for Failure {
    fn kind(&self) -> SdioErrorKind {
        self.0
    }
}

/// Random numbers, and what has been asked for so far. The answers are good often enough to get somewhere.
struct Hostile {
    state: Cell<u64>,
    commands: Cell<u32>,
    waited_ns: Cell<u64>,
}

impl Hostile {
    fn next(&self) -> u64 {
        let mut state = self.state.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.state.set(state);
        state
    }

    fn bits(&self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    fn answer(&self) -> Result<u32, Failure> {
        self.commands.set(self.commands.get() + 1);
        match self.next() % 64 {
            0 => Err(Failure(SdioErrorKind::NoResponse)),
            1 => Err(Failure(SdioErrorKind::ResponseCrc)),
            2 => Err(Failure(SdioErrorKind::Data)),
            3 if self.next().is_multiple_of(8) => Err(Failure(SdioErrorKind::Other)),
            // Any bits; all bits of data; none of an error.
            4 => Ok(self.bits()),
            5..20 => Ok(0xA030_0000),
            _ => Ok(0x1000 | self.bits() >> 24),
        }
    }

    fn fill(&self, out: &mut [u8]) {
        if out.len() == 4 && !self.next().is_multiple_of(4) {
            out.copy_from_slice(&[0x62, 0xA9, 0x01, 0x00]);
        } else {
            out.fill_with(|| self.bits().to_be_bytes()[0]);
        }
    }
}

impl SdioBus for &Hostile {
    type Error = Failure;

    fn set_clock(&mut self, _: Clock) {}

    fn set_width(&mut self, _: Width) {}

    async fn command(&mut self, _: Command) -> Result<u32, Failure> {
        self.answer()
    }

    async fn read(&mut self, _: Transfer, out: &mut [u8]) -> Result<u32, Failure> {
        self.fill(out);
        self.answer()
    }

    async fn write(&mut self, _: Transfer, _: &[u8]) -> Result<u32, Failure> {
        self.answer()
    }
}

impl DelayNs for &Hostile {
    async fn delay_ns(&mut self, ns: u32) {
        self.waited_ns.set(self.waited_ns.get() + u64::from(ns));
    }
}

impl BlobSource for &Hostile {
    type Error = ();

    async fn read(&mut self, _: u32, out: &mut [u8]) -> Result<(), ()> {
        self.fill(out);
        Ok(())
    }
}

#[test]
fn it_ends_whatever_is_answered() {
    let mut far = 0;
    for seed in 1..4000 {
        let all = Hostile { state: Cell::new(seed << 20), commands: Cell::new(0), waited_ns: Cell::new(0) };
        let region = Region { address: 0, len: 4096 };
        let nvram = Nvram::new(b"a=1\0").unwrap();
        let outcome = embassy_futures::block_on(Radio::bring_up(&all, &all, &mut &all, region, nvram));
        assert!(outcome.is_err(), "seed {seed}");
        assert!(all.commands.get() < 3000, "seed {seed}: {} commands", all.commands.get());
        // The waits of all steps together.
        assert!(all.waited_ns.get() < 8_000_000_000, "seed {seed}: {} ns", all.waited_ns.get());
        far = far.max(all.commands.get());
    }
    assert!(far > 60, "the answers were too bad to get anywhere: {far}");
}

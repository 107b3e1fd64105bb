//! An I2C bus that plays recorded traffic: it checks every frame written and gives the recorded answers.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_hal::i2c::{ErrorKind, ErrorType, NoAcknowledgeSource, Operation};
use serde_json::Value;

/// One logical exchange.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The frame the host must write.
    pub write: Vec<u8>,
    /// How often the chip refuses it first.
    pub write_nacks: usize,
    /// How often the chip refuses to be read first.
    pub read_nacks: usize,
    /// The answer; reads beyond it give 0xFF.
    pub answer: Vec<u8>,
}

/// The exchanges recorded in a case's `bus`.
pub fn recorded(case: &Value) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut write_nacks = 0;
    for step in super::list(&case["bus"]) {
        match step["op"].as_str().unwrap() {
            "write" if step["ack"] == false => write_nacks += 1,
            "write" => exchanges.push(Exchange {
                write: super::hex(&step["hex"]),
                write_nacks: std::mem::take(&mut write_nacks),
                ..Exchange::default()
            }),
            "read" => {
                let exchange = exchanges.last_mut().unwrap();
                match step["hex"].as_str() {
                    None => exchange.read_nacks += 1,
                    Some(bytes) => {
                        let bytes = hex::decode(bytes).unwrap();
                        if bytes.len() > exchange.answer.len() {
                            exchange.answer = bytes;
                        }
                    }
                }
            }
            "delay" => {}
            other => panic!("{other}"),
        }
    }
    exchanges
}

/// The bus.
#[derive(Debug)]
pub struct Replay {
    script: VecDeque<Exchange>,
    current: Option<Exchange>,
}

impl Replay {
    pub fn new(script: Vec<Exchange>) -> Self {
        Self { script: script.into(), current: None }
    }

    /// Everything recorded must have been written.
    pub fn assert_done(&self) {
        assert!(self.script.is_empty(), "not written: {:02x?}", self.script);
    }

    fn on_write(&mut self, frame: &[u8]) -> Result<(), ErrorKind> {
        let next = self.script.front_mut().unwrap_or_else(|| panic!("unrecorded frame {frame:02x?}"));
        assert_eq!(hex::encode(frame), hex::encode(&next.write));
        if next.write_nacks > 0 {
            next.write_nacks -= 1;
            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        }
        self.current = self.script.pop_front();
        Ok(())
    }

    fn on_read(&mut self, out: &mut [u8]) -> Result<(), ErrorKind> {
        let current = self.current.as_mut().expect("a read before any command");
        if current.read_nacks > 0 {
            current.read_nacks -= 1;
            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown));
        }
        let answer = current.answer.iter().copied().chain(std::iter::repeat(0xFF));
        out.iter_mut().zip(answer).for_each(|(to, from)| *to = from);
        Ok(())
    }

    fn on_transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        assert_eq!(address, 0x20);
        match operations {
            [Operation::Write(frame)] => self.on_write(frame),
            [Operation::Read(out)] => self.on_read(out),
            other => panic!("combined transfers do not work with this chip: {other:?}"),
        }
    }
}

impl ErrorType for Replay {
    type Error = ErrorKind;
}

impl embedded_hal::i2c::I2c for Replay {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        self.on_transaction(address, operations)
    }
}

impl embedded_hal_async::i2c::I2c for Replay {
    async fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        self.on_transaction(address, operations)
    }
}

/// Time does not pass; how much was asked for is summed up.
#[derive(Debug, Default)]
pub struct NoDelay {
    pub slept_ns: u64,
}

impl embedded_hal::delay::DelayNs for NoDelay {
    fn delay_ns(&mut self, ns: u32) {
        self.slept_ns += u64::from(ns);
    }
}

impl embedded_hal_async::delay::DelayNs for NoDelay {
    async fn delay_ns(&mut self, ns: u32) {
        self.slept_ns += u64::from(ns);
    }
}

/// Runs a future that never waits.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}

//! An I2C bus as the controller sees it, condition by condition or a transaction at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use embedded_hal::i2c::{self, ErrorKind, NoAcknowledgeSource, Operation, SevenBitAddress};

/// A slave, addressed already: it sees only what is meant for it.
pub trait I2cSlave {
    /// START or repeated START with this slave's address. Gives whether it acknowledges.
    fn start(&mut self, read: bool) -> bool;

    /// A byte from the controller. Gives whether it is acknowledged.
    fn write(&mut self, byte: u8) -> bool;

    /// A byte to the controller.
    fn read(&mut self) -> u8;

    /// STOP.
    fn stop(&mut self);

    /// A repeated START with the address of another slave.
    fn deselect(&mut self) {
        self.stop();
    }

    /// Time passes.
    fn elapse(&mut self, _nanoseconds: u64) {}
}

/// A model that is on a bus and in the hands of a test at the same time.
pub type Shared<T> = Arc<Mutex<T>>;

/// Makes a model shared.
pub fn shared<T>(model: T) -> Shared<T> {
    Arc::new(Mutex::new(model))
}

/// Runs `action` on a shared model; a model is whole even if its user has panicked.
pub(crate) fn with<T, R>(model: &Shared<T>, action: impl FnOnce(&mut T) -> R) -> R {
    action(&mut model.lock().unwrap_or_else(PoisonError::into_inner))
}

impl<T: I2cSlave> I2cSlave for Shared<T> {
    fn start(&mut self, read: bool) -> bool {
        with(self, |slave| slave.start(read))
    }

    fn write(&mut self, byte: u8) -> bool {
        with(self, |slave| slave.write(byte))
    }

    fn read(&mut self) -> u8 {
        with(self, T::read)
    }

    fn stop(&mut self) {
        with(self, T::stop);
    }

    fn deselect(&mut self) {
        with(self, T::deselect);
    }

    fn elapse(&mut self, nanoseconds: u64) {
        with(self, |slave| slave.elapse(nanoseconds));
    }
}

/// Slaves by their 7-bit addresses.
#[derive(Default)]
pub struct Bus {
    slaves: BTreeMap<u8, Box<dyn I2cSlave + Send>>,
    selected: Option<u8>,
}

impl Bus {
    /// A bus without slaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a slave on the bus; it replaces one at the same address.
    pub fn attach(&mut self, address: u8, slave: impl I2cSlave + Send + 'static) {
        self.slaves.insert(address, Box::new(slave));
    }

    fn selected(&mut self) -> Option<&mut Box<dyn I2cSlave + Send>> {
        self.slaves.get_mut(&self.selected?)
    }

    /// START, or repeated START if there was no STOP since the last, and the address byte. Gives whether a slave
    /// acknowledged.
    pub fn start(&mut self, address: u8, read: bool) -> bool {
        if self.selected != Some(address)
            && let Some(before) = self.selected()
        {
            before.deselect();
        }
        self.selected = Some(address);
        self.selected().is_some_and(|slave| slave.start(read))
    }

    /// A byte to the addressed slave. Gives whether it was acknowledged.
    pub fn put(&mut self, byte: u8) -> bool {
        self.selected().is_some_and(|slave| slave.write(byte))
    }

    /// A byte from the addressed slave; 0xFF, the level of the idle line, if there is none.
    pub fn get(&mut self) -> u8 {
        self.selected().map_or(0xFF, |slave| slave.read())
    }

    /// STOP.
    pub fn stop(&mut self) {
        if let Some(slave) = self.selected() {
            slave.stop();
        }
        self.selected = None;
    }

    /// Lets time pass for every slave.
    pub fn elapse(&mut self, nanoseconds: u64) {
        self.slaves.values_mut().for_each(|slave| slave.elapse(nanoseconds));
    }

    fn operations(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), TransactionError> {
        let mut direction = None;
        for operation in operations {
            let read = matches!(operation, Operation::Read(_));
            if direction.replace(read) != Some(read) && !self.start(address, read) {
                return Err(TransactionError::AddressNack);
            }
            match operation {
                Operation::Write(bytes) => {
                    if !bytes.iter().all(|byte| self.put(*byte)) {
                        return Err(TransactionError::DataNack);
                    }
                }
                Operation::Read(out) => out.fill_with(|| self.get()),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("addresses", &self.slaves.keys()).finish_non_exhaustive()
    }
}

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionError {
    /// An address was not acknowledged.
    AddressNack,
    /// A written byte was not acknowledged.
    DataNack,
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddressNack => "address not acknowledged",
            Self::DataNack => "data not acknowledged",
        })
    }
}

impl std::error::Error for TransactionError {}

impl i2c::Error for TransactionError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NoAcknowledge(match self {
            Self::AddressNack => NoAcknowledgeSource::Address,
            Self::DataNack => NoAcknowledgeSource::Data,
        })
    }
}

impl i2c::ErrorType for Bus {
    type Error = TransactionError;
}

impl i2c::I2c<SevenBitAddress> for Bus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), TransactionError> {
        let result = self.operations(address, operations);
        // Whatever happened, the controller ends it.
        self.stop();
        result
    }
}

impl embedded_hal_async::i2c::I2c<SevenBitAddress> for Bus {
    async fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), TransactionError> {
        i2c::I2c::transaction(self, address, operations)
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal::i2c::{I2c as _, Operation};

    use super::{Bus, I2cSlave, TransactionError, shared, with};

    /// Writes down what happens to it; takes three bytes.
    #[derive(Default)]
    struct Recorder(Vec<String>, usize);

    impl I2cSlave for Recorder {
        fn start(&mut self, read: bool) -> bool {
            self.0.push(if read { "Sr" } else { "Sw" }.to_owned());
            true
        }

        fn write(&mut self, byte: u8) -> bool {
            self.0.push(format!("{byte:02x}"));
            self.1 += 1;
            self.1 <= 3
        }

        fn read(&mut self) -> u8 {
            self.0.push("r".to_owned());
            0x5A
        }

        fn stop(&mut self) {
            self.0.push("P".to_owned());
        }
    }

    #[test]
    fn a_start_wherever_the_direction_changes_and_one_stop() {
        let slave = shared(Recorder::default());
        let mut bus = Bus::new();
        bus.attach(0x11, slave.clone());
        let mut out = [0; 2];
        bus.transaction(
            0x11,
            &mut [
                Operation::Write(&[1]),
                Operation::Write(&[2]),
                Operation::Read(&mut out),
                Operation::Write(&[3]),
            ],
        )
        .unwrap();
        assert_eq!(out, [0x5A; 2]);
        assert_eq!(with(&slave, |slave| slave.0.join(" ")), "Sw 01 02 Sr r r Sw 03 P");
        assert_eq!(bus.write(0x11, &[4]), Err(TransactionError::DataNack));
        assert_eq!(bus.read(0x12, &mut out), Err(TransactionError::AddressNack));
        assert!(with(&slave, |slave| slave.0.ends_with(&["04".to_owned(), "P".to_owned()])));
    }
}

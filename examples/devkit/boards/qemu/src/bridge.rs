//! The I2C bus, the buttons, the lamps and the flash sector for keys: virtual devices on the host, behind the second
//! serial port ([`bridge_protocol`]).
//!
//! A future that is dropped while it waits for an answer leaves the answer on the line. The line counts what it is owed
//! and throws that away before the next request.

use bridge_protocol::{self as protocol, Buttons, FlashStatus, OperationKind, RestartFinder, Status};
use devkit_app::board::{Button, Lamp, Panel, Rgb};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_time::{Duration, with_timeout};
use embedded_hal_async::i2c::{Error, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use embedded_storage_async::nor_flash::{self, NorFlash, NorFlashErrorKind, ReadNorFlash};

use crate::uart::BRIDGE;

/// How long the host may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take at the start: it may be in the midst of something.
const START: Duration = Duration::from_secs(10);

/// The line to the host, and what is still to come on it.
pub(crate) struct Line {
    /// The status of a transaction or of a request to the flash; `data` bytes follow it if it is good.
    status: bool,
    /// Bytes of an answer.
    data: usize,
}

/// The line, shared by the bus and the panel.
pub(crate) type SharedLine = Mutex<NoopRawMutex, Line>;

/// Why a transaction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BusError {
    /// The address was not acknowledged.
    Address,
    /// A byte was not acknowledged.
    Data,
    /// A transaction the protocol has no room for.
    TooLong,
    /// The host does not answer, or not as agreed.
    Host,
}

impl Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Address => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::Data => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Self::TooLong | Self::Host => ErrorKind::Other,
        }
    }
}

impl Line {
    /// Takes the line: the host gives up what the run before had begun, and what it still answers to that is passed
    /// over.
    pub(crate) async fn open() -> SharedLine {
        BRIDGE.send(&protocol::RESTART);
        let mut finder = RestartFinder::default();
        let answer = async {
            let mut byte = [0];
            while !finder.push(byte[0]) {
                BRIDGE.read(&mut byte).await;
            }
        };
        // Without a host nothing on the line is answered, and whoever asks finds that.
        let _ = with_timeout(START, answer).await;
        Mutex::new(Self { status: false, data: 0 })
    }

    /// Discards answers to requests that were given up.
    async fn settle(&mut self) -> Result<(), BusError> {
        if self.status {
            // That failure has been reported already, or does not matter any more.
            let _ = self.status().await?;
        }
        let mut waste = [0; 32];
        while self.data > 0 {
            let part = self.data.min(waste.len());
            self.receive(waste.get_mut(..part).unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// Takes bytes of the answer.
    async fn receive(&mut self, out: &mut [u8]) -> Result<(), BusError> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let count = with_timeout(PATIENCE, BRIDGE.read(rest)).await.map_err(|_| BusError::Host)?;
            self.data = self.data.saturating_sub(count);
            done += count;
        }
        Ok(())
    }

    /// Takes the status of an answer. Data follow good ones only, which are 0.
    async fn status(&mut self) -> Result<u8, BusError> {
        let mut byte = [0];
        with_timeout(PATIENCE, BRIDGE.read(&mut byte)).await.map_err(|_| BusError::Host)?;
        self.status = false;
        if byte[0] != 0 {
            self.data = 0;
        }
        Ok(byte[0])
    }

    async fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let (mut written, mut read) = (0, 0);
        for operation in &*operations {
            match operation {
                Operation::Write(bytes) => written += bytes.len(),
                Operation::Read(bytes) => read += bytes.len(),
            }
        }
        let count = u8::try_from(operations.len()).map_err(|_| BusError::TooLong)?;
        if written + read > protocol::MAX_TRANSACTION {
            return Err(BusError::TooLong);
        }
        self.settle().await?;
        BRIDGE.send(&protocol::transaction(address, count));
        for operation in &*operations {
            let (kind, bytes) = match operation {
                Operation::Write(bytes) => (OperationKind::Write, *bytes),
                Operation::Read(bytes) => (OperationKind::Read, &**bytes),
            };
            // The sum of all lengths fits, see above.
            let length = u16::try_from(bytes.len()).unwrap_or_default();
            BRIDGE.send(&protocol::operation(kind, length));
            if kind == OperationKind::Write {
                BRIDGE.send(bytes);
            }
        }
        BRIDGE.send(&[protocol::END]);
        (self.status, self.data) = (true, read);
        match Status::from_byte(self.status().await?) {
            Some(Status::Ok) => {}
            Some(Status::AddressNack) => return Err(BusError::Address),
            Some(Status::DataNack) => return Err(BusError::Data),
            None => return Err(BusError::Host),
        }
        for operation in operations {
            if let Operation::Read(bytes) = operation {
                self.receive(bytes).await?;
            }
        }
        Ok(())
    }

    /// A request to the flash sector, with bytes that go there or come from there.
    async fn flash(&mut self, head: &[u8], sent: &[u8], out: &mut [u8]) -> Result<FlashStatus, BusError> {
        self.settle().await?;
        BRIDGE.send(head);
        BRIDGE.send(sent);
        BRIDGE.send(&[protocol::END]);
        (self.status, self.data) = (true, out.len());
        let status = FlashStatus::from_byte(self.status().await?).ok_or(BusError::Host)?;
        if status == FlashStatus::Ok {
            self.receive(out).await?;
        }
        Ok(status)
    }

    async fn buttons(&mut self) -> Result<Buttons, BusError> {
        self.settle().await?;
        BRIDGE.send(&[protocol::BUTTONS]);
        self.data = 1;
        let mut byte = [0];
        self.receive(&mut byte).await?;
        Buttons::from_byte(byte[0]).ok_or(BusError::Host)
    }
}

/// The bus as the application sees it.
pub(crate) struct Bus(pub(crate) &'static SharedLine);

impl ErrorType for Bus {
    type Error = BusError;
}

impl I2c for Bus {
    async fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        self.0.lock().await.transaction(address, operations).await
    }
}

/// The flash sector as the application sees it.
pub(crate) struct BridgeFlash(pub(crate) &'static SharedLine);

impl BridgeFlash {
    async fn request(&mut self, head: &[u8], sent: &[u8], out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        match self.0.lock().await.flash(head, sent, out).await {
            Ok(FlashStatus::Ok) => Ok(()),
            Ok(FlashStatus::OutOfBounds) => Err(NorFlashErrorKind::OutOfBounds),
            Ok(FlashStatus::NotAligned) => Err(NorFlashErrorKind::NotAligned),
            Ok(FlashStatus::Failed) | Err(_) => Err(NorFlashErrorKind::Other),
        }
    }

    fn head(request: u8, offset: u32, len: usize) -> Result<[u8; 5], NorFlashErrorKind> {
        let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) else {
            return Err(NorFlashErrorKind::OutOfBounds);
        };
        Ok(protocol::flash(request, offset, len))
    }
}

impl nor_flash::ErrorType for BridgeFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for BridgeFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.request(&Self::head(protocol::FLASH_READ, offset, bytes.len())?, &[], bytes).await
    }

    fn capacity(&self) -> usize {
        protocol::FLASH_LEN
    }
}

impl NorFlash for BridgeFlash {
    const WRITE_SIZE: usize = protocol::FLASH_WORD;
    const ERASE_SIZE: usize = protocol::FLASH_LEN;

    /// There is one sector.
    async fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        self.request(&[protocol::FLASH_ERASE], &[], &mut []).await
    }

    /// Word by word, as flash does it: power cuts come in between.
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        for (at, word) in (offset..).step_by(protocol::FLASH_WORD).zip(bytes.chunks(protocol::FLASH_WORD)) {
            self.request(&Self::head(protocol::FLASH_WRITE, at, word.len())?, word, &mut []).await?;
        }
        Ok(())
    }
}

/// Buttons and lamps as the application sees them.
pub(crate) struct BridgePanel(pub(crate) &'static SharedLine);

impl BridgePanel {
    /// All lamps dark, as a board's are after a reset; the host knows of none.
    pub(crate) async fn reset(&mut self) {
        self.set(&protocol::Lamp::ALL.map(|lamp| (lamp, 0))).await;
    }

    async fn set(&mut self, lamps: &[(protocol::Lamp, u8)]) {
        let _line = self.0.lock().await;
        for (lamp, value) in lamps {
            BRIDGE.send(&protocol::lamp(*lamp, *value));
        }
    }
}

impl Panel for BridgePanel {
    async fn is_pressed(&mut self, button: Button) -> bool {
        // Without a host no button is pressed.
        let buttons = self.0.lock().await.buttons().await.unwrap_or_default();
        match button {
            Button::A => buttons.a,
            Button::B => buttons.b,
        }
    }

    async fn set_lamp(&mut self, lamp: Lamp, on: bool) {
        let lamp = match lamp {
            Lamp::Wifi => protocol::Lamp::Wifi,
            Lamp::Azure => protocol::Lamp::Azure,
            Lamp::User => protocol::Lamp::User,
        };
        self.set(&[(lamp, if on { u8::MAX } else { 0 })]).await;
    }

    async fn set_rgb(&mut self, color: Rgb) {
        let Rgb { red, green, blue } = color;
        self.set(&[(protocol::Lamp::Red, red), (protocol::Lamp::Green, green), (protocol::Lamp::Blue, blue)])
            .await;
    }
}

//! The I2C bus, the buttons and the lamps: virtual devices on the host, behind the second serial port
//! ([`bridge_protocol`]).
//!
//! A future that is dropped while it waits for an answer leaves the answer on the line. The line counts what it is owed and
//! throws that away before the next request.

use bridge_protocol::{self as protocol, Buttons, OperationKind, RestartFinder, Status};
use devkit_app::board::{Button, Lamp, Panel, Rgb};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_time::{Duration, with_timeout};
use embedded_hal_async::i2c::{Error, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

use crate::uart::BRIDGE;

/// How long the host may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take at the start: it may be in the midst of something.
const START: Duration = Duration::from_secs(10);

/// The line to the host, and what is still to come on it.
pub(crate) struct Line {
    /// The status of a transaction; `data` bytes follow it if it is good.
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
    /// Takes the line: the host gives up what the run before had begun, and what it still answers to that is passed over.
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

    /// Throws away what nobody waits for any more.
    async fn settle(&mut self) -> Result<(), BusError> {
        if self.status {
            // Whose failure it was has been told already, or does not matter to anybody.
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

    /// Takes the status of a transaction.
    async fn status(&mut self) -> Result<Result<(), BusError>, BusError> {
        let mut byte = [0];
        with_timeout(PATIENCE, BRIDGE.read(&mut byte)).await.map_err(|_| BusError::Host)?;
        self.status = false;
        let status = match Status::from_byte(byte[0]) {
            Some(Status::Ok) => return Ok(Ok(())),
            Some(Status::AddressNack) => BusError::Address,
            Some(Status::DataNack) => BusError::Data,
            None => BusError::Host,
        };
        self.data = 0;
        Ok(Err(status))
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
        self.status().await??;
        for operation in operations {
            if let Operation::Read(bytes) = operation {
                self.receive(bytes).await?;
            }
        }
        Ok(())
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
        // Without a host nobody presses anything.
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

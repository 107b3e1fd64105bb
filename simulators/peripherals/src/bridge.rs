//! The host's end of the serial line to an emulated board: carries out what the board asks for.
//!
//! The protocol is that of [`bridge_protocol`]. Time on the bus is the host's: the slaves see as much of it pass as
//! passes between two transactions.

use std::io::{self, Read, Write};
use std::time::Instant;

use bridge_protocol::{self as protocol, FlashStatus, Lamp, OperationKind, RestartFinder, Status};
use embedded_hal::i2c::{I2c as _, Operation};

use crate::board::DevKit;
use crate::bus::TransactionError;

/// Serves one connection until the board closes it between two requests.
///
/// # Errors
/// Those of the stream, among them [`io::ErrorKind::UnexpectedEof`] for a connection that ends within a request;
/// [`io::ErrorKind::InvalidData`] for an invalid request. What came before a faulty request has been carried out,
/// of the request itself nothing.
pub fn serve(stream: &mut (impl Read + Write), board: &mut DevKit) -> io::Result<()> {
    let mut stream = Requests { stream, finder: RestartFinder::default(), restarted: false };
    let mut last = Instant::now();
    let mut answer = Vec::new();
    let mut request = [0; 1];
    while read_or_end(stream.stream, &mut request)? {
        stream.restarted |= stream.finder.push(request[0]);
        let now = Instant::now();
        board.bus.elapse(u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX));
        last = now;
        answer.clear();
        if let Err(error) = carry_out(request, &mut stream, board, &mut answer) {
            stream.restart(error)?;
            answer = protocol::RESTART.to_vec();
        }
        if !answer.is_empty() {
            stream.stream.write_all(&answer)?;
            stream.stream.flush()?;
        }
    }
    Ok(())
}

/// What the board sends. It ends, in the midst of whatever request, with a restart.
struct Requests<'a, S> {
    stream: &'a mut S,
    finder: RestartFinder,
    restarted: bool,
}

impl<S: Read> Read for Requests<'_, S> {
    /// The board waits for the answer to a restart: no byte stands behind it.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(out)?;
        for byte in out.get(..count).unwrap_or_default() {
            self.restarted |= self.finder.push(*byte);
        }
        if self.restarted { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(count) }
    }
}

impl<S: Read> Requests<'_, S> {
    /// Reads on as long as what a request failed with may be a restart. If it is not, the error stays.
    fn restart(&mut self, error: io::Error) -> io::Result<()> {
        let mut byte = [0];
        while !self.restarted {
            if !self.finder.is_under_way() || !read_or_end(self.stream, &mut byte)? {
                return Err(error);
            }
            self.restarted = self.finder.push(byte[0]);
        }
        self.restarted = false;
        Ok(())
    }
}

/// Carries a request out that begins with this byte.
fn carry_out(
    request: [u8; 1],
    stream: &mut impl Read,
    board: &mut DevKit,
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    match request {
        [protocol::TRANSACTION] => transaction(stream, board, answer)?,
        [protocol::BUTTONS] => answer.push(board.panel.buttons().to_byte()),
        [protocol::LAMP] => {
            let [index, value] = read(stream)?;
            end(stream)?;
            let lamp = Lamp::from_byte(index).ok_or_else(|| invalid("no such lamp"))?;
            board.panel.set_lamp(lamp, value);
        }
        [request @ (protocol::FLASH_READ | protocol::FLASH_WRITE | protocol::FLASH_ERASE)] => {
            flash(request, stream, board, answer)?;
        }
        [protocol::MAC] => answer.extend_from_slice(&board.mac),
        _ => return Err(invalid("no such request")),
    }
    Ok(())
}

/// An operation of a transaction, with its own bytes.
struct Part {
    kind: OperationKind,
    bytes: Vec<u8>,
}

fn transaction(stream: &mut impl Read, board: &mut DevKit, answer: &mut Vec<u8>) -> io::Result<()> {
    let [address, count] = read(stream)?;
    if address > protocol::MAX_ADDRESS {
        return Err(invalid("an address of more than seven bits"));
    }
    let mut left = protocol::MAX_TRANSACTION;
    let mut parts = Vec::new();
    for _ in 0..count {
        let [kind, low, high] = read(stream)?;
        let kind = OperationKind::from_byte(kind).ok_or_else(|| invalid("no such operation"))?;
        let len = usize::from(u16::from_le_bytes([low, high]));
        left = left.checked_sub(len).ok_or_else(|| invalid("a transaction that is too long"))?;
        let mut bytes = vec![0; len];
        if kind == OperationKind::Write {
            stream.read_exact(&mut bytes)?;
        }
        parts.push(Part { kind, bytes });
    }
    end(stream)?;
    let mut operations: Vec<_> = parts
        .iter_mut()
        .map(|part| match part.kind {
            OperationKind::Write => Operation::Write(&part.bytes),
            OperationKind::Read => Operation::Read(&mut part.bytes),
        })
        .collect();
    let status = match board.bus.transaction(address, &mut operations) {
        Ok(()) => Status::Ok,
        Err(TransactionError::AddressNack) => Status::AddressNack,
        Err(TransactionError::DataNack) => Status::DataNack,
    };
    answer.push(status as u8);
    if status == Status::Ok {
        parts
            .iter()
            .filter(|part| part.kind == OperationKind::Read)
            .for_each(|part| answer.extend_from_slice(&part.bytes));
    }
    Ok(())
}

fn flash(request: u8, stream: &mut impl Read, board: &DevKit, answer: &mut Vec<u8>) -> io::Result<()> {
    let sector = &board.key_flash;
    let (mut offset, mut bytes) = (0, Vec::new());
    if request != protocol::FLASH_ERASE {
        let [a, b, c, d] = read(stream)?;
        offset = usize::from(u16::from_le_bytes([a, b]));
        bytes.resize(usize::from(u16::from_le_bytes([c, d])), 0);
    }
    if request == protocol::FLASH_WRITE {
        stream.read_exact(&mut bytes)?;
    }
    end(stream)?;
    let result = match request {
        protocol::FLASH_READ => sector.get(offset, &mut bytes),
        protocol::FLASH_WRITE => sector.program(offset, &bytes),
        _ => sector.erase_all(),
    };
    answer.push(result.map_or_else(FlashStatus::from, |()| FlashStatus::Ok) as u8);
    if result.is_ok() && request == protocol::FLASH_READ {
        answer.append(&mut bytes);
    }
    Ok(())
}

/// Fills `buf`; `false` if the stream is at its end before the first byte.
fn read_or_end(stream: &mut impl Read, buf: &mut [u8; 1]) -> io::Result<bool> {
    loop {
        match stream.read(buf) {
            Ok(len) => return Ok(len > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn read<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut buf = [0; N];
    stream.read_exact(&mut buf)?;
    Ok(buf)
}

fn end(stream: &mut impl Read) -> io::Result<()> {
    match read(stream)? {
        [protocol::END] => Ok(()),
        _ => Err(invalid("a request that does not end")),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

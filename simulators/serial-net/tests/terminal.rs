//! The program itself at one end of a pseudo-terminal, as at a serial port, and a board at the other.
#![cfg(target_os = "linux")]

mod board;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use board::{Board, echo};
use etherparse::PacketBuilder;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serial_net::{Bridge, Hosts};
use slip_link::encode;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{sleep, timeout};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// More than the program needs, less than a flood would fill.
const MAX_MEMORY_KIB: u64 = 64 * 1024;

/// A new terminal: the board's end, and where the other end is to be found.
fn terminal() -> (OwnedFd, PathBuf) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    rustix::io::ioctl_fionbio(&master, true).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_bytes();
    (master, PathBuf::from(std::ffi::OsString::from_vec(name)))
}

/// The board's end as a stream.
fn line(master: OwnedFd) -> impl AsyncRead + AsyncWrite + Unpin {
    let reader = pipe::Receiver::from_owned_fd_unchecked(master.try_clone().unwrap()).unwrap();
    tokio::io::join(reader, pipe::Sender::from_owned_fd_unchecked(master).unwrap())
}

/// The program.
struct SerialNet {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl SerialNet {
    fn start(port: &Path, rule: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serial-net"));
        command.arg(port).args(["--host", rule]).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, said }
    }

    /// Waits for a line with this text.
    async fn wait_for(&mut self, wanted: &str) -> String {
        let found = async {
            loop {
                let line = self.said.next_line().await.unwrap().expect("it has ended");
                if line.contains(wanted) {
                    return line;
                }
            }
        };
        timeout(PATIENCE, found).await.expect(wanted)
    }

    /// What it occupies of this machine's memory, in KiB.
    fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

#[tokio::test]
async fn a_board_on_a_serial_port_reaches_a_server_by_name() {
    let server = echo().await;
    let (master, port) = terminal();
    let mut program = SerialNet::start(&port, &format!("*.example={server}"));
    assert!(program.wait_for("serving").await.contains("460800"));
    let settings = tcgetattr(&master).unwrap();
    assert_eq!((settings.input_speed(), settings.output_speed()), (460_800, 460_800));
    // Nothing of a terminal is left that would change a byte.
    assert!(!settings.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));

    let mut board = Board::new(line(master));
    let address = board.lookup("cloud.example").await.unwrap();
    // Every byte, those that SLIP and terminals have a meaning for among them.
    let request: Vec<u8> = (0..60).flat_map(|_| 0..=255).collect();
    let handle = board.connect(address, 8883);
    assert_eq!(board.exchange(handle, &request).await, request);
}

#[tokio::test]
async fn what_a_bad_line_damages_or_loses_of_the_board_is_sent_again() {
    let server = echo().await;
    let (master, port) = terminal();
    let mut program = SerialNet::start(&port, &format!("*.example={server}"));
    program.wait_for("serving").await;
    let mut board = Board::new(line(master));
    let address = board.lookup("cloud.example").await.unwrap();
    board.device.is_bad = true;
    let request: Vec<u8> =
        (0..8000_u32).map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let handle = board.connect(address, 8883);
    assert_eq!(board.exchange(handle, &request).await, request);
}

#[tokio::test]
async fn a_port_that_goes_away_and_comes_back_is_served_again() {
    let server = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let plug = folder.path().join("ttyUSB0");
    let (master, port) = terminal();
    std::os::unix::fs::symlink(port, &plug).unwrap();
    let mut program = SerialNet::start(&plug, &format!("*.example={server}"));
    program.wait_for("serving").await;
    let mut board = Board::new(line(master));
    let address = board.lookup("cloud.example").await.unwrap();
    let handle = board.connect(address, 1);
    assert_eq!(board.exchange(handle, b"before").await, b"before");

    std::fs::remove_file(&plug).unwrap();
    drop(board);
    program.wait_for("is gone").await;
    sleep(Duration::from_millis(1500)).await;
    let (master, port) = terminal();
    std::os::unix::fs::symlink(port, &plug).unwrap();
    program.wait_for("serving").await;
    let mut board = Board::new(line(master));
    assert_eq!(board.lookup("cloud.example").await, Some(address), "the name keeps its address");
    let handle = board.connect(address, 2);
    assert_eq!(board.exchange(handle, b"after").await, b"after");
}

#[tokio::test]
async fn a_board_that_floods_harms_nobody() {
    let server = echo().await;
    let (master, port) = terminal();
    let mut program = SerialNet::start(&port, &format!("*.example={server}"));
    program.wait_for("serving").await;
    let mut line = line(master);
    // Hundreds of connections to this machine, then queries, and nothing that comes back is read.
    let mut flood = Vec::new();
    for source in 0..300 {
        let mut packet = Vec::new();
        let syn = PacketBuilder::ipv4([10, 0, 2, 15], [10, 0, 2, 2], 64).tcp(
            50_000 + source,
            server.port(),
            7,
            4096,
        );
        syn.syn().write(&mut packet, &[]).unwrap();
        flood.extend(encode(&packet));
    }
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05cloud\x07example\0\0\x01\0\x01";
    for source in 0..1000 {
        let mut packet = Vec::new();
        let udp = PacketBuilder::ipv4([10, 0, 2, 15], [10, 0, 2, 3], 64).udp(1000 + source, 53);
        udp.write(&mut packet, query).unwrap();
        flood.extend(encode(&packet));
    }
    // And what is no packet at all.
    flood.extend((1..20_000_u32).map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes()[1]));
    // Answers that nobody reads may hold up the line: how much of the flood is taken is not the point.
    let _ = timeout(Duration::from_secs(5), line.write_all(&flood)).await;
    sleep(Duration::from_secs(1)).await;
    let memory = program.memory_kib();
    assert!(memory < MAX_MEMORY_KIB, "{memory} KiB");

    // The board comes to its senses: what still stands on the line is read away first.
    let mut waste = [0; 4096];
    while timeout(Duration::from_millis(500), line.read(&mut waste)).await.is_ok() {}
    let mut board = Board::new(line);
    assert!(board.lookup("cloud.example").await.is_some());
}

#[tokio::test]
async fn a_missing_or_wrong_port_is_reported() {
    for port in ["/nowhere/ttyUSB0", "/dev/null"] {
        let output = Command::new(env!("CARGO_BIN_EXE_serial-net")).arg(port).output();
        let output = timeout(PATIENCE, output).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(&format!("opening {port}")), "{said}");
    }
}

/// What the line has lost cannot be told from silence: connections end with the line, and nothing of them is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_end_with_their_line() {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = listener.local_addr().unwrap();
    let (near, far) = tokio::io::duplex(1024);
    let bridge = tokio::spawn(async move { Bridge::new(Hosts::default()).run(far).await });
    let mut board = Board::new(near);
    board.connect(smoltcp::wire::IpAddress::v4(10, 0, 2, 2), server.port());
    let mut stream = board
        .until(|_, _| {
            use std::task::{Context, Poll, Waker};
            match listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(stream) => Some(stream.unwrap().0),
                Poll::Pending => None,
            }
        })
        .await;
    drop(board);
    assert!(timeout(PATIENCE, bridge).await.unwrap().unwrap().is_err());
    let end = timeout(PATIENCE, stream.read(&mut [0; 8])).await.expect("the server's connection stays");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

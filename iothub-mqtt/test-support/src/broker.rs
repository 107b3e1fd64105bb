//! The broker mosquitto on a free port of the loopback interface.

use embedded_io_adapters::tokio_1::FromTokio;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

/// A running broker, which ends when this is dropped.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> String {
    std::env::var("MOSQUITTO").unwrap_or_else(|_| {
        let usual = "/usr/sbin/mosquitto";
        if std::path::Path::new(usual).exists() { usual.into() } else { "mosquitto".into() }
    })
}

impl Broker {
    /// Starts one with these lines in its configuration.
    pub async fn start(extra: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), extra).await
    }

    /// As [`start`](Self::start), with a folder in which there may be files that the configuration names.
    pub async fn start_in(directory: tempfile::TempDir, extra: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = directory.path().join("mosquitto.conf");
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut config = std::fs::File::create(&path).unwrap();
        write!(
            config,
            "listener {port} 127.0.0.1\nlog_type all\nlog_dest stderr\nmax_inflight_messages 0\n{extra}\n",
        )
        .unwrap();
        drop(config);
        let child = Command::new(program())
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| {
                panic!("cannot start `{}` ({e}): install it with `apt-get install mosquitto`", program())
            });
        let mut broker = Self { child, port, directory };
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = broker.child.try_wait().unwrap() {
                panic!("mosquitto ended with {status}: {}", broker.log());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        broker
    }

    /// A connection to it.
    pub async fn connect(&self) -> FromTokio<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        FromTokio::new(stream)
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until the broker has written `line`.
    pub async fn logged(&self, line: &str) {
        for _ in 0..500 {
            if self.log().contains(line) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("no `{line}` in:\n{}", self.log());
    }
}

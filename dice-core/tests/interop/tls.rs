//! Servers that demand a client certificate take alias + DeviceID, trusting the DeviceID certificate only: three TLS
//! implementations that share no code, each in both versions of the protocol.

use crate::issued::{SECRET, accepted, issue};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A program that is ended after a minute, so that a failure does not hang.
fn limited(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", program]);
    command
}

/// Ends such a program, and waits until it has ended.
fn end(process: &mut Child) {
    // It may have ended by itself.
    let _ = Command::new("kill").arg(process.id().to_string()).stderr(Stdio::null()).status();
    process.wait().unwrap();
}

/// A server program that sends back lines, as they are or reversed.
struct Server {
    process: Child,
    log: BufReader<Box<dyn Read>>,
    address: String,
}

impl Server {
    /// Starts a program and reads what it prints until `address` finds its address there.
    fn start(mut command: Command, address: impl Fn(&str) -> Option<String>) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs the program in {command:?}: {error}"));
        let log = BufReader::new(Box::new(process.stdout.take().unwrap()) as Box<dyn Read>);
        let mut server = Self { process, log, address: String::new() };
        let mut line = String::new();
        while server.address.is_empty() {
            line.clear();
            assert_ne!(server.log.read_line(&mut line).unwrap(), 0, "{command:?} ended before it listened");
            server.address = address(line.trim()).unwrap_or_default();
        }
        server
    }

    fn openssl(directory: &Path, version: &str) -> Self {
        let mut command = limited("openssl");
        command
            .current_dir(directory)
            .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-key", "s.key", "-cert", "s.pem"])
            .args([
                "-CAfile",
                "device-id.pem",
                "-Verify",
                "2",
                "-verify_return_error",
                "-x509_strict",
                "-rev",
            ])
            .arg(format!("-tls{}", version.replace('.', "_")));
        Self::start(command, |line| Some(line.strip_prefix("ACCEPT ")?.to_owned()))
    }

    fn gnutls(directory: &Path, version: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = limited("sh");
        // It prints to standard error.
        command
            .current_dir(directory)
            .args(["-c", "exec \"$@\" 2>&1", "sh", "gnutls-serv", "--echo"])
            .args(["--require-client-cert", "--verify-client-cert", "--x509cafile", "device-id.pem"])
            .args(["--x509keyfile", "s.key", "--x509certfile", "s.pem", "--port", &port.to_string()])
            .args(["--priority", &format!("NORMAL:-VERS-ALL:+VERS-TLS{version}")]);
        let address = format!("127.0.0.1:{port}");
        Self::start(command, |line| line.contains("listening on IPv4").then(|| address.clone()))
    }

    fn java(directory: &Path, version: &str) -> Self {
        accepted(directory, "pkcs12 -export -inkey s.key -in s.pem -passout pass:password -out s.p12");
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interop/TlsServer.java");
        let mut command = limited("java");
        command.current_dir(directory).arg(program);
        command.args(["s.p12", "device-id.pem", &format!("TLSv{version}")]);
        Self::start(command, |line| Some(format!("127.0.0.1:{}", line.strip_prefix("port ")?)))
    }

    /// Ends the server and gives the rest of what it printed.
    fn stop(mut self) -> String {
        end(&mut self.process);
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// A folder with the identity and a server's key and certificate.
fn folder() -> TempDir {
    let folder = issue(SECRET);
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
                   -keyout s.key -out s.pem";
    accepted(folder.path(), request);
    folder
}

/// Connects with the chain, sends a line and gives the answer, which is empty if the server does not take the chain.
fn answer(folder: &Path, server: &Server, identity: &str) -> String {
    let mut client = limited("openssl")
        .current_dir(folder)
        .args(["s_client", "-connect", &server.address, "-cert", &format!("{identity}.pem")])
        .args(["-key", &format!("{identity}.key"), "-cert_chain", "device-id.pem", "-CAfile", "s.pem"])
        .args(["-verify_return_error", "-quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    // A server that refuses the chain closes the connection, and the client its input.
    let _ = input.write_all(b"drawer\n");
    let mut answer = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut answer).unwrap();
    drop(input);
    end(&mut client);
    answer.trim().to_owned()
}

fn both_versions(start: fn(&Path, &str) -> Server, expected: &str) -> Vec<String> {
    let folder = folder();
    // A stranger: alias of another device, presented with this one's DeviceID certificate.
    let other = issue(*b"another secret for tests only...");
    for file in ["alias.pem", "alias.key"] {
        std::fs::copy(other.path().join(file), folder.path().join(format!("stranger{}", &file[5..])))
            .unwrap();
    }
    ["1.2", "1.3"]
        .map(|version| {
            let server = start(folder.path(), version);
            let got = answer(folder.path(), &server, "alias");
            let log = server.stop();
            assert_eq!(got, expected, "TLS {version}\n{log}");
            let server = start(folder.path(), version);
            assert_eq!(answer(folder.path(), &server, "stranger"), "", "TLS {version}");
            server.stop();
            log
        })
        .into()
}

#[test]
fn openssl_takes_the_chain() {
    both_versions(Server::openssl, "reward");
}

#[test]
fn gnutls_takes_the_chain() {
    both_versions(Server::gnutls, "drawer");
}

#[test]
fn java_takes_the_chain_and_shows_what_it_says() {
    for log in both_versions(Server::java, "reward") {
        let lines: Vec<_> = log.lines().collect();
        let [subject, ca, purposes, critical, evidence, root, root_ca, ..] = &lines[..] else {
            panic!("{log}");
        };
        assert_eq!(*subject, "subject CN=az-c89346f8a1b2");
        assert_eq!((*ca, *purposes), ("CA -1", "purposes [1.3.6.1.5.5.7.3.2]"));
        assert_eq!(*critical, "critical [2.5.29.15]");
        // An octet string around: SEQUENCE, [0] "MXCHIP", [1] "AZ3166".
        assert!(evidence.contains("80064d58434849508106415a33313636"), "{evidence}");
        assert!(root.starts_with("subject CN=DeviceID-"), "{root}");
        assert_eq!(*root_ca, "CA 0");
    }
}

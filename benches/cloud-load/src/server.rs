//! The servers under load: each a process, started anew for each measurement, and what it takes of the machine.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use crate::load::{Fleet, Service};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    child: Child,
    pub(crate) hub: Service,
    pub(crate) dps: Option<(Service, String)>,
    pub(crate) root: CertificateDer<'static>,
    /// Its files, for as long as it runs.
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something.
fn wait<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = ready() {
            return Ok(found);
        }
        ensure!(began.elapsed() < PATIENCE, "{what} does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Server {
    /// The local cloud with an individual enrolment, a file each, for every device.
    pub(crate) fn local_cloud(program: &Path, fleet: &Fleet) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("enrollments"))?;
        for device in &fleet.devices {
            std::fs::write(path("enrollments").join(format!("{}.pem", device.id)), device.certificate.pem())?;
        }
        let child = Command::new(program)
            .args(["--dps-port=0", "--hub-port=0", "--https-port=0", "--retry-after=0", "--json"])
            .args(["--ready-file", "ready"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let ready: Value =
            wait("local-cloud", || serde_json::from_slice(&std::fs::read(path("ready")).ok()?).ok())?;
        let text = |name: &str| ready.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let hub = Service { address: text("hub").parse()?, name: text("hubName") };
        let dps = Service { address: text("dps").parse()?, name: text("dpsName") };
        let root = CertificateDer::from_pem_file(path("local-cloud-root.pem"))?;
        Ok(Self { child, hub, dps: Some((dps, text("idScope"))), root, _folder: folder })
    }

    /// Mosquitto, which takes whoever has a certificate of the fleet's authority.
    pub(crate) fn mosquitto(program: &Path, fleet: &Fleet) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &fleet.authority)?;
        std::fs::write(path("authority.pem"), fleet.authority.pem())?;
        std::fs::write(path("server.pem"), certificate.pem())?;
        std::fs::write(path("server.key"), key.serialize_pem())?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let at = folder.path().display();
        std::fs::write(
            path("mosquitto.conf"),
            format!(
                "listener {port} 127.0.0.1\ncafile {at}/authority.pem\ncertfile {at}/server.pem\n\
                 keyfile {at}/server.key\nrequire_certificate true\nuse_identity_as_username true\n\
                 persistence false\nset_tcp_nodelay true\nlog_type error\nuser root\n"
            ),
        )?;
        let child = Command::new(program)
            .args(["-c", "mosquitto.conf"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait("mosquitto", || TcpStream::connect(address).ok())?;
        let hub = Service { address, name: "localhost".to_owned() };
        Ok(Self { child, hub, dps: None, root: fleet.authority.der().clone(), _folder: folder })
    }

    /// A line of `/proc/<id>/status`, in KiB.
    fn status(&self, name: &str) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()).context("no such line")?;
        Ok(number.parse()?)
    }

    /// Memory in use, in MiB.
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn memory(&self) -> Result<f64> {
        Ok(self.status("VmRSS")? as f64 / 1024.0)
    }

    /// Processor time so far.
    pub(crate) fn processor(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = text.rsplit_once(')').context("/proc/<id>/stat")?;
        // User and system time, the 14th and 15th field, in hundredths of a second.
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
    }
}

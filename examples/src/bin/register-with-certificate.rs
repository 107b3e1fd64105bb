//! Registration with a certificate: which hub does this device belong to?
//!
//!     cargo run -p examples --bin register-with-certificate -- --help

use clap::Parser as _;
use examples::{Args, Network};
use iothub_mqtt::dps_client::{Config, GLOBAL_ENDPOINT, Registration};
use iothub_mqtt::provision::{self, Buffers};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let network = Network::new(&args, Some(examples::certificate(&args.id)?))?;
    let mut registration = Registration::new(Config::new(&args.id_scope, &args.id)?, rand::random());

    // TLS shows the certificate; there is no password.
    let stream = network.open(GLOBAL_ENDPOINT, 8883).await?;
    let (mut rx, mut tx, mut body) = ([0; 2048], [0; 1024], [0; provision::MIN_BODY]);
    let mut buffers = Buffers { rx: &mut rx, tx: &mut tx, body: &mut body };
    let assignment = provision::register(&mut registration, stream, None, &mut buffers).await?;
    println!("{} is the device {} of {}", args.id, assignment.device_id(), assignment.hub());
    Ok(())
}

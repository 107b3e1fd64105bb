//! Registration with the symmetric key of an individual enrolment.
//!
//!     cargo run -p examples --bin register-with-symmetric-key -- --key BASE64

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use examples::{Args, Network};
use iothub_mqtt::dps_client::auth::sas::{
    DEFAULT_TTL_S, MAX_DPS_TOKEN, POLICY_REGISTRATION, Resource, SymmetricKey,
};
use iothub_mqtt::dps_client::{Config, GLOBAL_ENDPOINT, Registration};
use iothub_mqtt::provision::{self, Buffers};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = Config::new(&args.id_scope, &args.id)?;
    let key = SymmetricKey::from_base64(&args.key)?;

    // A token that is good for an hour; it needs a clock.
    let expiry = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + DEFAULT_TTL_S;
    let mut token = [0; MAX_DPS_TOKEN];
    let token = key.token(&Resource::of(&config), expiry, Some(POLICY_REGISTRATION), &mut token)?;

    let network = Network::new(&args, None)?;
    let stream = network.open(GLOBAL_ENDPOINT, 8883).await?;
    let mut registration = Registration::new(config, rand::random());
    let (mut rx, mut tx, mut body) = ([0; 2048], [0; 1024], [0; provision::MIN_BODY]);
    let mut buffers = Buffers { rx: &mut rx, tx: &mut tx, body: &mut body };
    let assignment =
        provision::register(&mut registration, stream, Some(token.as_bytes()), &mut buffers).await?;
    println!("{} is the device {} of {}", args.id, assignment.device_id(), assignment.hub());
    Ok(())
}

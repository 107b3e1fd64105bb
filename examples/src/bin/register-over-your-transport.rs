//! Registration over a transport of your own: the state machine says what to do, you do it and say what happened.
//!
//!     cargo run -p examples --bin register-over-your-transport -- --help
//!
//! Here it is HTTPS over a blocking loop; a modem with its own TLS and MQTT is driven in the same way.

use std::time::{Duration, Instant};

use clap::Parser as _;
use embedded_io_async::{Read as _, Write as _};
use examples::{Args, Network, Stream};
use iothub_mqtt::dps_client::https::{self, ResponseReader};
use iothub_mqtt::dps_client::{
    Action, Config, GLOBAL_ENDPOINT, Registration, RegistrationEvent, Request, Transport,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let network = Network::new(&args, Some(examples::certificate(&args.id)?))?;
    let config = Config::new(&args.id_scope, &args.id)?.with_transport(Transport::Https);
    let mut registration = Registration::new(config, rand::random());
    let mut connection = None;
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);

    loop {
        match registration.next(now()) {
            Action::Connect { .. } => {
                connection = network.open(GLOBAL_ENDPOINT, https::PORT).await.ok();
                let event = if connection.is_some() {
                    RegistrationEvent::Connected
                } else {
                    RegistrationEvent::Disconnected
                };
                registration.handle(event, now());
            }
            Action::Send(request) => {
                let mut answer = [0; 4096];
                let mut reader = ResponseReader::new(&mut answer);
                let exchanged = match &mut connection {
                    Some(stream) => exchange(stream, &request, &mut reader).await.is_ok(),
                    None => false,
                };
                let event = match reader.answer() {
                    Some(answer) if exchanged => RegistrationEvent::Answer(answer),
                    _ => RegistrationEvent::Disconnected,
                };
                registration.handle(event, now());
            }
            Action::Wait { until_ms } => {
                tokio::time::sleep(Duration::from_millis(until_ms.saturating_sub(now()))).await;
            }
            Action::Disconnect { .. } => connection = None,
            Action::Subscribe => {} // of MQTT
            Action::Finished(assignment) => {
                println!("{} is the device {} of {}", args.id, assignment.device_id(), assignment.hub());
                return Ok(());
            }
            Action::Failed(error) => return Err(error.clone().into()),
        }
    }
}

/// Sends a request and reads its answer.
async fn exchange(
    stream: &mut Stream,
    request: &Request<'_>,
    reader: &mut ResponseReader<'_>,
) -> anyhow::Result<()> {
    let (mut head, mut body) = ([0; 1024], [0; 512]);
    let body = request.body(&mut body)?;
    let head = https::request_head(request, GLOBAL_ENDPOINT, None, body.len(), &mut head)?;
    stream.write_all(head).await?;
    stream.write_all(body).await?;
    stream.flush().await?;
    let mut input = [0; 1024];
    while reader.answer().is_none() {
        match stream.read(&mut input).await? {
            0 => return Ok(reader.finish()?),
            length => drop(reader.feed(&input[..length])?),
        }
    }
    Ok(())
}

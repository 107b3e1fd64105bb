//! What the AZ3166's firmware needs, measured on the simulated board from its configuration to its first orders from
//! the cloud: `measure-az3166 <image>`. The ELF file lies beside the image.

use std::fs;
use std::path::Path;
use std::time::Duration;

use access_point::{AccessPoint, Hosts};
use anyhow::{Context, Result, ensure};
use footprint::{Footprint, Peaks};
use local_cloud::{Event, Handle};
use peripherals::DevKit;
use stories::generation::MQTT5_HUB;
use stsafe_a100::sim::{Busy, Profile, VirtualChip};
use virtual_az3166::{Live, NoLine, PASSPHRASE, SSID, VirtualBoard, cloud, equip_radio};

/// Of the range of the board's maker.
const MAC: [u8; 6] = [0xC8, 0x93, 0x46, 0x12, 0x34, 0x56];
const ID: &str = "measured";
/// The longest a command, or the whole way to the hub, may take.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let image = std::env::args_os().nth(1).context("which image?")?;
    let image = Path::new(&image);
    let footprint = Footprint::of(image)?;
    let folder = tempfile::tempdir()?;
    let cloud = cloud::start(folder.path()).await?;
    let chip = VirtualChip::new(Profile::az3166(), VirtualChip::random_seed()?);
    chip.set_busy(Busy::Time);
    let mut board = VirtualBoard::new(&fs::read(image)?, DevKit::new(chip, MAC), 1)?;
    board.trust(cloud.root_der())?;

    let certificate = configure(&mut board)?;
    fs::write(folder.path().join("device.pem"), certificate)?;
    let console = peaks(&footprint, &board).await?;
    // A reset begins a new count.
    board.parts().panel.press(|buttons| buttons.a = false);
    board.press_reset()?;
    go_online(&mut board, &cloud).await?;
    let online = peaks(&footprint, &board).await?;
    print!(
        "{}",
        footprint.table(&[("configuration console", console), ("registration, hub, telemetry", online)])?
    );
    Ok(())
}

/// Types what a user types; gives the certificate that the device shows.
fn configure(board: &mut VirtualBoard) -> Result<String> {
    board.parts().panel.press(|buttons| buttons.a = true);
    board.power_on()?;
    let mut text = String::new();
    let mut answer = |board: &mut VirtualBoard, line: Option<&str>| {
        text.clear();
        line.map_or(Ok(()), |line| board.type_line(line))?;
        let answered = board.read_until("\r\n# ", PATIENCE, &mut text)?;
        ensure!(answered, "no prompt: {text}");
        Ok(text.clone())
    };
    answer(board, None)?;
    let secret = format!("set_dps_uds {}", "5a6b".repeat(16));
    for setting in [
        &secret,
        "set_dps_idscope 0ne00000000",
        &format!("set_registration_id {ID}"),
        &format!("set_wifissid {SSID}"),
        &format!("set_wifipwd {PASSPHRASE}"),
    ] {
        let said = answer(board, Some(setting))?;
        ensure!(said.contains("successfully"), "{setting}: {said}");
    }
    let said = answer(board, Some("cert"))?.replace('\r', "");
    let begin = said.find("-----BEGIN").with_context(|| format!("no certificate: {said}"))?;
    let end = said.rfind("-----\n").with_context(|| format!("no whole certificate: {said}"))?;
    Ok(said[begin..end + 6].to_owned())
}

/// The device goes online, sends telemetry and answers a method call; then the same at a hub that speaks MQTT 5.
async fn go_online(board: &mut VirtualBoard, cloud: &Handle) -> Result<()> {
    let mut events = cloud.events();
    let (air, hosts) = (equip_radio(board)?, Hosts::new(cloud::hosts(cloud)));
    let network = tokio::spawn(async move { AccessPoint::new(air, hosts).run().await });
    let mut live = Live::new(board, NoLine);
    let online = async {
        const GONE: &str = "the cloud is gone";
        events.telemetry().await.context(GONE)?;
        let answer = cloud.invoke_method(ID, "start", "null", PATIENCE).await?;
        cloud.move_device(ID, MQTT5_HUB)?;
        let assigned =
            |event| matches!(event, Event::Registered { hub, .. } if hub == MQTT5_HUB).then_some(());
        events.find(assigned).await.context(GONE)?;
        events.telemetry().await.context(GONE)?;
        let again = cloud.invoke_method(ID, "start", "null", PATIENCE).await?;
        anyhow::Ok([answer.status, again.status])
    };
    let mut online = std::pin::pin!(tokio::time::timeout(PATIENCE, online));
    loop {
        tokio::select! {
            biased;
            done = &mut online => {
                let answers = done.context("the device does not get to its first telemetry")??;
                ensure!(answers == [200; 2], "the device answers {answers:?}");
                network.abort();
                return Ok(());
            }
            () = tokio::task::yield_now() => live.step(board)?,
        }
    }
}

async fn peaks(footprint: &Footprint, board: &VirtualBoard) -> Result<Peaks> {
    footprint
        .peaks(async |address, length| board.ram(address, length).context("memory that is not there"))
        .await
}

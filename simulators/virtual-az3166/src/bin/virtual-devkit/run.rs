//! The board, its network, and what it is connected to.

use std::fs;

use access_point::{AccessPoint, Hosts};
use anyhow::{Context, Result};
use peripherals::DevKit;
use stsafe_a100::sim::{Busy, Profile, VirtualChip};
use virtual_az3166::{KEY_ADDRESS, NoLine, PASSPHRASE, SSID, VirtualBoard, cloud, equip_radio};

use crate::args::Args;
use crate::cloud_console::CloudConsole;
use crate::{key_sector, terminal};

/// Of the range of the board's maker.
const MAC: [u8; 6] = [0xC8, 0x93, 0x46, 0x12, 0x34, 0x56];
/// Names the board itself: its unique id.
const SEED: u64 = 1;

/// Runs the board until the user or the clock ends it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut board = board(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // What is spawned below runs there.
    let inside = runtime.enter();
    let cloud_console = if args.cloud {
        let enrolments = args.device.join("enrollments");
        fs::create_dir_all(&enrolments).with_context(|| format!("making {}", enrolments.display()))?;
        let console = CloudConsole::new(runtime.block_on(cloud::start(&enrolments))?);
        board.trust(console.cloud().root_der())?;
        console.print_help(&enrolments);
        Some(console)
    } else {
        None
    };
    let of_cloud = cloud_console.iter().flat_map(|console| cloud::hosts(console.cloud()));
    let hosts = Hosts::new(args.host.iter().cloned().chain(of_cloud).collect());
    let hosts = if args.internet { hosts.with_internet() } else { hosts };
    let result = if args.serial {
        let line = cloud::connect(hosts)?;
        board.power_on()?;
        terminal::run(args, &mut board, line, cloud_console)
    } else {
        let air = equip_radio(&mut board)?;
        eprintln!("Wi-Fi: a network {SSID:?} with the password {PASSPHRASE:?} is in reach");
        tokio::spawn(async move { AccessPoint::new(air, hosts).run().await });
        board.power_on()?;
        terminal::run(args, &mut board, NoLine, cloud_console)
    };
    drop(inside);
    // Connections that are open do not keep the program.
    runtime.shutdown_background();
    result
}

fn board(args: &Args) -> Result<VirtualBoard> {
    let image = fs::read(&args.image)
        .with_context(|| format!("reading {} (tools/firmware az3166 builds it)", args.image.display()))?;
    fs::create_dir_all(&args.device).with_context(|| format!("making {}", args.device.display()))?;
    let file = args.device.join("secure-element.json");
    let chip = VirtualChip::open(&file, Profile::az3166(), VirtualChip::random_seed()?)
        .with_context(|| format!("the secure element's file {}", file.display()))?;
    chip.set_busy(Busy::Time);
    let mut board = VirtualBoard::new(&image, DevKit::new(chip, MAC), SEED)?;
    if let Some(keys) = key_sector::load(args)? {
        board.write_flash(KEY_ADDRESS, &keys)?;
    }
    if let Some(path) = &args.root {
        let root = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        board.trust(&root).with_context(|| format!("the root in {}", path.display()))?;
    }
    Ok(board)
}

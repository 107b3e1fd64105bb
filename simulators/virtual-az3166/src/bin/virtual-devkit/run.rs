//! The board, its network, and what it is connected to.

use std::fs;

use anyhow::{Context, Result};
use peripherals::DevKit;
use serial_net::Hosts;
use stsafe_a100::sim::{Busy, Profile, VirtualChip};
use virtual_az3166::{KEY_ADDRESS, VirtualBoard, cloud};

use crate::args::Args;
use crate::desk::Desk;
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
    let desk = if args.cloud {
        let enrolments = args.device.join("enrollments");
        fs::create_dir_all(&enrolments).with_context(|| format!("making {}", enrolments.display()))?;
        let desk = Desk::new(runtime.block_on(cloud::start(&enrolments))?);
        board.trust(desk.cloud().root_der())?;
        desk.introduce(&enrolments);
        Some(desk)
    } else {
        None
    };
    let rules = args.host.iter().cloned().chain(desk.iter().flat_map(|desk| cloud::hosts(desk.cloud())));
    let hosts = Hosts::new(rules.collect());
    let line = cloud::connect(if args.internet { hosts.with_internet() } else { hosts })?;
    board.power_on()?;
    let result = terminal::run(args, &mut board, line, desk);
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

//! The board at the terminal, and its network.

use std::collections::VecDeque;
use std::fs;
use std::io::{Write, stdout};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serial_net::{Bridge, Hosts};
use stsafe_a100::sim::{Busy, Profile, VirtualChip};
use virtual_az3166::{Live, ROOT_ADDRESS, VirtualBoard};
use virtual_devices::{DevKit, Lamp, Picture};

use crate::args::{Args, Held};
use crate::keys::{Key, Keyboard};

/// Of the range of the board's maker.
const MAC: [u8; 6] = [0xC8, 0x93, 0x46, 0x12, 0x34, 0x56];
/// Names the board itself: its unique id.
const SEED: u64 = 1;
/// Time between two characters for the board: a little more than they take on the line.
const TYPING: Duration = Duration::from_millis(1);
/// How often the display is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the board until the user or the clock ends it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut board = board(args)?;
    board.parts().panel.press(|buttons| {
        buttons.a = args.hold == Some(Held::A);
        buttons.b = args.hold == Some(Held::B);
    });
    let (board_end, bridge_end) = UnixStream::pair().context("connecting the serial line")?;
    board_end.set_nonblocking(true)?;
    bridge_end.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let hosts = Hosts::new(args.host.clone());
    let bridge = Bridge::new(if args.internet { hosts.with_internet() } else { hosts });
    runtime.spawn(async move {
        let line = tokio::net::UnixStream::from_std(bridge_end)?;
        bridge.run(line).await
    });
    board.power_on()?;
    let result = at_terminal(args, &mut board, board_end);
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
    if let Some(path) = &args.root {
        let root = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        ensure!(root.first() == Some(&0x30), "{} is no certificate in DER", path.display());
        let length = u32::try_from(root.len())?.to_le_bytes();
        board.write_flash(ROOT_ADDRESS, &[b"ROOT", &length[..], &root].concat())?;
    }
    Ok(board)
}

fn at_terminal(args: &Args, board: &mut VirtualBoard, line: UnixStream) -> Result<()> {
    let keyboard = Keyboard::open();
    let mut live = Live::new(board, line);
    let mut typed = VecDeque::new();
    let (mut next_character, mut next_look) = (Duration::ZERO, Duration::ZERO);
    let mut shown = None;
    let end = args.seconds.map(Duration::from_secs);
    while end.is_none_or(|end| board.now() < end) {
        for key in keyboard.typed() {
            match key {
                Key::Byte(byte) => typed.push_back(byte),
                Key::HoldA => board.parts().panel.press(|buttons| buttons.a = !buttons.a),
                Key::HoldB => board.parts().panel.press(|buttons| buttons.b = !buttons.b),
                Key::Reset => board.press_reset()?,
                Key::Show => show(board)?,
                Key::End => return Ok(()),
            }
        }
        if board.now() >= next_character
            && let Some(byte) = typed.pop_front()
        {
            board.type_on_console(&[byte]);
            next_character = board.now() + TYPING;
        }
        live.step(board)?;
        let text = board.take_console();
        if !text.is_empty() {
            stdout().write_all(&text)?;
            stdout().flush()?;
        }
        if board.now() >= next_look {
            next_look = board.now() + LOOK;
            let picture = picture(board);
            if shown.as_ref() != Some(&picture) {
                save(args, &picture)?;
                if args.display && shown.is_some() {
                    show(board)?;
                }
                shown = Some(picture);
            }
        }
    }
    Ok(())
}

fn picture(board: &VirtualBoard) -> Picture {
    board.parts().display.lock().unwrap_or_else(std::sync::PoisonError::into_inner).picture()
}

fn save(args: &Args, picture: &Picture) -> Result<()> {
    let Some(path) = &args.png else { return Ok(()) };
    let mut png = Vec::new();
    picture.write_png(&mut png, 4)?;
    fs::write(path, png).with_context(|| format!("writing {}", path.display()))
}

/// Draws display, lamps and buttons.
fn show(board: &VirtualBoard) -> Result<()> {
    let panel = &board.parts().panel;
    let lit = |lamp| if panel.lamp(lamp) > 0 { '*' } else { '.' };
    let [red, green, blue] = panel.rgb();
    let buttons = panel.buttons();
    let mut out = stdout().lock();
    write!(out, "\r\n")?;
    for line in picture(board).to_string().lines() {
        write!(out, "{line}\r\n")?;
    }
    write!(
        out,
        "Wi-Fi {} Azure {} User {}  RGB {red:02x}{green:02x}{blue:02x}  A {} B {}\r\n",
        lit(Lamp::Wifi),
        lit(Lamp::Azure),
        lit(Lamp::User),
        if buttons.a { "held" } else { "up" },
        if buttons.b { "held" } else { "up" },
    )?;
    Ok(out.flush()?)
}

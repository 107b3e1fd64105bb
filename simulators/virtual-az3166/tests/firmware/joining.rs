//! The power goes in the midst of joining a network, at each of its steps in turn.

use std::time::Duration;

use peripherals::{AirNetwork, AirSecurity};
use virtual_az3166::{PASSPHRASE, SSID, VirtualBoard, equip_radio};

use crate::device::{Device, chip};
use crate::online::configure;

/// The longest a start may take up to a network that is joined.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether a step is reached: a command takes a millisecond.
const STEP: Duration = Duration::from_micros(200);

/// Frames that have gone over the card's function 2 since its firmware was started, each way.
fn frames(board: &VirtualBoard) -> u64 {
    board.parts().radio.lock().unwrap().frames().iter().sum()
}

/// Runs until the radio has exchanged so many frames since the power came; gives whether it did before it had joined.
fn reaches(board: &mut VirtualBoard, before: u64, count: u64) -> bool {
    let end = board.now() + PATIENCE;
    let air = board.parts().radio.lock().unwrap().air();
    while frames(board) < before + count {
        assert!(board.now() < end, "frame {count} of joining does not come: {board:?}");
        if air.joined().is_some() {
            return false;
        }
        board.run_for(if frames(board) > before { STEP } else { 5 * STEP }).unwrap();
    }
    true
}

/// Frames of a step: a command, and its answer or an event.
const FRAMES: u64 = 2;

/// Each start gets one step further than the one before, whose power was cut there; the last one joins.
#[test]
fn the_power_may_go_at_each_step_of_joining() {
    let chip = chip();
    configure(&chip, 60, "in-the-dark");
    let mut device = Device::new(&chip, 61);
    let air = equip_radio(&mut device.board).unwrap();
    let board = &mut device.board;
    let mut steps = 0;
    loop {
        board.power_on().unwrap();
        let before = frames(board);
        if !reaches(board, before, FRAMES * (steps + 1)) {
            break;
        }
        board.power_off();
        assert_eq!(air.joined(), None);
        steps += 1;
    }
    // Set-up, scan and join.
    assert!(steps > 20, "only {steps} steps");
    assert_eq!(board.parts().radio.lock().unwrap().violations(), [""; 0]);
    let ((faults, fullest), masked) = (board.take_sdio_fifo(), board.take_longest_mask());
    println!(
        "{steps} power cuts; interrupts masked for {masked:?}, {fullest} words in the FIFO, {faults} faults"
    );
    assert_eq!(faults, 0, "interrupts are short enough for the SDIO's FIFO");
}

/// With a password an open network is not joined, whoever has it; the right one is as soon as it is there.
#[test]
fn an_open_network_of_the_same_name_is_not_joined() {
    let chip = chip();
    configure(&chip, 62, "careful");
    let mut device = Device::new(&chip, 63);
    let air = equip_radio(&mut device.board).unwrap();
    let network = air.networks().remove(0);
    air.add(AirNetwork { security: AirSecurity::Open, ..network.clone() });
    device.board.power_on().unwrap();
    let end = device.board.now() + PATIENCE;
    while device.screen()[1] != "Network is open" {
        assert!(device.board.now() < end, "{:?}", device.screen());
        device.board.run_for(Duration::from_millis(50)).unwrap();
        assert_eq!(air.joined(), None);
    }
    let mixed = AirSecurity::Mixed(PASSPHRASE.to_owned());
    air.add(AirNetwork { bssid: [2, 0, 0, 0, 0, 9], ..AirNetwork::new(SSID, mixed) });
    let joined = device.board.run_until(2 * PATIENCE, |_| air.joined().is_some()).unwrap();
    assert!(joined && air.joined() == Some([2, 0, 0, 0, 0, 9]), "{:?}, {:?}", air.joined(), device.screen());
}

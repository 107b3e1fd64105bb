//! Exceptions on the simulated core, with small programs in assembly: priorities, masks, frames, faults, and what is
//! not simulated.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use peripherals::DevKit;
use stsafe_a100::sim::{Profile, VirtualChip};
use virtual_az3166::{NotSimulated, VirtualBoard};

const BASE: u32 = 0x0800_C000;
const STACK: u32 = 0x2000_8000;
/// Where the programs write what they found.
const FOUND: u32 = 0x2000_9000;
/// Exceptions and where the programs have their handlers.
const VECTORS: [(usize, u32); 4] = [(1, 0x60), (3, 0x100), (14, 0x180), (15, 0x140)];

/// A board that runs this program.
fn board(program: &str) -> VirtualBoard {
    let folder = tempfile::tempdir().unwrap();
    let (source, object, binary) =
        (folder.path().join("program.s"), folder.path().join("program.o"), folder.path().join("program.bin"));
    let head = ".syntax unified\n.cpu cortex-m4\n.fpu fpv4-sp-d16\n.thumb\n";
    std::fs::write(&source, [head, program, "\n"].concat()).unwrap();
    let run = |tool: &str, arguments: &[&Path]| {
        let status = Command::new(tool).args(arguments).status();
        assert!(status.unwrap_or_else(|error| panic!("{tool}: {error}")).success(), "{tool} {arguments:?}");
    };
    run("arm-none-eabi-as", &[Path::new("-o"), &object, &source]);
    run("arm-none-eabi-objcopy", &[Path::new("-Obinary"), &object, &binary]);
    let mut image = std::fs::read(binary).unwrap();
    image[..4].copy_from_slice(&STACK.to_le_bytes());
    for (number, offset) in VECTORS {
        image[4 * number..4 * number + 4].copy_from_slice(&(BASE + offset + 1).to_le_bytes());
    }
    let parts = DevKit::new(VirtualChip::new(Profile::az3166(), [7; 32]), [2, 0, 0, 0, 0, 1]);
    let mut board = VirtualBoard::new(&image, parts, 1).unwrap();
    board.power_on().unwrap();
    board
}

/// The word that the program has left at an offset.
fn found(board: &VirtualBoard, offset: u32) -> u32 {
    u32::from_le_bytes(board.ram(FOUND + offset, 4).unwrap().try_into().unwrap())
}

#[test]
fn a_more_urgent_exception_interrupts_a_handler_and_floats_are_kept() {
    let mut board = board(include_str!("nested.s"));
    board.run_for(Duration::from_millis(1)).unwrap();
    assert_eq!(board.lockup(), None);
    assert_eq!(found(&board, 0).to_be_bytes(), *b"\0PTp");
    let float = |offset| f32::from_bits(found(&board, offset)).to_string();
    assert_eq!((float(16), float(24)), ("4".into(), "2".into()), "thread and slow handler have their own");
    assert_eq!((found(&board, 20), found(&board, 28)), (0, 14));
    // To a handler and to the thread, both with floating-point registers in the frame.
    assert_eq!((found(&board, 32), found(&board, 36)), (0xFFFF_FFE1, 0xFFFF_FFE9));
}

#[test]
fn masks_hold_back_and_what_waits_is_handled_at_once() {
    let mut board = board(include_str!("masked.s"));
    board.run_for(Duration::from_millis(1)).unwrap();
    assert_eq!(board.lockup(), None);
    assert_eq!([4, 8, 12, 16, 20, 24].map(|at| found(&board, at)), [0, 1, 1, 2, 2, 3]);
}

#[test]
fn a_return_pops_what_is_in_the_frame_and_must_fit_what_was_interrupted() {
    let mut board = board(include_str!("frame.s"));
    board.run_for(Duration::from_micros(10)).unwrap();
    // A handler that changes r4 has changed it for good; r0 is the frame's.
    assert_eq!([0, 4, 8, 12, 16].map(|at| found(&board, at)), [0, 77, 6, 0, 3]);
    board.run_for(Duration::from_millis(1)).unwrap();
    assert!(found(&board, 20) > 1, "the wrong return is a fault");
}

#[test]
fn a_core_that_waits_is_woken_as_the_instruction_says() {
    let mut board = board(include_str!("waiting.s"));
    board.run_for(Duration::from_micros(900)).unwrap();
    assert_eq!(found(&board, 0), 1);
    board.run_for(Duration::from_micros(200)).unwrap();
    assert_eq!(found(&board, 0), 2);
    board.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(found(&board, 0), 2, "a masked interrupt is no event");
}

#[test]
fn a_fault_in_the_handler_of_a_fault_and_one_without_a_stack_lock_the_core_up() {
    let in_handler = ".org 0x60\nldr r0, =0xE000ED08\nldr r1, =0x0800C000\nstr r1, [r0]\nudf #0\n.ltorg\n\
        .org 0x100\nldr r0, =0x60000000\nldr r0, [r0]\n.ltorg\n.org 0x180\n";
    let mut board = self::board(in_handler);
    board.run_for(Duration::from_millis(1)).unwrap();
    assert!(board.lockup().unwrap().contains("0x60000000"), "{:?}", board.lockup());

    // The interrupt comes with the stack pointer at the begin of the memory.
    let no_stack = ".org 0x60\nldr r0, =0xE000ED08\nldr r1, =0x0800C000\nstr r1, [r0]\n\
        ldr r0, =0x20000008\nmov sp, r0\nldr r0, =0xE000ED04\nldr r1, =0x04000000\nstr r1, [r0]\nb .\n.ltorg\n\
        .org 0x140\nbx lr\n.org 0x180\n";
    let mut board = self::board(no_stack);
    board.run_for(Duration::from_millis(1)).unwrap();
    assert!(board.lockup().unwrap().contains("exception 15"), "{:?}", board.lockup());
}

#[test]
fn what_is_not_simulated_ends_the_run() {
    let store = |address: &str, store: &str| {
        format!(".org 0x60\nldr r0, ={address}\nmovs r1, #1\n{store} r1, [r0]\nb .\n.ltorg\n.org 0x180\n")
    };
    let code = BASE + 0x60;
    for (program, expected) in [
        (
            // SPI1_CR1.
            store("0x40013000", "str"),
            NotSimulated::Write { address: 0x4001_3000, value: 1, size: 4, code },
        ),
        (
            // A register of a pin, by one byte.
            store("0x40020018", "strb"),
            NotSimulated::Write { address: 0x4002_0018, value: 1, size: 1, code },
        ),
        // DMA1_LISR.
        (store("0x40026000", "ldr"), NotSimulated::Read { address: 0x4002_6000, code }),
        // The memory protection unit.
        (store("0xE000ED94", "ldr"), NotSimulated::Read { address: 0xE000_ED94, code }),
        (".org 0x60\nnop\nsvc #0\n.org 0x180\n".into(), NotSimulated::SupervisorCall { code: code + 4 }),
    ] {
        let error = board(&program).run_for(Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&expected), "{error}");
    }
}

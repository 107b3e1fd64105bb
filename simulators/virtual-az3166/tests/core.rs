//! The simulated core, with small programs written by hand: time, interrupts, sleep, faults, resets, power cuts.

use std::time::Duration;

use peripherals::DevKit;
use stsafe_a100::sim::{Profile, VirtualChip};
use virtual_az3166::{ResetCause, VirtualBoard};

const BASE: u32 = 0x0800_C000;
const STACK: u32 = 0x2000_8000;
/// Where the code begins, behind the vector table.
const CODE: usize = 0x60;

/// An image: vectors for reset, hard fault and SysTick, then code and literals at the given offsets.
fn image(reset: usize, fault: usize, tick: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut image = vec![0; 0x200];
    let mut vector = |index: usize, value: u32| {
        image[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
    };
    vector(0, STACK);
    for (index, offset) in [(1, reset), (3, fault), (15, tick)] {
        vector(index, BASE + u32::try_from(offset).unwrap() + 1);
    }
    for (offset, bytes) in parts {
        image[*offset..*offset + bytes.len()].copy_from_slice(bytes);
    }
    image
}

fn half_words(code: &[u16]) -> Vec<u8> {
    code.iter().flat_map(|half| half.to_le_bytes()).collect()
}

fn board(image: &[u8], seed: u64) -> VirtualBoard {
    let parts = DevKit::new(VirtualChip::new(Profile::az3166(), [7; 32]), [2, 0, 0, 0, 0, 1]);
    VirtualBoard::new(image, parts, seed).unwrap()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Sets VTOR, switches USART6 on at 96 baud per cycle-count 833, SysTick on at 1000 cycles, and sleeps; each tick sends
/// a `.`.
fn ticking() -> Vec<u8> {
    let code = half_words(&[
        0x4811, 0x4912, 0x6001, // ldr r0, VTOR; ldr r1, BASE; str r1, [r0]
        0x4812, 0x4912, 0x6081, // ldr r0, USART6; ldr r1, 833; str r1, [r0, #8]
        0x4912, 0x60C1, // ldr r1, UE|TE; str r1, [r0, #12]
        0x4812, 0x4913, 0x6041, // ldr r0, SysTick; ldr r1, 95999; str r1, [r0, #4]
        0x2107, 0x6001, // movs r1, #7; str r1, [r0]
        0xBF20, 0xE7FD, // wfe; b .-2
    ]);
    // Literals at 0x60 + 0x48.
    let literals = words(&[0xE000_ED08, BASE, 0x4001_1400, 833, 1 << 13 | 1 << 3, 0xE000_E010, 95_999]);
    // ldr r0, USART6; movs r1, #'.'; str r1, [r0, #4]; bx lr
    let tick = half_words(&[0x4801, 0x212E, 0x6041, 0x4770]);
    image(
        CODE,
        0x100,
        0x140,
        &[
            (CODE, &code),
            (CODE + 0x48, &literals),
            (0x100, &half_words(&[0xE7FE])),
            (0x140, &tick),
            (0x148, &words(&[0x4001_1400])),
        ],
    )
}

#[test]
fn a_tick_wakes_the_core_a_thousand_times_a_second() {
    let mut board = board(&ticking(), 1);
    board.power_on().unwrap();
    board.run_for(Duration::from_millis(100)).unwrap();
    assert_eq!(board.lockup(), None);
    // The last dot is still on its way.
    assert_eq!(board.take_console(), [b'.'; 99]);
    assert_eq!(board.now(), Duration::from_millis(100));
    assert_eq!(board.resets(), [(0, ResetCause::PowerOn)]);
}

#[test]
fn power_is_cut_at_the_very_instruction() {
    // movs r0, #0; str r0, [r1]...: counts in RAM, one addition every three instructions.
    let code = half_words(&[0x4902, 0x2000, 0x3001, 0x6008, 0xE7FC]);
    let image = image(CODE, 0x100, 0x100, &[(CODE, &code), (CODE + 12, &words(&[0x2000_9000]))]);
    for count in [2, 3, 4, 5, 6, 100, 101, 102, 5000] {
        let mut board = board(&image, 3);
        board.power_on().unwrap();
        board.cut_power_after(count);
        board.run_for(Duration::from_secs(1)).unwrap();
        assert!(!board.is_powered());
        // Two instructions before the loop; the store is its second.
        let stored = if count < 4 { None } else { Some(u32::try_from((count - 2 + 1) / 3).unwrap()) };
        let word = u32::from_le_bytes(board.ram(0x2000_9000, 4).unwrap().try_into().unwrap());
        match stored {
            Some(stored) => assert_eq!(word, stored, "after {count}"),
            None => assert!(word > 5000, "noise is still there after {count}: {word:#x}"),
        }
    }
}

#[test]
fn a_fault_goes_to_its_handler_and_a_reset_keeps_memory_above_the_boot_loader() {
    // Reads address 0x60000000, where nothing is. The handler writes a mark and asks for a reset, unless it is there.
    let code = half_words(&[0x2006, 0x0700, 0x6800]); // movs r0, #6; lsls r0, #28; ldr r0, [r0]
    let handler = half_words(&[
        0x4804, 0x4905, 0x6802, 0x428A, 0xD0FE, // ldr r0, RAM; ldr r1, MARK; ldr r2, [r0]; cmp; beq .
        0x6001, 0x4803, 0x4904, 0x6001, 0xE7FE, // str r1, [r0]; ldr r0, AIRCR; ldr r1, KEY; str; b .
    ]);
    let literals = words(&[0x2000_9000, 0x1234_5678, 0xE000_ED0C, 0x05FA_0004]);
    let image = image(CODE, 0x100, 0x100, &[(CODE, &code), (0x100, &handler), (0x114, &literals)]);
    let mut image = image;
    // The vector table is looked for in RAM until the program says otherwise: have it say so first.
    let set_vtor = half_words(&[0x4801, 0x4902, 0x6001, 0xE7BB]); // ldr r0; ldr r1; str; b CODE
    image[0xE0..0xE8].copy_from_slice(&set_vtor);
    image[0xE8..0xF0].copy_from_slice(&words(&[0xE000_ED08, BASE]));
    image[4..8].copy_from_slice(&(BASE + 0xE1).to_le_bytes());
    let mut board = board(&image, 4);
    board.power_on().unwrap();
    board.run_for(Duration::from_millis(1)).unwrap();
    let causes: Vec<_> = board.resets().iter().map(|(_, cause)| *cause).collect();
    assert_eq!(causes, [ResetCause::PowerOn, ResetCause::Software]);
    board.power_off();
    board.power_on().unwrap();
    board.run_for(Duration::from_millis(1)).unwrap();
    assert_eq!(board.resets().len(), 4, "without power the mark is gone");
}

#[test]
fn a_run_is_a_function_of_the_seed() {
    let run = |seed| {
        let mut board = board(&ticking(), seed);
        board.power_on().unwrap();
        board.run_for(Duration::from_micros(12_345)).unwrap();
        (board.cycles(), board.take_console(), board.ram(0x2000_0000, 64).unwrap(), board.unique_id())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).2, run(2).2);
    assert_ne!(run(1).3, run(2).3);
}

#[test]
fn what_the_boot_loader_would_not_start_is_refused() {
    let parts = || DevKit::new(VirtualChip::new(Profile::az3166(), [7; 32]), [2, 0, 0, 0, 0, 1]);
    for image in [&[][..], &[0; 3], &[0xFF; 1024], &vec![0x20; 1 << 20]] {
        assert!(VirtualBoard::new(image, parts(), 1).is_err());
    }
}

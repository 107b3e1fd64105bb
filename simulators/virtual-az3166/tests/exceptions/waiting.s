@ With interrupts masked: WFI is over when one waits, WFE is not. In RAM +0: how far it got.
.org 0x60
reset:
    ldr r0, =0xE000ED08             @ VTOR
    ldr r1, =0x0800C000
    str r1, [r0]
    ldr r5, =0x20009000
    movs r1, #1
    str r1, [r5]
    cpsid i
    ldr r0, =0xE000E010             @ SysTick in a millisecond
    ldr r1, =95999
    str r1, [r0, #4]
    movs r1, #7
    str r1, [r0]
    wfi
    movs r1, #2
    str r1, [r5]
    wfe
    movs r1, #3
    str r1, [r5]
    b .
.ltorg
.org 0x100
fault:
    b .
.org 0x140
tick:
    bx lr

@ A fault's handler changes the frame: it skips the instruction, and gives back another r0. Then a handler (SysTick) returns
@ as if it had interrupted another one.
@ In RAM: what the thread has then: +0 stack not given back, +4 r0, +8 r4, +12 IPSR; +16 IPSR in the handler, +20 how often
@ it ran.
.org 0x60
reset:
    ldr r0, =0xE000ED08             @ VTOR
    ldr r1, =0x0800C000
    str r1, [r0]
    ldr r5, =0x20009000
    movs r1, #0
    str r1, [r5, #20]
    sub sp, #4                      @ not aligned to eight bytes
    mov r6, sp
    movs r4, #5
    udf #0
    mov r1, sp
    subs r6, r6, r1
    str r6, [r5]
    str r0, [r5, #4]
    str r4, [r5, #8]
    mrs r1, ipsr
    str r1, [r5, #12]
    ldr r0, =0xE000E010
    movs r1, #100
    str r1, [r0, #4]
    movs r1, #7
    str r1, [r0]
    b .
.ltorg
.org 0x100
fault:
    ldr r1, =0x20009000
    mrs r0, ipsr
    str r0, [r1, #16]
    ldr r0, [r1, #20]
    adds r0, #1
    str r0, [r1, #20]
    ldr r0, [sp, #24]
    adds r0, #2
    str r0, [sp, #24]
    movs r0, #77
    str r0, [sp]
    movs r4, #6
    cmp r0, #77
    bx lr
.ltorg
.org 0x140
tick:
    mov r0, lr
    subs r0, #8
    bx r0

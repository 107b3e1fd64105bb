@ SysTick, of priority 0x50, is pended under each mask; its handler counts in RAM at +0. Then the count, under the mask and
@ one instruction after it: BASEPRI +4 +8, PRIMASK +12 +16, FAULTMASK +20 +24.
.org 0x60
reset:
    ldr r0, =0xE000ED08             @ VTOR
    ldr r1, =0x0800C000
    str r1, [r0]
    ldr r1, =0x50000000
    str r1, [r0, #0x18]
    ldr r5, =0x20009000
    movs r1, #0
    str r1, [r5]
    movs r1, #0x50
    msr basepri, r1
    bl pend_and_count
    str r6, [r5, #4]
    movs r1, #0x60
    msr basepri, r1
    ldr r6, [r5]
    str r6, [r5, #8]
    movs r1, #0
    msr basepri, r1
    cpsid i
    bl pend_and_count
    str r6, [r5, #12]
    cpsie i
    ldr r6, [r5]
    str r6, [r5, #16]
    cpsid f
    bl pend_and_count
    str r6, [r5, #20]
    cpsie f
    ldr r6, [r5]
    str r6, [r5, #24]
    b .
pend_and_count:
    ldr r0, =0xE000ED04
    movs r1, #1
    lsls r1, r1, #26
    str r1, [r0]
    ldr r1, =3000
1:  subs r1, #1
    bne 1b
    ldr r6, [r5]
    bx lr
.ltorg
.org 0x100
fault:
    b .
.org 0x140
tick:
    ldr r0, =0x20009000
    ldr r1, [r0]
    adds r1, #1
    str r1, [r0]
    bx lr
.ltorg

@ A slow handler (PendSV) is interrupted by a more urgent one (SysTick); all three use floating-point registers.
@ In RAM: +0 who ran, a letter each; thread +16 its sum, +20 IPSR; PendSV +24 its float, +28 IPSR; +32 and +36 the return
@ addresses of SysTick and PendSV.
.org 0x60
reset:
    ldr r0, =0xE000ED08             @ VTOR
    ldr r1, =0x0800C000
    str r1, [r0]
    ldr r1, =0x40F00000             @ priorities: SysTick 0x40, PendSV 0xF0
    str r1, [r0, #0x18]
    ldr r5, =0x20009000
    movs r1, #0
    str r1, [r5]
    vmov.f32 s0, #1.0
    vmov.f32 s15, #3.0
    ldr r0, =0xE000E010             @ SysTick in 5000 cycles
    ldr r1, =4999
    str r1, [r0, #4]
    movs r1, #7
    str r1, [r0]
    ldr r0, =0xE000ED04             @ PendSV now
    movs r1, #1
    lsls r1, r1, #28
    str r1, [r0]
    vadd.f32 s0, s0, s15
    vstr s0, [r5, #16]
    mrs r1, ipsr
    str r1, [r5, #20]
    b .
.ltorg
.org 0x100
fault:
    b .
.org 0x140
tick:
    ldr r0, =0xE000E010
    movs r1, #0
    str r1, [r0]
    vmov.f32 s0, #8.0
    vmov.f32 s15, #8.0
    ldr r0, =0x20009000
    str lr, [r0, #32]
    ldr r1, [r0]
    lsls r1, r1, #8
    adds r1, #'T'
    str r1, [r0]
    bx lr
.ltorg
.org 0x180
pend:
    push {r4, lr}
    ldr r4, =0x20009000
    str lr, [r4, #36]
    movs r1, #'P'
    str r1, [r4]
    vmov.f32 s0, #2.0
    ldr r1, =4000
1:  subs r1, #1
    bne 1b
    vstr s0, [r4, #24]
    mrs r1, ipsr
    str r1, [r4, #28]
    ldr r1, [r4]
    lsls r1, r1, #8
    adds r1, #'p'
    str r1, [r4]
    pop {r4, pc}
.ltorg

/* startup.S - from reset to C, and the exception vectors (ARM DDI 0406C, B1.8).
 *
 * Everything runs in supervisor mode on one stack: an interrupt leaves its own mode at once, and a
 * fault never comes back.
 */
    .syntax unified
    .arm

    .equ MODE_SVC, 0x13
    .equ SCTLR_M, 1 << 0   /* MMU */
    .equ SCTLR_A, 1 << 1   /* Alignment faults */
    .equ SCTLR_C, 1 << 2   /* Data cache */
    .equ SCTLR_Z, 1 << 11  /* Branch prediction */
    .equ SCTLR_I, 1 << 12  /* Instruction cache */
    .equ SCTLR_V, 1 << 13  /* High vectors */
    .equ SCTLR_TE, 1 << 30 /* Exceptions in Thumb */

    .section .vectors, "ax"
    .balign 32
vectors:
    b reset_entry
    b undefined_entry
    b call_entry
    b prefetch_entry
    b data_entry
    b call_entry
    b irq_entry
    b call_entry

    .global reset_entry
    .type reset_entry, %function
reset_entry:
    cpsid if, #MODE_SVC

    /* MMU and caches off; unaligned accesses and low ARM vectors as we want them. */
    mrc p15, 0, r0, c1, c0, 0
    ldr r1, =(SCTLR_M | SCTLR_A | SCTLR_C | SCTLR_Z | SCTLR_I | SCTLR_V | SCTLR_TE)
    bic r0, r0, r1
    mcr p15, 0, r0, c1, c0, 0
    isb
    ldr r0, =vectors
    mcr p15, 0, r0, c12, c0, 0 /* VBAR */

    mov r0, #0
    mcr p15, 0, r0, c8, c7, 0 /* TLBIALL */
    mcr p15, 0, r0, c7, c5, 0 /* ICIALLU */
    mcr p15, 0, r0, c7, c5, 6 /* BPIALL */
    bl invalidate_data_cache
    dsb
    isb

    ldr sp, =__stack_top
    b cortex_a_main

/* The first-level data cache holds anything at all after power-on: every line is declared empty. */
invalidate_data_cache:
    mov r0, #0
    mcr p15, 2, r0, c0, c0, 0 /* CSSELR: level 1, data */
    isb
    mrc p15, 1, r0, c0, c0, 0 /* CCSIDR */
    and r1, r0, #7
    add r1, r1, #4            /* log2 of the line's bytes */
    ubfx r2, r0, #3, #10      /* ways - 1 */
    ubfx r3, r0, #13, #15     /* sets - 1 */
    clz r12, r2               /* where the way's number stands */
1:  mov r0, r3
2:  lsl r4, r2, r12
    lsl r5, r0, r1
    orr r4, r4, r5
    mcr p15, 0, r4, c7, c6, 2 /* DCISW */
    subs r0, r0, #1
    bge 2b
    subs r2, r2, #1
    bge 1b
    bx lr

irq_entry:
    sub lr, lr, #4
    srsdb sp!, #MODE_SVC
    cps #MODE_SVC
    push {r0-r3, r12, lr}
    and r1, sp, #4            /* The stack is aligned to 8 for C. */
    sub sp, sp, r1
    push {r1, lr}
    bl cortex_a_irq
    pop {r1, lr}
    add sp, sp, r1
    pop {r0-r3, r12, lr}
    rfeia sp!

/* Each fault keeps the registers in fault_frame, through its own mode's stack pointer, which is of
 * no other use; then the stack is begun anew, for nothing returns from here. */
    .macro fault kind, adjust
    sub lr, lr, #\adjust
    ldr sp, =fault_frame
    stmia sp, {r0-r12}
    mov r4, #\kind
    b fault_common
    .endm

undefined_entry:
    fault 0, 4
prefetch_entry:
    fault 1, 4
data_entry:
    fault 2, 8
call_entry:
    fault 3, 4

fault_common:
    mrs r5, spsr
    mov r6, lr
    mov r7, sp
    cpsid if, #MODE_SVC
    str sp, [r7, #52]
    str lr, [r7, #56]
    str r6, [r7, #60]
    str r5, [r7, #64]
    str r4, [r7, #68]
    ldr sp, =__stack_top
    b cortex_a_fault

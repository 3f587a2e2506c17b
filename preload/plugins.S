/* The hooks dlopen() and dlmopen(), see plugins.c. Each puts its arguments into memory, calls a function that changes
 * them and returns libc's function, and jumps to that function. The stack and the return address are then those of the
 * caller, as if it had called libc itself. On other architectures there are no such hooks. */
#if defined __CET__ && __has_include(<cet.h>)
#include <cet.h>
#endif
#ifndef _CET_ENDBR
#define _CET_ENDBR
#endif

#if defined __x86_64__

/* The stack is at a multiple of 16 after three words and the return address. */
.macro HOOK name, change
    .globl \name
    .type \name, @function
    .p2align 4
\name:
    .cfi_startproc
    _CET_ENDBR
    push %rdx
    .cfi_adjust_cfa_offset 8
    push %rsi
    .cfi_adjust_cfa_offset 8
    push %rdi
    .cfi_adjust_cfa_offset 8
    mov %rsp, %rdi
    call \change
    pop %rdi
    .cfi_adjust_cfa_offset -8
    pop %rsi
    .cfi_adjust_cfa_offset -8
    pop %rdx
    .cfi_adjust_cfa_offset -8
    jmp *%rax
    .cfi_endproc
    .size \name, . - \name
.endm

#elif defined __i386__

/* The arguments are in memory, and belong to the function that is called. */
.macro HOOK name, change
    .globl \name
    .type \name, @function
    .p2align 4
\name:
    .cfi_startproc
    _CET_ENDBR
    lea 4(%esp), %eax
    sub $8, %esp
    .cfi_adjust_cfa_offset 8
    push %eax
    .cfi_adjust_cfa_offset 4
    call \change
    add $12, %esp
    .cfi_adjust_cfa_offset -12
    jmp *%eax
    .cfi_endproc
    .size \name, . - \name
.endm

#elif defined __aarch64__

.macro HOOK name, change
    .globl \name
    .type \name, %function
    .p2align 2
\name:
    .cfi_startproc
    hint #34 /* bti c */
    stp x0, x1, [sp, #-32]!
    .cfi_adjust_cfa_offset 32
    stp x2, x30, [sp, #16]
    .cfi_rel_offset x30, 24
    mov x0, sp
    bl \change
    mov x16, x0
    ldp x2, x30, [sp, #16]
    .cfi_restore x30
    ldp x0, x1, [sp], #32
    .cfi_adjust_cfa_offset -32
    br x16
    .cfi_endproc
    .size \name, . - \name
.endm

#elif defined __arm__

    .syntax unified
    .arm
    .cfi_sections .debug_frame /* an unwind table would need libgcc_s */
.macro HOOK name, change
    .globl \name
    .type \name, %function
    .p2align 2
\name:
    .cfi_startproc
    push {r0, r1, r2, lr}
    .cfi_adjust_cfa_offset 16
    .cfi_rel_offset lr, 12
    mov r0, sp
    bl \change
    mov ip, r0
    pop {r0, r1, r2, lr}
    .cfi_adjust_cfa_offset -16
    .cfi_restore lr
    bx ip
    .cfi_endproc
    .size \name, . - \name
.endm

#else

.macro HOOK name, change
.endm

#endif

    .text
    .hidden s5_plugins_dlopen
    .hidden s5_plugins_dlmopen
    HOOK dlopen, s5_plugins_dlopen
    HOOK dlmopen, s5_plugins_dlmopen

#if defined __aarch64__ && __ARM_FEATURE_BTI_DEFAULT
    .pushsection .note.gnu.property, "a", %note /* branch targets are marked, as in the rest of the object */
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000000, 4, 1, 0
    .popsection
#endif
#ifdef __arm__
    .section .note.GNU-stack, "", %progbits
#else
    .section .note.GNU-stack, "", @progbits
#endif

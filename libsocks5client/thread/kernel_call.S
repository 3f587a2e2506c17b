/* The system call of 32-bit x86. It is a function, because the sixth argument is in the frame pointer, and it has
 * unwinding information, because a thread may be cancelled in it. It is a file of its own: assembly within C is not
 * among the symbols that a linker finds in the library when the code is optimised at link time. */
#ifdef __i386__
    .text
    .globl s5_kernel_call_i386
    .hidden s5_kernel_call_i386
    .type s5_kernel_call_i386, @function
    .p2align 4
s5_kernel_call_i386:
    .cfi_startproc
    pushl %ebp
    .cfi_adjust_cfa_offset 4
    .cfi_rel_offset ebp, 0
    pushl %edi
    .cfi_adjust_cfa_offset 4
    .cfi_rel_offset edi, 0
    pushl %esi
    .cfi_adjust_cfa_offset 4
    .cfi_rel_offset esi, 0
    pushl %ebx
    .cfi_adjust_cfa_offset 4
    .cfi_rel_offset ebx, 0
    movl 20(%esp), %eax
    movl 24(%eax), %ebp
    movl 20(%eax), %edi
    movl 16(%eax), %esi
    movl 12(%eax), %edx
    movl 8(%eax), %ecx
    movl 4(%eax), %ebx
    movl (%eax), %eax
    int $0x80
    popl %ebx
    .cfi_adjust_cfa_offset -4
    .cfi_restore ebx
    popl %esi
    .cfi_adjust_cfa_offset -4
    .cfi_restore esi
    popl %edi
    .cfi_adjust_cfa_offset -4
    .cfi_restore edi
    popl %ebp
    .cfi_adjust_cfa_offset -4
    .cfi_restore ebp
    ret
    .cfi_endproc
    .size s5_kernel_call_i386, . - s5_kernel_call_i386
#endif
    .section .note.GNU-stack, "", %progbits

/* The function of 32-bit x86. */
#include "kernel_call.h"

#ifdef __i386__
/* The sixth argument is in the frame pointer, so this is a function with unwinding information of its own: a thread
 * may be cancelled in it. */
__asm__(".pushsection .text\n\t.globl s5_kernel_call_i386\n\t.hidden s5_kernel_call_i386\n\t.type s5_kernel_call_i386, "
        "@function\n"
        "s5_kernel_call_i386:\n\t.cfi_startproc\n"
        "\tpushl %ebp\n\t.cfi_adjust_cfa_offset 4\n\t.cfi_rel_offset ebp, 0\n"
        "\tpushl %edi\n\t.cfi_adjust_cfa_offset 4\n\t.cfi_rel_offset edi, 0\n"
        "\tpushl %esi\n\t.cfi_adjust_cfa_offset 4\n\t.cfi_rel_offset esi, 0\n"
        "\tpushl %ebx\n\t.cfi_adjust_cfa_offset 4\n\t.cfi_rel_offset ebx, 0\n"
        "\tmovl 20(%esp), %eax\n\tmovl 24(%eax), %ebp\n\tmovl 20(%eax), %edi\n\tmovl 16(%eax), %esi\n"
        "\tmovl 12(%eax), %edx\n\tmovl 8(%eax), %ecx\n\tmovl 4(%eax), %ebx\n\tmovl (%eax), %eax\n"
        "\tint $0x80\n"
        "\tpopl %ebx\n\t.cfi_adjust_cfa_offset -4\n\t.cfi_restore ebx\n"
        "\tpopl %esi\n\t.cfi_adjust_cfa_offset -4\n\t.cfi_restore esi\n"
        "\tpopl %edi\n\t.cfi_adjust_cfa_offset -4\n\t.cfi_restore edi\n"
        "\tpopl %ebp\n\t.cfi_adjust_cfa_offset -4\n\t.cfi_restore ebp\n"
        "\tret\n\t.cfi_endproc\n\t.size s5_kernel_call_i386, . - s5_kernel_call_i386\n\t.popsection");
#endif

// The code that a stopped task runs for the agent. It walks a table of system calls, reports completion, and waits for
// the next table. It is position-independent and never touches the stack. Layouts: stub_layout.hpp.
//
// r15 holds the address of the mailbox of this thread (read-write in the task).
//
// If no new table arrives until the mailbox's deadline (a real-time clock reading), the tracer is dead. The thread then
// continues where it was stopped, with all its previous registers. xstate and the kernel's
// restart block are unchanged: the stub waits with futex_waitv because that call, unlike futex, does not use the
// restart block.

#define MB_GO        0
#define MB_DONE      4
#define MB_COUNT     8
#define MB_TABLE     16
#define MB_WAITER    24   /* struct futex_waitv, 24 bytes */
#define MB_DEADLINE  48   /* struct timespec, 16 bytes */
#define MB_SIGMASK   64
#define MB_HEALING   72
#define MB_REGS      80   /* r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi */
#define MB_FLAGS     192
#define MB_RSP       200
#define MB_LANDING   208

#define NR_futex          202
#define NR_futex_waitv    449
#define NR_rt_sigprocmask 14
#define ETIMEDOUT         110

    .section .rodata.crx_stub, "a", @progbits
    .globl crx_stub_begin
    .globl crx_stub_end
    .balign 16
crx_stub_begin:
.Lbatch:
    mov     MB_COUNT(%r15), %r14
    mov     MB_TABLE(%r15), %r13
.Lwalk:
    test    %r14, %r14
    jz      .Lwalked
    mov     0(%r13), %rax
    mov     8(%r13), %rdi
    mov     16(%r13), %rsi
    mov     24(%r13), %rdx
    mov     32(%r13), %r10
    mov     40(%r13), %r8
    mov     48(%r13), %r9
    syscall
    mov     %rax, 56(%r13)
    mov     64(%r13), %rcx
    test    %rcx, %rcx
    jz      .Lnext
    mov     %rax, (%rcx)
.Lnext:
    add     $72, %r13
    dec     %r14
    jmp     .Lwalk

.Lwalked:
    movl    $1, MB_DONE(%r15)
    mov     $NR_futex, %eax
    lea     MB_DONE(%r15), %rdi
    mov     $1, %esi                    /* FUTEX_WAKE, shared */
    mov     $1, %edx
    syscall
.Lwait:
    xor     %eax, %eax
    xchg    %eax, MB_GO(%r15)
    test    %eax, %eax
    jnz     .Lbatch
    mov     $NR_futex_waitv, %eax
    lea     MB_WAITER(%r15), %rdi
    mov     $1, %esi
    xor     %edx, %edx
    lea     MB_DEADLINE(%r15), %r10
    xor     %r8d, %r8d                  /* CLOCK_REALTIME */
    syscall
    cmp     $-ETIMEDOUT, %rax
    jne     .Lwait

    movl    $1, MB_HEALING(%r15)
    mov     MB_RSP(%r15), %rsp          /* signals come back now: on the thread's own stack, below its red zone */
    lea     -128(%rsp), %rsp
    mov     $NR_rt_sigprocmask, %eax
    mov     $2, %edi                    /* SIG_SETMASK */
    lea     MB_SIGMASK(%r15), %rsi
    xor     %edx, %edx
    mov     $8, %r10d
    syscall
    pushq   MB_FLAGS(%r15)
    popfq                               /* the moves below leave the flags alone */
    mov     MB_REGS+0(%r15), %r14
    mov     MB_REGS+8(%r15), %r13
    mov     MB_REGS+16(%r15), %r12
    mov     MB_REGS+24(%r15), %rbp
    mov     MB_REGS+32(%r15), %rbx
    mov     MB_REGS+40(%r15), %r11
    mov     MB_REGS+48(%r15), %r10
    mov     MB_REGS+56(%r15), %r9
    mov     MB_REGS+64(%r15), %r8
    mov     MB_REGS+72(%r15), %rax
    mov     MB_REGS+80(%r15), %rcx
    mov     MB_REGS+88(%r15), %rdx
    mov     MB_REGS+96(%r15), %rsi
    mov     MB_REGS+104(%r15), %rdi
    jmp     *MB_LANDING(%r15)           /* sets r15 and rsp and jumps to rip: stub_layout.hpp */
crx_stub_end:

    .section .note.GNU-stack, "", @progbits

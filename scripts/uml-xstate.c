/*
 * Preloaded into User-mode Linux: lets it run on processors with AMX.
 *
 * Its kernel knows a smaller register state than such a processor has, and the host refuses to set a part of one
 * (PTRACE_SETREGSET gives EFAULT). So the part that it knows is put into the whole that the host has, and that is set.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long call(long request, long pid, unsigned long addr, void *data)
{
	return syscall(SYS_ptrace, request, pid, addr, data);
}

static long set_state(long pid, struct iovec *part)
{
	static char state[1 << 16];
	struct iovec whole = { state, sizeof state };

	if (call(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &whole) < 0)
		return -1;
	memcpy(state, part->iov_base, part->iov_len < whole.iov_len ? part->iov_len : whole.iov_len);
	return call(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	long pid = va_arg(arguments, long);
	unsigned long addr = va_arg(arguments, unsigned long);
	void *data = va_arg(arguments, void *);
	va_end(arguments);

	if (request == PTRACE_SETREGSET && addr == NT_X86_XSTATE)
		return set_state(pid, data);
	if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
		return call(request, pid, addr, data);
	/* The library gives the word that was peeked at as its result; the kernel writes it to memory. */
	long word;
	if (call(request, pid, addr, &word) < 0)
		return -1;
	errno = 0;
	return word;
}

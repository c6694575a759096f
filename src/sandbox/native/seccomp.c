/*
 * Builds the filter as a search tree over the refused calls: close to Docker's default policy, about 150 instructions
 * per architecture, and calls that are always allowed are remembered as such by the kernel.
 * Runs in: the step's main process, between fork and exec, still with CAP_SYS_ADMIN.
 */
#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"

#ifdef __x86_64__
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "no system call filter for this architecture"
#endif

enum { MOST_INSTRUCTIONS = 2048, MOST_CALLS = 128, NEWEST_CALL = 466, LEAF = 4 };

/* Every new namespace, the time namespace apart: its flag is not one of clone's. */
static const uint32_t namespace_flags =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
static const uint32_t personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};

struct program {
  struct sock_filter code[MOST_INSTRUCTIONS];
  unsigned short size;
};

static void emit(struct program *program, uint16_t code, uint8_t jump_true, uint8_t jump_false, uint32_t value) {
  if (program->size == MOST_INSTRUCTIONS) fail("seccomp", E2BIG, "filter");
  program->code[program->size++] = (struct sock_filter){code, jump_true, jump_false, value};
}

static void emit_return(struct program *program, uint32_t action) { emit(program, BPF_RET | BPF_K, 0, 0, action); }

static void emit_errno(struct program *program, int error) { emit_return(program, SECCOMP_RET_ERRNO | (uint32_t)error); }

static void load(struct program *program, size_t offset) {
  emit(program, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static size_t argument(int index) {
  /* The low half; both architectures are little-endian. */
  return offsetof(struct seccomp_data, args) + (size_t)index * 8;
}

static int by_number(const void *a, const void *b) {
  int left = *(const int *)a, right = *(const int *)b;
  return (left > right) - (left < right);
}

/* With the call's number loaded: refuses those of `calls`, sorted, and allows the rest. */
static void emit_search(struct program *program, const int *calls, size_t count) {
  if (count <= LEAF) {
    for (size_t i = 0; i < count; i++) emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(count - i), 0, (uint32_t)calls[i]);
    emit_return(program, SECCOMP_RET_ALLOW);
    if (count > 0) emit_errno(program, EPERM);
    return;
  }
  size_t half = count / 2;
  unsigned short fork = program->size;
  emit(program, BPF_JMP | BPF_JGE | BPF_K, 0, 0, (uint32_t)calls[half]);
  emit_search(program, calls, half);
  unsigned distance = (unsigned)(program->size - fork - 1);
  if (distance > UINT8_MAX) fail("seccomp", E2BIG, "filter");
  program->code[fork].jt = (uint8_t)distance;
  emit_search(program, calls + half, count - half);
}

/* If the loaded number is `call`, run what `emit_rule` emits, which must return on every path. */
static void emit_rule(struct program *program, int call, void (*rule)(struct program *)) {
  if (call < 0) return;
  unsigned short fork = program->size;
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)call);
  rule(program);
  program->code[fork].jf = (uint8_t)(program->size - fork - 1);
}

static void rule_clone(struct program *program) {
  load(program, argument(0));
  emit(program, BPF_JMP | BPF_JSET | BPF_K, 1, 0, namespace_flags);
  emit_return(program, SECCOMP_RET_ALLOW);
  emit_errno(program, EPERM);
}

/* Its flags lie in memory, out of a filter's sight: the C library falls back to clone. */
static void rule_absent(struct program *program) { emit_errno(program, ENOSYS); }

static void rule_personality(struct program *program) {
  size_t count = sizeof personalities / sizeof personalities[0];
  load(program, argument(0));
  for (size_t i = 0; i < count; i++) emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(count - i), 0, personalities[i]);
  emit_errno(program, EPERM);
  emit_return(program, SECCOMP_RET_ALLOW);
}

static void rule_socket(struct program *program) {
  load(program, argument(0));
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_VSOCK);
  emit_return(program, SECCOMP_RET_ALLOW);
  emit_errno(program, EPERM);
}

static void rule_unix_socket(struct program *program) {
  load(program, argument(0));
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_UNIX);
  emit_errno(program, EACCES);
  emit_return(program, SECCOMP_RET_ALLOW);
}

static void rule_pretend(struct program *program) { emit_errno(program, 0); }

static void rule_tell(struct program *program) { emit_return(program, SECCOMP_RET_USER_NOTIF); }

static void emit_pretences(struct program *program, bool tell) {
  void (*owner)(struct program *) = tell ? rule_tell : rule_pretend;
#ifdef SYS_chown
  emit_rule(program, SYS_chown, owner);
  emit_rule(program, SYS_lchown, owner);
#endif
  emit_rule(program, SYS_fchown, owner);
  emit_rule(program, SYS_fchownat, owner);
  emit_rule(program, SYS_setgroups, rule_pretend);
  emit_rule(program, SYS_setuid, rule_pretend);
  emit_rule(program, SYS_setgid, rule_pretend);
  emit_rule(program, SYS_setreuid, rule_pretend);
  emit_rule(program, SYS_setregid, rule_pretend);
  emit_rule(program, SYS_setresuid, rule_pretend);
  emit_rule(program, SYS_setresgid, rule_pretend);
}

static void emit_table(struct program *program, const int *calls, size_t count) {
  int sorted[MOST_CALLS];
  if (count > MOST_CALLS) fail("seccomp", E2BIG, "refused calls");
  memcpy(sorted, calls, count * sizeof *calls);
  qsort(sorted, count, sizeof *sorted, by_number);
  emit(program, BPF_JMP | BPF_JGT | BPF_K, 0, 1, NEWEST_CALL);
  emit_errno(program, ENOSYS);
  emit_search(program, sorted, count);
}

static void emit_native(struct program *program, unsigned wishes, bool tell) {
  load(program, offsetof(struct seccomp_data, nr));
  emit_rule(program, SYS_clone, rule_clone);
  emit_rule(program, SYS_clone3, rule_absent);
  emit_rule(program, SYS_personality, rule_personality);
  emit_rule(program, SYS_socket, wishes & FILTER_NETWORK ? rule_unix_socket : rule_socket);
  if (wishes & FILTER_PRETEND_OWNERSHIP) emit_pretences(program, tell);
  emit_table(program, denied_calls, denied_call_count);
}

static void emit_i386(struct program *program) {
  load(program, offsetof(struct seccomp_data, nr));
  emit_rule(program, clone_i386, rule_clone);
  emit_rule(program, clone3_i386, rule_absent);
  emit_rule(program, personality_i386, rule_personality);
  emit_table(program, denied_calls_i386, denied_call_count_i386);
}

static struct sock_fprog build_filter(unsigned wishes, bool tell) {
  static struct program program;
  program.size = 0;
  load(&program, offsetof(struct seccomp_data, arch));
  emit(&program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, NATIVE_ARCH);
  unsigned short far = program.size; /* unconditional: conditional jumps reach 255 instructions only */
  emit(&program, BPF_JMP | BPF_JA, 0, 0, 0);
  emit_native(&program, wishes, tell);
  program.code[far].k = (uint32_t)(program.size - far - 1);
  /* There, socketcall(2) has the family in memory: without a network there are no such programs. */
  if (denied_call_count_i386 > 0 && !(wishes & FILTER_NETWORK)) {
    emit(&program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_I386);
    emit_errno(&program, ENOSYS);
    emit_i386(&program);
  } else emit_errno(&program, ENOSYS);
  return (struct sock_fprog){program.size, program.code};
}

int install_filter(unsigned wishes) {
  if (wishes & FILTER_NETWORK && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("seccomp", errno, "no_new_privs");
  if (wishes & FILTER_PRETEND_OWNERSHIP) {
    struct sock_fprog telling = build_filter(wishes, true);
    int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &telling);
    if (listener >= 0) return listener;
    /* EINVAL: before Linux 5.0; EBUSY: a filter around tsbuild has a listener already. */
    if (errno != EINVAL && errno != EBUSY && errno != ENOSYS) fail("seccomp", errno, "filter");
  }
  struct sock_fprog filter = build_filter(wishes, false);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0) return -1;
  if (!(wishes & FILTER_OPTIONAL) || errno != EACCES) fail("seccomp", errno, "filter");
  return -1;
}

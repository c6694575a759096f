/*
 * Records to tsbuild; see report.h for their form.
 * Runs in: every process of the helper, whatever its capabilities.
 */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct record {
  uint8_t data[8192];
  size_t size;
};

static void add(struct record *record, const char *field) {
  size_t room = sizeof record->data - record->size - 1;
  size_t length = strnlen(field, room);
  memcpy(record->data + record->size, field, length);
  record->data[record->size + length] = 0;
  record->size += length + (length < room ? 1 : 0);
}

static void add_number(struct record *record, uint64_t number) {
  char text[24];
  snprintf(text, sizeof text, "%" PRIu64, number);
  add(record, text);
}

/* A record that cannot be sent has no reader left: there is nobody to tell. */
static void send_record(struct record *record) {
  uint32_t length = (uint32_t)record->size - 4;
  for (int i = 0; i < 4; i++) record->data[i] = (uint8_t)(length >> (8 * i));
  for (size_t sent = 0; sent < record->size;) {
    ssize_t wrote = write(RECORD_FD, record->data + sent, record->size - sent);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    sent += (size_t)wrote;
  }
}

void fail(const char *stage, int error, const char *detail) {
  struct record record = {.size = 4};
  add(&record, "error");
  add(&record, stage);
  add_number(&record, (uint64_t)error);
  add(&record, detail);
  send_record(&record);
  _exit(SETUP_FAILED);
}

void fail_at(const char *stage, int error, const char *detail, unsigned long index) {
  char text[512];
  snprintf(text, sizeof text, "%.480s %lu", detail, index);
  fail(stage, error, text);
}

void report_ready(void) {
  struct record record = {.size = 4};
  add(&record, "ready");
  send_record(&record);
}

void report_exec(int error, const char *program) {
  struct record record = {.size = 4};
  add(&record, "exec");
  add_number(&record, (uint64_t)error);
  add(&record, program);
  send_record(&record);
}

void report_exit(int status, uint64_t user, uint64_t system, uint64_t resident) {
  struct record record = {.size = 4};
  add(&record, "exit");
  add(&record, WIFSIGNALED(status) ? "killed" : "exited");
  add_number(&record, (uint64_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
  add_number(&record, user);
  add_number(&record, system);
  add_number(&record, resident);
  send_record(&record);
}

/*
 * Records to tsbuild on descriptor 4: u32 length, then fields that end with NUL.
 *   error  stage errno detail                                        the step could not be run
 *   exec   errno program                                             the program could not be started
 *   exit   exited|killed number user-microseconds system-microseconds peak-resident-bytes
 *   ready                                                            the shared network is connected, or all
 *                                                                    of a held step is there but its program
 * Runs in: every process of the helper, whatever its capabilities.
 */
#ifndef TSBUILD_REPORT_H
#define TSBUILD_REPORT_H

#include <stdint.h>

enum { RECORD_FD = 4, SETUP_FAILED = 125 };

/* Sends an error record and ends this process. */
_Noreturn void fail(const char *stage, int error, const char *detail);

/* `fail` with a path made of a text and a number, as in "lower directory 12". */
_Noreturn void fail_at(const char *stage, int error, const char *detail, unsigned long index);

void report_ready(void);
void report_exec(int error, const char *program);
void report_exit(int status, uint64_t user, uint64_t system, uint64_t resident);

#endif

/*
 * A step's terminal: a pseudo terminal of the step's own, between which and the user's terminal the supervisor passes
 * bytes on. The step never has a descriptor of the user's terminal, into which it could type.
 * Runs in: the supervisor, or PID 1 of the step, as said at each function.
 */
#ifndef TSBUILD_TERMINAL_H
#define TSBUILD_TERMINAL_H

struct terminal {
  int master;
  int slave;
};

/* PID 1: a new one of the devpts at /dev/ptmx. */
struct terminal open_terminal(void);

/* Main process, leading its session: descriptor 0 becomes its controlling terminal. */
void control_terminal(void);

/* Supervisor: gives the step's terminal the size of the user's, which is on descriptor 1, if any. */
void copy_window_size(int master);

/* Supervisor: hands every key on as it is, when descriptor 0 is a terminal, until restore_terminal. */
void make_terminal_raw(void);
void restore_terminal(void);

/* Supervisor: `fd` opened again so that no write to it waits; `fd` itself where that cannot be. */
int without_waiting(int fd, int flags);

#endif

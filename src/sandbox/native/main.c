/*
 * tsbuild-sandbox: runs steps, or a program in a user namespace. Started by tsbuild only.
 * Runs in: the first process, with the capabilities of tsbuild.
 */
#include <string.h>

#include "net.h"
#include "report.h"
#include "seal.h"
#include "serve.h"
#include "supervise.h"
#include "userns.h"

int main(int argc, char **argv, char **envp) {
  /* What a probe runs as its step: that it was started is the answer. */
  if (argc == 2 && strcmp(argv[1], "probe") == 0) return 0;
  if (argc == 2 && strcmp(argv[1], "run") == 0) {
    seal_self(argv, envp);
    return supervise();
  }
  if (argc == 4 && strcmp(argv[1], "serve") == 0) {
    seal_self(argv, envp);
    return serve((enum rung)(argv[2][0] - '0'), argv[3][0] == '1');
  }
  if (argc == 4 && strcmp(argv[1], "net") == 0) return hold_network(argv[2], argv[3]);
  if (argc > 2 && strcmp(argv[1], "userns") == 0) return run_in_user_namespace(argc - 2, argv + 2, envp);
  return SETUP_FAILED;
}

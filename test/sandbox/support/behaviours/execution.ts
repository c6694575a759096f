/** How a step starts, talks and ends: exit codes, arguments, environment, streams, signals, limits. */
import { type Behaviour, noProc } from './behaviour.ts';

export const execution: readonly Behaviour[] = [
  { title: 'passes its exit code on', request: { script: 'exit 42' }, expect: { code: 42 } },
  { title: 'passes the highest exit code on', request: { script: 'exit 255' }, expect: { code: 255 } },
  {
    title: 'passes on what a shell says of a program a signal ended',
    request: { script: "sh -c 'kill -KILL $$'; exit $?" },
    expect: { code: 137 },
  },
  {
    title: 'ended by SIGKILL is reported as such',
    request: { script: 'kill -KILL $$' },
    expect: { killed: 'SIGKILL' },
  },
  {
    title: 'may catch a signal',
    request: { script: "trap 'echo caught; exit 3' TERM; kill -TERM $$; sleep 1" },
    expect: { code: 3, stdout: 'caught' },
  },
  {
    title: 'killed by a signal is reported as such',
    request: { script: 'kill -TERM $$' },
    expect: { killed: 'SIGTERM' },
  },
  {
    title: 'gets 127 for a program that is not in PATH',
    request: { step: { args: ['no-such-program'] } },
    expect: { code: 127, stderr: /no-such-program.*not found in PATH/ },
  },
  {
    title: 'gets 127 for an absolute path that is not there',
    request: { step: { args: ['/no/such'] } },
    expect: { code: 127, stderr: /\/no\/such/ },
  },
  {
    title: 'gets 126 for a file that is not executable',
    request: { step: { args: ['/opt/plain'] } },
    expect: { code: 126 },
  },
  { title: 'gets 126 for a directory', request: { step: { args: ['/opt'] } }, expect: { code: 126 } },
  {
    title: 'gets 127 for a script whose interpreter is missing',
    request: { step: { args: ['/opt/no-interpreter'] } },
    expect: { code: 127 },
  },
  {
    title: 'gets 126 for a file of no known format',
    request: { step: { args: ['/opt/garbage'] } },
    expect: { code: 126, stderr: /architecture/ },
  },
  {
    title: 'has its program looked up in the PATH of the step',
    request: { step: { args: ['echo', 'found'], env: ['PATH=/nowhere:/bin'] } },
    expect: { stdout: 'found' },
  },
  {
    title: 'has a default PATH for the look-up when the image sets none',
    request: { step: { args: ['echo', 'found'], env: [] } },
    expect: { stdout: 'found' },
  },
  {
    title: 'sees exactly its environment, and HOME',
    request: { step: { args: ['/bin/env'], env: ['A=1', 'B=two words', 'C='] } },
    expect: { stdout: 'A=1\nB=two words\nC=\nHOME=/root' },
  },
  {
    title: 'gets its arguments unchanged',
    request: { step: { args: ['/bin/printf', '[%s]', 'a b', '', '"q"', '$X', 'ü'] } },
    expect: { stdout: '[a b][]["q"][$X][ü]' },
  },
  {
    title: 'sees variables of several lines and with equals signs',
    request: { step: { args: ['/bin/sh', '-c', 'printf %s "$A"'], env: ['A=one\ntwo=2\n three'] } },
    expect: { stdout: 'one\ntwo=2\n three' },
  },
  {
    title: 'runs a script by its first line',
    request: { script: 'printf "#!/bin/sh -e\\necho a \\$1\\n" > /opt/script; chmod +x /opt/script; /opt/script b' },
    expect: { stdout: 'a b' },
  },
  {
    title: 'takes arguments of 100 KB',
    request: { step: { args: ['/bin/sh', '-c', 'echo ${#1}', 'sh', 'x'.repeat(100_000)] } },
    expect: { stdout: '100000' },
  },
  { title: 'has an empty stdin', request: { script: 'cat; echo end' }, expect: { stdout: 'end' } },
  {
    title: 'has no terminal',
    request: { script: 'test -t 0 || test -t 1 || test -t 2 || echo none' },
    expect: { stdout: 'none' },
  },
  {
    title: 'can open /dev/stdout and /dev/stderr',
    request: { script: 'echo out >/dev/stdout; echo err >/dev/stderr' },
    expect: { stdout: 'out', stderr: /err/ },
    not: noProc,
  },
  {
    title: 'of an ordinary user can open /dev/stdout',
    request: { script: 'echo out >/dev/stdout', step: { user: 'app' } },
    expect: { stdout: 'out' },
    not: noProc,
  },
  {
    title: 'has no descriptor but its three',
    request: { step: { args: ['/bin/probe-calls', 'descriptors'] } },
    expect: { stdout: '0\n1\n2' },
  },
  {
    title: 'keeps stdout and stderr apart',
    request: { script: 'echo out; echo err >&2' },
    expect: { stdout: 'out', stderr: /^err\n$/ },
  },
  {
    title: 'may print bytes that are no text',
    request: { script: "printf '\\377\\000\\376' | od -An -tx1" },
    expect: { stdout: 'ff 00 fe' },
  },
  {
    title: 'sees a reader that closes its pipe as SIGPIPE',
    request: { script: '(yes; echo $? >&2) | head -n 1; sleep 0.2' },
    expect: { stdout: 'y' },
  },
  {
    title: 'may print megabytes',
    request: { script: 'head -c 3000000 /dev/zero | tr "\\0" x | wc -c' },
    expect: { stdout: '3000000' },
  },
  {
    title: 'has every signal at its default',
    request: { step: { args: ['/bin/grep', '-E', 'Sig(Ign|Blk)', '/proc/self/status'] } },
    expect: { stdout: /SigBlk:\t0+\nSigIgn:\t0+$/ },
    not: noProc,
  },
  {
    title: 'ends with its main process, whatever it left running',
    request: { script: 'sleep 1000 & (setsid sleep 1000 &) ; echo started' },
    expect: { stdout: 'started' },
  },
  {
    title: 'has what its processes leave behind reaped',
    request: {
      script:
        'test -d /proc/1 || exit 1; for i in 1 2 3 4 5; do (true & true &); done; sleep 0.2; for t in $(seq 50); do left=$(grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null); test -z "$left" && break; sleep 0.1; done; echo "$left" end',
    },
    expect: { stdout: 'end' },
    not: noProc,
  },
  {
    title: 'may run background processes and wait for them',
    request: { script: '(sleep 0.1; echo one) & (sleep 0.1; echo one) & wait; echo two' },
    expect: { stdout: 'one\none\ntwo' },
  },
  {
    title: 'leads a session of its own',
    request: { script: 'test "$(cut -d" " -f6 /proc/self/stat)" = $$ && echo own' },
    expect: { stdout: 'own' },
    not: noProc,
  },
  {
    title: 'gets the limits --ulimit sets',
    request: {
      script: 'ulimit -Sn; ulimit -Hn',
      step: { limits: { ulimits: [{ name: 'nofile', soft: 77, hard: 99 }] } },
    },
    expect: { stdout: '77\n99' },
  },
  {
    title: 'meets the limit of file size it was given',
    request: {
      script: 'head -c 100000 /dev/zero > /tmp/f; stat -c %s /tmp/f',
      step: { limits: { ulimits: [{ name: 'fsize', soft: 5000, hard: 5000 }] } },
    },
    expect: { stdout: '5000' },
  },
  {
    title: 'makes no core file where that was asked for',
    request: { script: 'ulimit -c', step: { limits: { ulimits: [{ name: 'core', soft: 0, hard: 0 }] } } },
    expect: { stdout: '0' },
  },
  {
    title: 'is refused for a limit that does not exist',
    request: { step: { limits: { ulimits: [{ name: 'nothing', soft: 1, hard: 1 }] } } },
    expect: { error: 'sandbox-step-invalid' },
  },
];

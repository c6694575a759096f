/** How a step starts, talks and ends: exit codes, arguments, environment, streams, signals, limits. */
import { type Behaviour, noProc, oneId } from './behaviour.ts';

export const execution: readonly Behaviour[] = [
  { title: 'passes its exit code on', request: { script: 'exit 42' }, expect: { code: 42 } },
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
    not: { ...oneId, ...noProc },
  },
  {
    title: 'has no descriptor but its three',
    request: { script: 'ls /proc/self/fd' },
    expect: { stdout: /^0\n1\n2\n3$/ },
    not: noProc,
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
    title: 'is refused for a limit that does not exist',
    request: { step: { limits: { ulimits: [{ name: 'nothing', soft: 1, hard: 1 }] } } },
    expect: { error: 'sandbox-step-invalid' },
  },
];

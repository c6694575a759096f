/** The flags of `tsbuild build`: docker buildx's names and meanings, and a few of tsbuild's own. */
import type { Flag } from './flag.ts';

const image = 'What to build';
const result = 'Where the result goes';
const inputs = 'What the build may use';
const cache = 'Cache';
const running = 'How RUN steps run';
const output = 'Output';

export const buildFlags: readonly Flag[] = [
  { name: 'tag', short: 't', value: 'NAME', many: true, group: image, help: 'name of the image, e.g. app:1' },
  {
    name: 'file',
    short: 'f',
    value: 'FILE',
    group: image,
    help: 'the Dockerfile (default: PATH/Dockerfile); - reads standard input',
  },
  { name: 'target', value: 'STAGE', group: image, help: 'build this stage instead of the last' },
  {
    name: 'platform',
    value: 'OS/ARCH',
    many: true,
    group: image,
    help: 'platforms to build for, e.g. linux/amd64,linux/arm64',
  },
  {
    name: 'build-arg',
    value: 'NAME[=VALUE]',
    many: true,
    group: image,
    help: "value of an ARG; without a value, the environment's",
  },
  { name: 'label', value: 'KEY=VALUE', many: true, group: image, help: 'label of the image' },
  {
    name: 'annotation',
    value: 'KEY=VALUE',
    many: true,
    group: image,
    help: 'annotation of the manifest; index:KEY=VALUE for the index',
  },
  { name: 'check', group: image, help: 'only check the Dockerfile (same as --call=check)' },
  {
    name: 'call',
    value: 'METHOD',
    group: image,
    help: 'build, check, outline, targets or plan; add ,format=json for JSON',
  },

  { name: 'push', group: result, help: 'push to the registry the tag names' },
  { name: 'load', group: result, help: 'load into the running Docker or Podman engine' },
  {
    name: 'output',
    short: 'o',
    value: 'DEST',
    many: true,
    group: result,
    help: 'a directory, - or type=local|tar|oci|docker|image|registry,dest=FILE,…',
  },
  { name: 'iidfile', value: 'FILE', group: result, help: 'write the image ID to a file' },
  { name: 'metadata-file', value: 'FILE', group: result, help: 'write digests and names as JSON to a file' },
  { name: 'provenance', value: 'BOOL|MODE', group: result, help: 'attach a provenance attestation' },
  { name: 'sbom', value: 'BOOL|GENERATOR', group: result, help: 'attach a bill of materials, e.g. generator=IMAGE' },
  { name: 'attest', value: 'TYPE', many: true, group: result, help: 'attestations, e.g. type=provenance,mode=max' },

  {
    name: 'build-context',
    value: 'NAME=CONTEXT',
    many: true,
    group: inputs,
    help: 'a named context: directory, git, http, docker-image://, oci-layout://',
  },
  {
    name: 'secret',
    value: 'id=NAME',
    many: true,
    group: inputs,
    help: 'secret for RUN --mount=type=secret: id=X,src=FILE or id=X,env=VAR',
  },
  { name: 'ssh', value: 'ID[=PATH]', many: true, group: inputs, help: 'SSH agent or keys for RUN --mount=type=ssh' },
  { name: 'allow', value: 'WHAT', many: true, group: inputs, help: 'grant network.host or security.insecure to RUN' },
  { name: 'pull', group: inputs, help: 'ask the registry for newer base images' },

  { name: 'no-cache', group: cache, help: 'run every step again' },
  { name: 'no-cache-filter', value: 'STAGE', many: true, group: cache, help: 'run the steps of these stages again' },
  {
    name: 'cache-mount',
    value: 'id=ID,…',
    many: true,
    group: cache,
    help: 'keep a cache mount elsewhere between builds: id=ID,type=dir,path=DIR or id=ID,type=registry,ref=NAME',
  },
  {
    name: 'cache-from',
    value: 'SOURCE',
    many: true,
    group: cache,
    help: 'take step results from, e.g. type=registry,ref=host/app:cache',
  },
  {
    name: 'cache-to',
    value: 'DEST',
    many: true,
    group: cache,
    help: 'leave step results at, e.g. type=registry,ref=host/app:cache',
  },

  {
    name: 'isolation',
    value: 'RUNG',
    group: running,
    help: 'auto (default), root, userns, chroot or none; see tsbuild doctor',
  },
  { name: 'network', value: 'MODE', group: running, help: 'default, none or host' },
  { name: 'add-host', value: 'HOST:IP', many: true, group: running, help: 'a line for /etc/hosts' },
  { name: 'memory', short: 'm', value: 'BYTES', group: running, help: 'memory limit, e.g. 512m' },
  { name: 'memory-swap', value: 'BYTES', group: running, help: 'memory and swap together; -1 for unlimited swap' },
  { name: 'cpu-shares', short: 'c', value: 'N', group: running, help: 'relative CPU weight' },
  { name: 'cpu-period', value: 'µS', group: running, help: 'CPU quota period' },
  { name: 'cpu-quota', value: 'µS', group: running, help: 'CPU time in each period' },
  { name: 'cpuset-cpus', value: 'LIST', group: running, help: 'CPUs to use, e.g. 0-2,4' },
  { name: 'cpuset-mems', value: 'LIST', group: running, help: 'memory nodes to use' },
  { name: 'pids-limit', value: 'N', group: running, help: 'processes a step may have; -1 for no limit' },
  { name: 'shm-size', value: 'BYTES', group: running, help: 'size of /dev/shm (default 64m)' },
  { name: 'ulimit', value: 'NAME=SOFT[:HARD]', many: true, group: running, help: 'e.g. nofile=1024:2048' },
  { name: 'cgroup-parent', value: 'PATH', group: running, help: 'cgroup to put the steps in' },

  { name: 'progress', value: 'KIND', group: output, help: 'auto (default), tty, plain, quiet or rawjson' },
  { name: 'quiet', short: 'q', group: output, help: 'print the image ID only' },

  {
    name: 'on-error',
    value: 'WHAT',
    group: running,
    help: 'stop (default), or shell: open a shell where a RUN failed',
  },

  { name: 'squash' },
  { name: 'security-opt', value: 'OPTION', many: true },
  { name: 'compress' },
  { name: 'rm' },
  { name: 'force-rm' },
];

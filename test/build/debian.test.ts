import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeDebianRoot } from '../support/base-images.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun, run, works } from '../support/command.ts';
import { readDockerArchive } from '../support/image-files.ts';
import { ordinaryUser } from '../support/ordinary-user.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { requirement } from '../support/requirement.ts';
import { asContainerRoot, asUser } from '../support/rung-prefixes.ts';
import { commandPath } from '../support/tsbuild.ts';

const missing =
  process.getuid?.() !== 0
    ? 'making a Debian root file system needs root'
    : (await works('mmdebstrap'))
      ? undefined
      : 'mmdebstrap is not installed';

requirement('mmdebstrap', missing);

describe.skipIf(missing !== undefined)('on a Debian root file system from a registry', () => {
  const limit = 400_000;
  let work: BuildWorkspace;
  let registry: TestRegistry;
  let image: string;

  beforeAll(async () => {
    work = buildWorkspace('debian');
    registry = await startRegistry();
    image = `${registry.host}/debian:root`;
    await makeDebianRoot(`${work.path}/root.tar`);
    await layoutOf(`${work.path}/root.tar`, `${work.path}/debian`);
    await mustRun('skopeo', ['copy', '--dest-tls-verify=false', `oci:${work.path}/debian:root`, `docker://${image}`]);
  }, limit);
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await work[Symbol.asyncDispose]();
  });

  const dockerfile = (base: string, prepare = '') => `FROM ${base}
ENV DEBIAN_FRONTEND=noninteractive
RUN ${prepare}apt-get update && apt-get install -y --no-install-recommends hello sudo && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home worker && echo 'worker ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/worker
USER worker
RUN hello > /tmp/hello && sudo id -u >> /tmp/hello && id -un >> /tmp/hello
`;

  async function check(archive: string, user = 'worker'): Promise<void> {
    const { layers } = readDockerArchive(readFileSync(archive));
    expect(layers.length).toBe(4);
    await mustRun('tar', ['-xf', '-', 'tmp/hello'], { cwd: dirname(archive), input: layers.at(-1) ?? '' });
    expect(readFileSync(`${dirname(archive)}/tmp/hello`, 'utf8')).toBe(`Hello, world!\n0\n${user}\n`);
  }

  test(
    'apt-get installs packages and sudo works, as root with the network of the host',
    async () => {
      const context = work.context('as-root', { Dockerfile: dockerfile(image) });
      mkdirSync(`${work.path}/root-out`);
      const archive = `${work.path}/root-out/app.tar`;
      await work.build(context, ['--network', 'host', '--allow', 'network.host', '-o', `type=docker,dest=${archive}`], {
        timeout: limit,
      });
      await check(archive);
    },
    limit,
  );

  test(
    'apt-get installs packages and sudo works, as an ordinary user with subordinate IDs',
    async () => {
      await using user = await ordinaryUser();
      const context = work.context('as-user', { Dockerfile: dockerfile(image) });
      const home = `${work.path}/user`;
      // The project may lie where another user cannot go.
      cpSync(dirname(commandPath), `${home}/dist`, { recursive: true });
      await mustRun('chown', ['-R', `${user.uid}:${user.gid}`, home]);
      const finished = await run(
        process.execPath,
        [
          ...[`${home}/dist/tsbuild.js`, 'build', '--progress', 'plain', '--network', 'host'],
          ...['--allow', 'network.host', '-o', `type=docker,dest=${home}/app.tar`, context],
        ],
        {
          uid: user.uid,
          gid: user.gid,
          cwd: home,
          env: {
            HOME: home,
            USER: user.name,
            LOGNAME: user.name,
            TSBUILD_HOME: undefined,
            XDG_DATA_HOME: undefined,
            XDG_RUNTIME_DIR: undefined,
          },
          timeout: limit,
        },
      );
      expect(finished.code, finished.stderr).toBe(0);
      expect(existsSync(`${home}/.local/share/tsbuild/oci-layout`)).toBe(true);
      await check(`${home}/app.tar`);
    },
    limit,
  );

  test.each([
    {
      rung: 'chroot',
      user: 'worker',
      prefix: asContainerRoot,
      prepare: '',
    },
    {
      rung: 'userns',
      user: 'root',
      prefix: asUser(54_324),
      // apt looks whether it has become another user, which with one ID it cannot.
      prepare: `echo 'APT::Sandbox::User "root";' > /etc/apt/apt.conf.d/10one-id && `,
    },
  ])(
    'apt-get installs packages and sudo works, on the rung $rung, where USER gives $user',
    async ({ rung, user, prefix, prepare }) => {
      const context = work.context(`on-${rung}`, { Dockerfile: dockerfile(image, prepare) });
      const home = `${work.path}/home-${rung}`;
      cpSync(dirname(commandPath), `${home}/dist`, { recursive: true });
      if (rung === 'userns') await mustRun('chown', ['-R', '54324:54324', home]);
      const [program = '', ...args] = [...prefix, process.execPath, `${home}/dist/tsbuild.js`, 'build'];
      const finished = await run(
        program,
        [
          ...args,
          ...[`--isolation=${rung}`, '--progress', 'plain', '--network', 'host', '--allow', 'network.host'],
          ...['-o', `type=docker,dest=${home}/app.tar`, context],
        ],
        { cwd: home, env: { HOME: home, TSBUILD_HOME: `${home}/store`, XDG_RUNTIME_DIR: undefined }, timeout: limit },
      );
      expect(finished.code, finished.stderr).toBe(0);
      await check(`${home}/app.tar`, user);
    },
    limit,
  );
});

/** An OCI layout with the tar as its only layer, by public tools. */
async function layoutOf(rootTar: string, layout: string): Promise<void> {
  await mustRun('umoci', ['init', '--layout', layout]);
  await mustRun('umoci', ['new', '--image', `${layout}:root`]);
  await mustRun('umoci', ['raw', 'add-layer', '--image', `${layout}:root`, rootTar], { timeout: 300_000 });
  await mustRun('umoci', [
    ...['config', '--image', `${layout}:root`, '--config.cmd', 'bash'],
    ...['--config.env', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  ]);
}

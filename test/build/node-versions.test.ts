import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun } from '../support/command.ts';
import { sha256 } from '../support/image-files.ts';

const context = {
  Dockerfile:
    'FROM base AS one\nRUN echo ran > /ran\nFROM base\nCOPY --from=one /ran /ran\nCOPY file /file\nUSER app\n',
  file: 'f\n',
};

/** The digest of the archive a Node builds. Uncompressed: zlib, and with it what gzip gives, differs between versions. */
async function digestBuiltBy(work: BuildWorkspace, folder: string, node: string): Promise<string> {
  const name = sha256(node).slice('sha256:'.length, 15);
  const archive = `${work.path}/${name}.tar`;
  await work.build(folder, ['-t', 'same:1', '-o', `type=oci,dest=${archive},compression=uncompressed`], {
    node,
    home: `${work.path}/${name}`,
    env: { SOURCE_DATE_EPOCH: '1700000000' },
  });
  return sha256(readFileSync(archive));
}

describe.each(['20', '22', '24'])('on Node %s', (major) => {
  let work: BuildWorkspace;
  let node: string;
  beforeAll(async () => {
    work = buildWorkspace(`node-${major}`);
    if (process.versions.node.startsWith(`${major}.`)) {
      node = process.execPath;
      return;
    }
    // npm's own package of Node: the only way to other versions that needs nothing but npm.
    await mustRun('npm', ['install', '--prefix', `${work.path}/node`, '--no-audit', '--no-fund', `node@${major}`], {
      timeout: 300_000,
    });
    node = `${work.path}/node/node_modules/node/bin/node`;
  }, 320_000);
  afterAll(async () => await work[Symbol.asyncDispose]());

  test('it is that version, and builds an image with RUN and COPY', async () => {
    expect((await mustRun(node, ['--version'])).text).toMatch(new RegExp(`^v${major}\\.`));
    await work.build(work.context('app', context), ['-t', 'app:1'], { node });
    expect(work.image('docker.io/library/app:1').config.config?.User).toBe('app');
  });

  test('the bytes are those another version writes', async () => {
    const folder = work.context('same', { Dockerfile: 'FROM base\nCOPY file /\nCMD ["x"]\n', file: 'f\n' });
    expect(await digestBuiltBy(work, folder, node)).toBe(await digestBuiltBy(work, folder, process.execPath));
  });
});

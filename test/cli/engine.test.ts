import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readAttested } from '../support/attested-images.ts';
import { busyboxImage } from '../support/base-images.ts';
import { type Dockerd, dockerdMissing, startDockerd } from '../support/dockerd.ts';
import { writeOciLayout } from '../support/image-files.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { mustTsbuild, tsbuild } from '../support/tsbuild.ts';

let folder: TemporaryFolder;

beforeAll(() => {
  folder = temporaryFolder('engine', 0o711);
  mkdirSync(folder.join('context'));
  writeOciLayout(folder.join('bases'), [busyboxImage()]);
  writeFileSync(folder.join('context/Dockerfile'), 'FROM base\nRUN echo made >/made\nCMD ["cat", "/made"]\n');
});
afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

const load = (tag: string, host: string) =>
  [
    ['-t', tag, '--load', '--build-context', 'base=oci-layout://bases:base', 'context'],
    { home: folder.join('home'), cwd: folder.path, env: { DOCKER_HOST: host } },
  ] as const;

const missing = dockerdMissing();

describe.skipIf(missing !== undefined)(
  `--load into a real engine${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let engine: Dockerd;
    beforeAll(async () => {
      engine = await startDockerd();
    });
    afterAll(async () => {
      await engine?.[Symbol.asyncDispose]();
    });

    test('gives it an image that runs', async () => {
      await mustTsbuild(...load('loaded:1', engine.host));
      expect((await engine.docker(['run', '--rm', '--network', 'none', 'loaded:1'])).text).toBe('made\n');
    });

    test('sends nothing when it has the image, and only names it when it has it under another name', async () => {
      await mustTsbuild(...load('again:1', engine.host));
      const second = await mustTsbuild(...load('again:1', engine.host));
      expect(second.stderr).toContain('has the image already: nothing was sent');
      const renamed = await mustTsbuild(...load('renamed:2', engine.host));
      expect(renamed.stderr).toContain('nothing was sent');
      expect((await engine.docker(['images', '-q', 'renamed:2'])).text).toBe(
        (await engine.docker(['images', '-q', 'again:1'])).text,
      );
    });
  },
);

describe('--load without an engine', () => {
  test('is one clear error, and the image is in the store', async () => {
    const [args, options] = load('kept:1', `unix://${folder.join('nothing.sock')}`);
    const finished = await tsbuild(args, options);
    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain(
      `error: no engine answers at ${folder.join('nothing.sock')}: there is no such socket [engine-unreachable]`,
    );
    expect((await mustTsbuild(['images', '-q', 'kept:1'], options)).text).toMatch(/^[0-9a-f]{12}\n$/);
  });

  test('names what an engine that refuses says', async () => {
    const server = createServer((request, response) => {
      request.resume();
      const found =
        request.method === 'GET'
          ? { status: 404, message: 'no such image' }
          : { status: 500, message: 'the disk of the engine is full' };
      response.writeHead(found.status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ message: found.message }));
    });
    const socket = folder.join('refusing.sock');
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      const finished = await tsbuild(...load('refused:1', `unix://${socket}`));
      expect(finished.code).toBe(1);
      expect(finished.stderr).toContain(
        `error: the engine at ${socket} does not take the image: the disk of the engine is full [engine-refused]`,
      );
    } finally {
      server.close();
    }
  });
});

describe('--load of an image with attestations', () => {
  /** What is posted to an engine that says of itself how its images are kept. */
  async function loadInto(driverType: string, tag: string) {
    const socket = folder.join(`${tag}.sock`);
    const posted: Buffer[] = [];
    const server = createServer((request, response) => {
      request.on('data', (chunk: Buffer) => posted.push(chunk));
      request.on('end', () => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(
          request.url?.endsWith('/info') ? JSON.stringify({ DriverStatus: [['driver-type', driverType]] }) : '{}',
        );
      });
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      const [args, options] = load(tag, `unix://${socket}`);
      const finished = await tsbuild(['--provenance=mode=min', ...args], options);
      return { finished, archive: Buffer.concat(posted) };
    } finally {
      server.close();
    }
  }

  test('gives an engine whose images are in containerd the whole index', async () => {
    const { finished, archive } = await loadInto('io.containerd.snapshotter.v1', 'attested');
    expect(finished.code, finished.stderr).toBe(0);
    mkdirSync(folder.join('loaded'));
    execFileSync('tar', ['-x', '-C', folder.join('loaded')], { input: archive });
    const { images, attestations } = readAttested(folder.join('loaded'), 'docker.io/library/attested:latest');
    expect([images.length, attestations.length]).toEqual([1, 1]);
  });

  test('is refused before anything is built where the engine cannot keep them', async () => {
    const { finished, archive } = await loadInto('overlay2', 'unattested');
    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('the engine keeps no attestations, for its images are not in containerd');
    expect(finished.stderr).not.toContain('RUN echo');
    expect(archive).toHaveLength(0);
  });
});

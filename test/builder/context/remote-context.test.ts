import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type BuildContext, fetchUrl, openContext } from '../../../src/builder/context/index.ts';
import {
  type CopyOperation,
  fetchOperand,
  layoutCopy,
  remoteSource,
  selectCopy,
  unpackArchives,
} from '../../../src/builder/copy/index.ts';
import { bytePathFromText } from '../../../src/core/index.ts';
import { digestOf } from '../../../src/image/index.ts';
import { serve } from '../../support/context-server.ts';
import { type Folder, folderOf, linesOf, memoryTree } from '../../support/copy-trees.ts';

const { signal } = new AbortController();

function tarOf(folder: Folder): Buffer {
  return execFileSync('tar', ['-C', folder.path, '-c', '--owner=7', '--group=7', '.']);
}

const opened = (folder: Folder, bytes: Uint8Array): Promise<BuildContext> =>
  openContext(
    {
      kind: 'stream',
      name: 'standard input',
      open: async function* () {
        yield bytes.subarray(0, 700);
        yield bytes.subarray(700);
      },
    },
    { temporary: folder.path, signal },
  );

async function namesIn(context: BuildContext): Promise<string[]> {
  return linesOf((await context.tree('Dockerfile')).list(bytePathFromText('')));
}

describe('a context on standard input', () => {
  test.each([
    ['plain', (bytes: Buffer) => bytes],
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['xz', (bytes: Buffer) => execFileSync('xz', ['-c'], { input: bytes })],
  ])('may be a %s tar, whose files are owned by 0:0', async (_, compress) => {
    using source = folderOf({
      '.dockerignore': '*\n!a',
      Dockerfile: 'FROM a',
      a: { text: 'A', mode: 0o600 },
      'b/c': '',
    });
    using temporary = folderOf({});
    {
      await using context = await opened(temporary, compress(tarOf(source)));
      expect(context.dockerfile).toBeUndefined();
      expect(await namesIn(context)).toEqual(['file 600 0:0 a']);
      expect((await context.readFile('Dockerfile', 100))?.toString()).toBe('FROM a');
    }
    expect(readdirSync(temporary.path)).toEqual([]);
  });

  test('may be a Dockerfile alone, and then holds nothing', async () => {
    using temporary = folderOf({});
    await using context = await opened(temporary, Buffer.from('FROM scratch\n'));
    expect(context.dockerfile?.toString()).toBe('FROM scratch\n');
    expect(await namesIn(context)).toEqual([]);
  });

  test('may hold names that climb, links that lead out and devices: they stay inside', async () => {
    using source = folderOf({ x: 'X', l: { link: '/etc' } });
    using temporary = folderOf({});
    const bytes = execFileSync('tar', ['-C', source.path, '-c', '-P', '--transform=s,^x$,../../l/x,', 'l', 'x']);
    await using context = await opened(temporary, bytes);
    expect(await namesIn(context)).toEqual(['directory 755 0:0 etc', 'symlink 777 0:0 l -> /etc']);
    expect((await context.readFile('l/x', 10))?.toString()).toBe('X');
  });

  test('that is a broken tar is an error and leaves nothing behind but its spool', async () => {
    using source = folderOf({ x: 'X'.repeat(5000) });
    using temporary = folderOf({});
    await expect(opened(temporary, tarOf(source).subarray(0, 4000))).rejects.toMatchObject({ code: 'archive-invalid' });
  });
});

describe('a context from the web', () => {
  test('may be a tar or a Dockerfile', async () => {
    using source = folderOf({ Dockerfile: 'FROM a', a: 'A' });
    using temporary = folderOf({});
    const tar = gzipSync(tarOf(source));
    await using server = await serve((request, response) => {
      response.end(request.url === '/context.tgz' ? tar : 'FROM alone');
    });
    const open = (path: string) =>
      openContext({ kind: 'http', url: server.url + path }, { temporary: temporary.path, signal });
    await using context = await open('/context.tgz');
    expect(await namesIn(context)).toHaveLength(2);
    await using alone = await open('/Dockerfile');
    expect(alone.dockerfile?.toString()).toBe('FROM alone');
  });
});

describe('a file from the web', () => {
  const modified = 'Wed, 21 Oct 2015 07:28:00 GMT';

  async function added(path: string, options: { checksum?: string; unpack?: boolean } = {}, headers = {}) {
    using folder = folderOf({ 'tmp/': '' });
    await using server = await serve((_, response) => {
      response.writeHead(200, headers).end('content');
    });
    const source = remoteSource(server.url + path);
    if (!source) throw new Error('no source');
    await using fetched = await fetchOperand(source, { temporary: folder.at('tmp'), signal, ...options });
    const operation: CopyOperation = {
      kind: 'add',
      operands: [fetched.operand],
      destination: '/x/',
      workdir: '/',
      link: false,
      parents: false,
      excludes: [],
    };
    const selection = selectCopy(memoryTree({}), operation);
    await using unpacked = await unpackArchives(selection, { temporary: folder.at('tmp'), signal });
    return layoutCopy(unpacked, operation, memoryTree({}), { createdMtime: 7n });
  }

  test('has mode 600, the time of Last-Modified and the name in its address', async () => {
    const entries = await added('/dir/na%20me.txt?v=1#f', {}, { 'Last-Modified': modified });
    expect(linesOf(entries)).toEqual(['directory 755 0:0 x', 'file 600 0:0 x/na me.txt']);
    expect(entries[1]?.mtime).toBe(BigInt(Date.parse(modified)) * 1_000_000n);
  });

  test('has the time 0 when the server tells none, and a name the server gives when the address has none', async () => {
    const entries = await added('/', {}, { 'Content-Disposition': 'attachment; filename="../../evil.sh"' });
    expect(linesOf(entries)[1]).toBe('file 600 0:0 x/evil.sh');
    expect(entries[1]?.mtime).toBe(0n);
    expect(linesOf(await added('/..%2f..%2f'))[1]).toBe('file 600 0:0 x/__unnamed__');
  });

  test('must have the digest of --checksum', async () => {
    expect(await added('/f', { checksum: digestOf('content') })).toHaveLength(2);
    await expect(added('/f', { checksum: digestOf('other') })).rejects.toMatchObject({
      code: 'context-checksum-mismatch',
    });
    await expect(added('/f', { checksum: 'md5:1' })).rejects.toMatchObject({ code: 'digest-invalid' });
  });

  test('is not taken from a server that fails, and nothing of it stays', async () => {
    using folder = folderOf({});
    await using server = await serve((request, response) => {
      if (request.url === '/cut') {
        response.writeHead(200, { 'content-length': '100' }).write('short', () => response.destroy());
      } else response.writeHead(404).end('no');
    });
    const options = { temporary: folder.path, signal };
    await expect(fetchUrl(`${server.url}/f?token=secret`, options)).rejects.toMatchObject({
      code: 'context-fetch-failed',
      message: expect.stringMatching(/token=\*\*\* could not be downloaded: the server answers 404/),
    });
    expect(server.requests).toHaveLength(1);
    await expect(fetchUrl(`${server.url}/cut`, options)).rejects.toMatchObject({ code: 'context-fetch-failed' });
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test('is asked for again when the server is busy', async () => {
    using folder = folderOf({});
    let busy = true;
    await using server = await serve((_, response) => {
      response.writeHead(busy ? 503 : 200).end('late');
      busy = false;
    });
    await using fetched = await fetchUrl(server.url, { temporary: folder.path, signal });
    expect(readFileSync(fetched.file, 'utf8')).toBe('late');
  });

  test('is followed through ten redirects, not more, and its credentials only to their own host', async () => {
    using folder = folderOf({});
    await using other = await serve((request, response) => {
      response.end(request.headers.authorization ?? 'none');
    });
    await using server = await serve((request, response) => {
      const location = request.url === '/out' ? `${other.url.replace('127.0.0.1', 'localhost')}/` : `${request.url}x`;
      response.writeHead(302, { location }).end();
    });
    const options = { temporary: folder.path, signal };
    const withCredentials = server.url.replace('//', '//me:secret@');
    await using fetched = await fetchUrl(`${withCredentials}/out`, options);
    expect(server.requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from('me:secret').toString('base64')}`);
    expect(readFileSync(fetched.file, 'utf8')).toBe('none');
    await expect(fetchUrl(`${withCredentials}/loop`, options)).rejects.toMatchObject({
      code: 'context-fetch-failed',
      message: expect.not.stringContaining('secret'),
    });
    expect(server.requests).toHaveLength(1 + 11);
  });
});

test('what is a source of the web or git, its form says', () => {
  expect(remoteSource('a.txt')).toBeUndefined();
  expect(remoteSource('./https://x')).toBeUndefined();
  expect(remoteSource('https://h/a.git')).toMatchObject({ kind: 'git' });
  expect(remoteSource('https://h/a.tar.gz')).toEqual({ kind: 'http', url: 'https://h/a.tar.gz' });
  expect(remoteSource('git@h:a')).toMatchObject({ kind: 'git' });
});

test('a proxy is asked when the environment names one, and not for what no_proxy names', async () => {
  using folder = folderOf({});
  await using proxy = await serve((request, response) => {
    response.end(`proxied ${request.url}`);
  });
  await using server = await serve((_, response) => {
    response.end('direct');
  });
  const fetch = async (proxyEnv: Record<string, string>): Promise<string> => {
    await using fetched = await fetchUrl(`${server.url}/f`, { temporary: folder.path, signal, proxyEnv });
    return readFileSync(fetched.file, 'utf8');
  };
  expect(await fetch({ HTTP_PROXY: '' })).toBe('direct');
  expect(await fetch({ http_proxy: proxy.url, no_proxy: '127.0.0.1' })).toBe('direct');
});

import { createServer, request as send } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { proxyFor, proxySettings } from '../../src/registry/http/proxy.ts';
import { createTransport } from '../../src/registry/http/transport.ts';
import { startRegistry } from '../support/registry.ts';
import { neverAborted, rejectionOf, repositoryOf, session } from '../support/registry-session.ts';

const settings = { httpProxy: 'http://proxy:3128', httpsProxy: 'https://proxy:3129' };

describe('the proxy for a URL', () => {
  test.each([
    ['http://a.example/', '', 'http://proxy:3128/'],
    ['https://a.example/', '', 'https://proxy:3129/'],
    ['https://a.example/', 'b.example', 'https://proxy:3129/'],
    ['https://a.example/', 'a.example', undefined],
    ['https://x.a.example/', 'a.example', undefined],
    ['https://x.a.example/', '.a.example', undefined],
    ['https://x.a.example/', '*.a.example', undefined],
    ['https://nota.example/', 'a.example', 'https://proxy:3129/'],
    ['https://a.example:5000/', 'a.example:443', 'https://proxy:3129/'],
    ['https://a.example:5000/', 'a.example:5000', undefined],
    ['https://10.1.2.3/', '10.0.0.0/8', undefined],
    ['https://11.1.2.3/', '10.0.0.0/8', 'https://proxy:3129/'],
    ['https://[fd00::1]/', 'fd00::/8', undefined],
    ['https://[fd00::1]:5000/', '[fd00::1]:5000', undefined],
    ['https://[fd00::1]/', 'fd00::1', undefined],
    ['https://a.example/', 'b.example , *', undefined],
    ['http://127.0.0.1:5000/', '', undefined],
    ['http://localhost:5000/', '', undefined],
    ['http://[::1]:5000/', '', undefined],
  ])('%s with NO_PROXY=%s is %s', (url, noProxy, expected) => {
    expect(proxyFor(new URL(url), { ...settings, noProxy })?.href).toBe(expected);
  });

  test('comes from the environment, lower case first', () => {
    expect(proxySettings({ https_proxy: 'http://a', HTTPS_PROXY: 'http://b', NO_PROXY: 'c', http_proxy: '' })).toEqual({
      httpsProxy: 'http://a',
      noProxy: 'c',
    });
  });

  test('may be written without a scheme, and is an error when it is no URL', () => {
    expect(proxyFor(new URL('http://a.example'), { httpProxy: 'proxy:3128' })?.href).toBe('http://proxy:3128/');
    expect(() => proxyFor(new URL('http://a.example'), { httpProxy: 'socks9://x' })).toThrow(
      /not an http or https URL/,
    );
  });
});

describe('a request through a proxy', () => {
  test('reaches plain http by its absolute URL and https by CONNECT, with the password of the proxy', async () => {
    await using plain = await startRegistry();
    await using secure = await startRegistry({ tls: 'server' });
    const heard: string[] = [];
    const tunnels = new Set<Socket>();
    // The names exist only behind this proxy, so a request that arrives went through it.
    const proxy = createServer((request, response) => {
      heard.push(`${request.method} ${request.url} ${request.headers['proxy-authorization']}`);
      const url = new URL(request.url ?? '');
      const onward = send(`${plain.url}${url.pathname}`, { method: request.method ?? 'GET' }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      onward.end();
    });
    proxy.on('connect', (request, client: Socket) => {
      heard.push(`CONNECT ${request.url} ${request.headers['proxy-authorization']}`);
      const onward = connect(Number(new URL(secure.url).port), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        onward.pipe(client).pipe(onward);
      });
      for (const socket of [client, onward]) tunnels.add(socket.on('error', () => {}));
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = proxy.address();
    const own = `http://user:pass@127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    const transport = createTransport({
      proxy: { httpProxy: own, httpsProxy: own },
      tlsFor: () => ({ skipVerify: true }),
    });
    try {
      for (const url of ['http://plain.invalid/v2/', 'https://secure.invalid/v2/']) {
        const response = await transport.send({
          method: 'GET',
          url: new URL(url),
          headers: {},
          signal: neverAborted,
          registryHost: new URL(url).host,
        });
        expect(response.status).toBe(200);
        response.body.discard();
      }
      const password = `Basic ${Buffer.from('user:pass').toString('base64')}`;
      expect(heard).toEqual([`GET http://plain.invalid/v2/ ${password}`, `CONNECT secure.invalid:443 ${password}`]);
    } finally {
      await transport.close();
      for (const socket of tunnels) socket.destroy();
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  test('for Docker Hub asks the host it has on the wire', async () => {
    const heard: string[] = [];
    const proxy = createServer();
    proxy.on('connect', (request, client: Socket) => {
      heard.push(request.url ?? '');
      client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = proxy.address();
    await using client = session({
      proxy: { httpsProxy: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` },
    });
    try {
      const error = await rejectionOf(repositoryOf(client, 'alpine').resolve('latest', neverAborted));
      expect(error).toMatchObject({ code: 'registry-unreachable' });
      expect(new Set(heard)).toEqual(new Set(['registry-1.docker.io:443']));
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });
});

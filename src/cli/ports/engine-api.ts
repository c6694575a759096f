/**
 * The little of an engine's API that handing over an image needs (Docker Engine API 1.24 and later, which Podman speaks
 * too), over its socket or TCP. HTTP is node:http: undici would cost more to load than the whole exchange.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { isTsbuildError, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { dockerConfigFolder } from './docker-config.ts';

export interface EngineImage {
  readonly Id: string;
  readonly RepoTags?: readonly string[] | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

interface EngineAddress {
  /** For messages. */
  readonly name: string;
  readonly secure: boolean;
  readonly options: RequestOptions & { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
}

const largestAnswer = 1 << 20;

export class EngineApi {
  readonly name: string;
  readonly #address: EngineAddress;

  /** @throws TsbuildError `engine-unreachable` for an address that cannot be used */
  constructor(env: Environment) {
    this.#address = engineAddress(env);
    this.name = this.#address.name;
  }

  /** What the engine has under a name or an ID; undefined: nothing. */
  async inspectImage(name: string, signal: AbortSignal): Promise<EngineImage | undefined> {
    const { status, text } = await this.#call('GET', `/images/${encodeName(name)}/json`, signal);
    if (status === 404) return undefined;
    if (status !== 200) throw this.#refused('has no answer about images', status, text);
    const image = parseJson(text) as Partial<EngineImage> | undefined;
    return typeof image?.Id === 'string' ? { Id: image.Id, RepoTags: image.RepoTags ?? [] } : undefined;
  }

  /** Whether its images are in containerd, which keeps every manifest of an index. */
  async usesContainerd(signal: AbortSignal): Promise<boolean> {
    const { status, text } = await this.#call('GET', '/info', signal);
    if (status !== 200) throw this.#refused('does not tell how it is set up', status, text);
    const { DriverStatus } = (parseJson(text) ?? {}) as { DriverStatus?: unknown };
    const rows: unknown[] = Array.isArray(DriverStatus) ? DriverStatus : [];
    return rows.some((row) => Array.isArray(row) && row[1] === 'io.containerd.snapshotter.v1');
  }

  /** @param repository without tag, as docker shows it */
  async tagImage(id: string, repository: string, tag: string, signal: AbortSignal): Promise<void> {
    const query = new URLSearchParams({ repo: repository, tag });
    const { status, text } = await this.#call('POST', `/images/${encodeName(id)}/tag?${query}`, signal);
    if (status !== 201) throw this.#refused(`does not name the image ${repository}:${tag}`, status, text);
  }

  /**
   * Streams an archive to the engine.
   * @param write gives the archive; the stream it writes to has back-pressure, the signal says that nobody reads any more
   */
  async loadImage(
    write: (out: NodeJS.WritableStream, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const body = new PassThrough({ highWaterMark: 1 << 20 });
    const [stopCall, stopWriting] = [new AbortController(), new AbortController()];
    // An engine that refuses early stops reading: its answer says more than the broken pipe does.
    const answer = this.#call('POST', '/images/load?quiet=1', AbortSignal.any([signal, stopCall.signal]), body).finally(
      () => {
        stopWriting.abort();
        body.destroy();
      },
    );
    const written = write(body, AbortSignal.any([signal, stopWriting.signal])).then(
      () => void body.end(),
      (error: unknown) => {
        stopCall.abort();
        throw error;
      },
    );
    const [answered, wrote] = await Promise.allSettled([answer, written]);
    if (answered.status === 'fulfilled') this.#checkLoaded(answered.value);
    else if (!stopCall.signal.aborted || wrote.status === 'fulfilled') throw answered.reason;
    if (wrote.status === 'rejected') throw wrote.reason;
  }

  /**
   * An image as `docker save` writes it: a tar, streamed. Breaking off the iteration ends the exchange.
   * @throws TsbuildError `image-not-found`, `engine-refused`, `engine-unreachable`
   */
  async *exportImage(name: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    // Engines begin their answer before they know whether there is such an image.
    if (!(await this.inspectImage(name, signal))) {
      throw new TsbuildError({
        code: 'image-not-found',
        message: `the engine at ${this.name} has no image ${name}`,
        hint: 'docker images lists what it has.',
      });
    }
    const response = await this.#request('GET', `/images/${encodeName(name)}/get`, signal, (answer) => answer);
    try {
      if (response.statusCode !== 200) {
        throw this.#refused('does not give out the image', response.statusCode ?? 0, await readAnswer(response));
      }
      yield* response as AsyncIterable<Uint8Array>;
    } catch (cause) {
      if (isTsbuildError(signal.reason)) throw signal.reason;
      throw isTsbuildError(cause) ? cause : unreachable(this.name, cause);
    } finally {
      response.destroy();
    }
  }

  #checkLoaded({ status, text }: { status: number; text: string }): void {
    if (status !== 200) throw this.#refused('does not take the image', status, text);
    for (const line of text.split('\n')) {
      const message = parseJson(line) as { error?: unknown } | undefined;
      if (typeof message?.error === 'string') throw this.#refused('does not take the image', status, message.error);
    }
  }

  #call(
    method: string,
    path: string,
    signal: AbortSignal,
    body?: PassThrough,
  ): Promise<{ status: number; text: string }> {
    const whole = async (response: IncomingMessage) => ({
      status: response.statusCode ?? 0,
      text: await readAnswer(response),
    });
    return this.#request(method, path, signal, whole, body);
  }

  async #request<T>(
    method: string,
    path: string,
    signal: AbortSignal,
    read: (response: IncomingMessage) => T | Promise<T>,
    body?: PassThrough,
  ): Promise<T> {
    const { options, secure } = this.#address;
    const send = secure ? httpsRequest : httpRequest;
    const headers = body ? { 'content-type': 'application/x-tar' } : { 'content-length': '0' };
    try {
      return await new Promise<T>((resolve, reject) => {
        const request = send({ ...options, method, path, headers, signal }, (response) => {
          Promise.resolve(read(response)).then(resolve, reject);
        });
        request.on('error', reject);
        if (body) body.pipe(request);
        else request.end();
      });
    } catch (cause) {
      if (isTsbuildError(signal.reason)) throw signal.reason;
      throw unreachable(this.name, cause);
    }
  }

  #refused(what: string, status: number, text: string): TsbuildError {
    const message = (parseJson(text) as { message?: unknown } | undefined)?.message;
    const said = typeof message === 'string' ? message : text.trim().slice(0, 300);
    return new TsbuildError({
      code: 'engine-refused',
      message: `the engine at ${this.name} ${what}: ${said || `HTTP ${status}`}`,
      hint: "Look at the engine's own log, e.g. journalctl -u docker.",
    });
  }
}

/** DOCKER_HOST, else the current docker context, else the sockets where Docker and Podman listen. */
function engineAddress(env: Environment): EngineAddress {
  const host = env.DOCKER_HOST || contextHost(env);
  if (host === undefined) {
    const runtime = env.XDG_RUNTIME_DIR;
    const sockets = [
      '/var/run/docker.sock',
      ...(runtime ? [join(runtime, 'docker.sock'), join(runtime, 'podman/podman.sock')] : []),
      '/run/podman/podman.sock',
    ];
    return socketAddress(sockets.find((path) => existsSync(path)) ?? '/var/run/docker.sock');
  }
  const unix = /^unix:\/\/(.+)$/.exec(host);
  if (unix?.[1] !== undefined) return socketAddress(unix[1]);
  const tcp = /^(tcp|http|https):\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?$/.exec(host);
  if (!tcp) {
    throw new TsbuildError({
      code: 'engine-unreachable',
      message: `DOCKER_HOST=${host} is of a kind tsbuild does not speak`,
      hint: 'Use unix:// or tcp://, or export a file: -o type=docker,dest=image.tar and docker load -i image.tar.',
    });
  }
  const [, scheme, hostname = '', port] = tcp;
  const secure = scheme === 'https' || (env.DOCKER_TLS_VERIFY ?? '') !== '';
  return {
    name: host,
    secure,
    options: {
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port ?? (secure ? 2376 : 2375)),
      ...(secure && clientCertificates(env)),
    },
  };
}

function socketAddress(path: string): EngineAddress {
  return { name: path, secure: false, options: { socketPath: path, host: 'localhost' } };
}

function clientCertificates(env: Environment): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  const folder = env.DOCKER_CERT_PATH || dockerConfigFolder(env);
  const read = (name: string) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : undefined);
  const [ca, cert, key] = [read('ca.pem'), read('cert.pem'), read('key.pem')];
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/** The address of the context that `docker context use` chose. */
function contextHost(env: Environment): string | undefined {
  try {
    const folder = dockerConfigFolder(env);
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as { currentContext?: unknown };
    const name = env.DOCKER_CONTEXT || config.currentContext;
    if (typeof name !== 'string' || name === 'default') return undefined;
    const id = createHash('sha256').update(name).digest('hex');
    const meta = JSON.parse(readFileSync(join(folder, 'contexts/meta', id, 'meta.json'), 'utf8')) as {
      Endpoints?: { docker?: { Host?: unknown } };
    };
    const host = meta.Endpoints?.docker?.Host;
    return typeof host === 'string' && host !== '' ? host : undefined;
  } catch {
    // No config.json, or one without contexts: most machines.
    return undefined;
  }
}

function unreachable(name: string, cause: unknown): TsbuildError {
  const code = systemErrorCode(cause);
  const why: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such socket',
    ECONNREFUSED: 'nothing listens there',
    EACCES: 'you may not open it',
  };
  return new TsbuildError({
    code: 'engine-unreachable',
    message: `no engine answers at ${name}: ${why[code ?? ''] ?? (cause instanceof Error ? cause.message : String(cause))}`,
    hint:
      code === 'EACCES'
        ? 'Join the docker group, or export a file: -o type=docker,dest=image.tar.'
        : 'Start Docker or Podman, set DOCKER_HOST, or export a file: -o type=docker,dest=image.tar.',
    cause,
  });
}

async function readAnswer(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.byteLength;
    if (length <= largestAnswer) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Names keep their slashes in the path. */
function encodeName(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/');
}

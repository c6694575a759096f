import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage } from '../support/base-images.ts';
import { type Finished, run } from '../support/command.ts';
import { writeOciLayout } from '../support/image-files.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { tsbuildEnvironment } from '../support/tsbuild.ts';

const entry = fileURLToPath(new URL('../../scripts/action.js', import.meta.url));

let folder: TemporaryFolder;
let registry: TestRegistry;

beforeAll(async () => {
  folder = temporaryFolder('action');
  mkdirSync(folder.join('workspace/app'), { recursive: true });
  writeOciLayout(folder.join('workspace/bases'), [busyboxImage()]);
  writeFileSync(folder.join('workspace/app/file'), 'content\n');
  writeFileSync(folder.join('workspace/Dockerfile'), 'FROM scratch\nCOPY app/file /file\n');
  registry = await startRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

let runs = 0;

interface ActionRun extends Finished {
  readonly outputs: ReadonlyMap<string, string>;
  readonly summary: string;
}

/** Runs the action the way a runner does: inputs as INPUT_* variables, outputs in files, started anywhere. */
async function runAction(inputs: Readonly<Record<string, string>>): Promise<ActionRun> {
  runs += 1;
  const files = { GITHUB_OUTPUT: folder.join(`output-${runs}`), GITHUB_STEP_SUMMARY: folder.join(`summary-${runs}`) };
  for (const file of Object.values(files)) writeFileSync(file, '');
  const finished = await run(process.execPath, [entry], {
    cwd: folder.path,
    env: {
      ...tsbuildEnvironment(folder.join('home')),
      ...files,
      GITHUB_ACTIONS: 'true',
      GITHUB_WORKSPACE: folder.join('workspace'),
      ...Object.fromEntries(Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value])),
    },
  });
  return {
    ...finished,
    outputs: parseOutputs(readFileSync(files.GITHUB_OUTPUT, 'utf8')),
    summary: readFileSync(files.GITHUB_STEP_SUMMARY, 'utf8'),
  };
}

/** `name<<delimiter`, lines, `delimiter`: as the runner reads the file. */
function parseOutputs(text: string): Map<string, string> {
  return new Map(
    [...text.matchAll(/^(\w+)<<(\S+)\n([\s\S]*?)\n\2\n/gm)].map(([, name = '', , value = '']) => [name, value]),
  );
}

describe('the action', () => {
  test('builds the workspace, pushes it, and leaves outputs and a summary', async () => {
    const tags = [`${registry.host}/me/app:1`, `${registry.host}/me/app:latest`];
    const { code, text, outputs, summary } = await runAction({
      tags: tags.join('\n'),
      push: 'true',
      labels: 'a=b\nc=d, e',
    });
    expect({ code, text }).toMatchObject({ code: 0 });
    const metadata = JSON.parse(outputs.get('metadata') ?? '');
    expect(metadata['image.name']).toBe(tags.join(','));
    expect(outputs.get('imageid')).toBe(metadata['containerimage.config.digest']);
    const skopeo = JSON.parse((await run('skopeo', ['inspect', '--tls-verify=false', `docker://${tags[0]}`])).text);
    expect(skopeo.Digest).toBe(outputs.get('digest'));
    expect(skopeo.Labels).toEqual({ a: 'b', c: 'd, e' });
    expect(summary).toContain(`| Pushed | \`${tags[1]}@${skopeo.Digest}\` |`);
  });

  test('groups the output of each step', async () => {
    const { code, text } = await runAction({
      file: 'grouped.Dockerfile',
      ...dockerfile('grouped', 'FROM base\nRUN echo said; echo more\nCOPY app/file /file\n'),
    });
    expect({ code, text }).toMatchObject({ code: 0 });
    const token = /^::stop-commands::([0-9a-f]+)$/m.exec(text)?.[1];
    expect(text).toMatch(/^::group::\[2\/3\] RUN echo said; echo more \(\d+\.\ds\)$/m);
    expect(text).toContain(`::stop-commands::${token}\nsaid\nmore\n::${token}::\n::endgroup::\n`);
  });

  test('lets no step speak to the runner', async () => {
    const { text } = await runAction({
      file: 'hostile.Dockerfile',
      ...dockerfile('hostile', "FROM base\nRUN echo '::set-output name=digest::evil'; echo '::error::forged'\n"),
    });
    const listening = text.replace(/::stop-commands::(\w+)\n[\s\S]*?\n::\1::\n/g, '');
    expect(text).toContain('\n::error::forged\n');
    expect(listening).not.toMatch(/^::(set-output|error)/m);
  });

  test('annotates a failing step at its line of the Dockerfile', async () => {
    const { code, text, summary, outputs } = await runAction({
      context: 'app',
      file: 'failing.Dockerfile',
      ...dockerfile('failing', 'FROM base\n\nRUN echo why; \\\n  exit 9\n'),
    });
    expect(code).toBe(1);
    expect(text).toMatch(
      /^::error file=failing\.Dockerfile,line=3,col=1,endLine=4,title=build-run-failed::.*exit code 9/m,
    );
    expect(summary).toMatch(/tsbuild failed[\s\S]*why/);
    expect(outputs.size).toBe(0);
  });

  test('masks secrets before anything else, and keeps them out of log and image', async () => {
    const { code, text } = await runAction({
      file: 'secret.Dockerfile',
      tags: 'secret:1',
      secrets: 'one=s3cret-one\n"two=first ""line""\nsecond-line"',
      ...dockerfile(
        'secret',
        'FROM base\nRUN --mount=type=secret,id=one --mount=type=secret,id=two wc -c /run/secrets/one && wc -l /run/secrets/two\n',
      ),
    });
    expect({ code, text }).toMatchObject({ code: 0 });
    expect(text.split('\n').slice(0, 3)).toEqual([
      '::add-mask::s3cret-one',
      '::add-mask::first "line"',
      '::add-mask::second-line',
    ]);
    expect(text).toContain('10 /run/secrets/one');
    expect(text.split('\n').slice(3).join('\n')).not.toMatch(/s3cret-one|second-line/);
    const found = await run('grep', ['-rl', 's3cret-one', folder.join('home')]);
    expect(found.text).toBe('');
  });

  test('names an input that cannot be read', async () => {
    const { code, text } = await runAction({ push: 'maybe' });
    expect(code).toBe(1);
    expect(text).toMatch(/^::error title=flag-invalid::the input push is "maybe"%0AWrite true or false\.$/m);
  });

  test('does not repeat a secret that is written wrongly', async () => {
    const { code, text } = await runAction({ secrets: 'top-secret-without-a-name' });
    expect(code).toBe(1);
    expect(text).not.toContain('top-secret');
  });
});

/** Writes a Dockerfile into the workspace; the inputs that give it its base. */
function dockerfile(name: string, text: string): Record<string, string> {
  writeFileSync(folder.join('workspace', `${name}.Dockerfile`), text);
  return { 'build-contexts': 'base=oci-layout://bases:base', 'no-cache': 'true' };
}

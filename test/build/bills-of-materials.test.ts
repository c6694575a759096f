/** `--sbom` with a scanner of our own: what it sees, what becomes of what it says, and what is said when it fails. */
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { pullAttested, readAttested, type Statement } from '../support/attested-images.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { run } from '../support/command.ts';
import { writeOciLayout } from '../support/image-files.ts';
import { startRegistry } from '../support/registry.ts';
import { giveToRung, isolationOf, rungPrefix } from '../support/rung-prefix.ts';
import { scannerImage } from '../support/scanner-image.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';

let work: BuildWorkspace;
let scanner: string;

beforeAll(() => {
  work = buildWorkspace('sbom');
  chmodSync(work.path, 0o755);
  writeOciLayout(`${work.path}/scanners`, [scannerImage()]);
  scanner = `generator=oci-layout://${work.path}/scanners:scanner`;
});
afterAll(async () => {
  await work?.[Symbol.asyncDispose]();
});

const dockerfile = [
  'FROM base AS tools',
  'ARG BUILDKIT_SBOM_SCAN_STAGE',
  'RUN echo tool > /tool',
  'FROM base AS unused-here',
  'RUN echo other > /other',
  'FROM scratch',
  'ARG BUILDKIT_SBOM_SCAN_CONTEXT=false',
  'COPY one /',
  'COPY --from=tools /tool /',
  'COPY --from=unused-here /other /',
  '',
].join('\n');

function statements(layout: string, name?: string): readonly Statement[] {
  const { attestations } = readAttested(layout, name);
  expect(attestations).toHaveLength(1);
  return attestations[0]?.statements ?? [];
}

const namesIn = ({ predicate }: Statement) => predicate.files.map(({ fileName }: { fileName: string }) => fileName);

describe('a bill of materials', () => {
  let context: string;

  beforeAll(async () => {
    context = work.context('app', { Dockerfile: dockerfile, one: '1', '.dockerignore': 'ignored', ignored: '' });
    await work.build(context, ['-t', 'app:1', '--sbom', scanner, '--provenance=mode=min']);
  });

  test('stands before the provenance, and says of each file which layer brought it', () => {
    const { images } = readAttested(work.home, 'docker.io/library/app:1');
    const [bill, provenance] = statements(work.home, 'docker.io/library/app:1');
    expect(bill).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      predicateType: 'https://spdx.dev/Document',
      subject: [{ digest: { sha256: images[0]?.entry.digest.slice('sha256:'.length) } }],
      predicate: {
        spdxVersion: 'SPDX-2.3',
        creationInfo: { creators: ['Tool: test', expect.stringMatching(/^Tool: tsbuild-\d/)] },
      },
    });
    const layers = images[0]?.manifest.layers.map(({ digest }) => digest) ?? [];
    expect(bill?.predicate.files).toEqual([
      { fileName: './one', comment: `layerID: ${layers[0]}` },
      { fileName: './other', comment: `layerID: ${layers[2]}` },
      { fileName: './tool', comment: `layerID: ${layers[1]}` },
    ]);
    const materials: { uri: string }[] = provenance?.predicate.buildDefinition.resolvedDependencies;
    expect(materials.map(({ uri }) => uri.replace(/\?.*/, ''))).toEqual([
      'pkg:oci/bases@base',
      'pkg:oci/scanners@scanner',
    ]);
  });

  test('is printed by inspect', async () => {
    const { text } = await work.tsbuild(['inspect', '-f', '{{len .SBOM.SPDX.files}} {{.Platforms}}', 'app:1']);
    expect(text).toMatch(/^3 \["linux\/[a-z0-9]+"\]\n$/);
  });

  test('is made once for the same image, and the scanner runs as root where its image says', async () => {
    const other = work.context('other', { Dockerfile: 'FROM scratch\nCOPY one /\n', one: '2' });
    const first = await work.build(other, ['-t', 'other', '--sbom', scanner]);
    expect(first.stderr).toContain('scanned as 0 in /var');
    const again = await work.build(other, ['-t', 'other', '--sbom', scanner]);
    expect(again.stderr).not.toContain('scanned as');
    expect(again.stderr).toMatch(/scan with oci-layout.*scanner\n#\d+ CACHED/);
  });

  test('names the compressed layers where the image goes, and is a file beside files', async () => {
    await using registry = await startRegistry();
    const name = `${registry.host}/team/app:1`;
    await work.build(context, ['-t', name, '--push', '--sbom', scanner, '-o', `${work.path}/out`]);
    const pushed = await pullAttested(name, `${work.path}/back`);
    const bill = statements(`${work.path}/back`, '1')[0] as Statement;
    const comments = bill.predicate.files.map(({ comment }: { comment: string }) => comment).sort();
    expect(comments).toEqual(pushed.images[0]?.manifest.layers.map(({ digest }) => `layerID: ${digest}`).sort());
    const beside: Statement = JSON.parse(readFileSync(`${work.path}/out/sbom.spdx.json`, 'utf8'));
    expect(beside.subject.map((subject) => subject.name)).toEqual(['one', 'other', 'tool']);
  });

  test.each([
    [['STAGE=true'], ['sbom', 'sbom-tools']],
    [['STAGE=none,tools'], ['sbom', 'sbom-tools']],
    [['STAGE=unused-here'], ['sbom']],
    [
      ['CONTEXT=1', 'STAGE=0'],
      ['sbom', 'sbom-context'],
    ],
  ])('with BUILDKIT_SBOM_SCAN_%j there are those of %j', async (values, expected) => {
    const args = values.flatMap((value) => ['--build-arg', `BUILDKIT_SBOM_SCAN_${value}`]);
    await work.build(context, ['-t', 'extras', '--attest', `type=sbom,${scanner}`, ...args]);
    const bills = statements(work.home, 'docker.io/library/extras:latest');
    expect(bills.map(({ predicate }) => predicate.name)).toEqual(expected);
    if (expected.includes('sbom-context')) expect(namesIn(bills[1] as Statement)).not.toContain('./ignored');
    if (expected.includes('sbom-tools')) expect(namesIn(bills[1] as Statement)).toContain('./bin/busybox');
  });

  test('of nothing at all is empty', async () => {
    const nothing = work.context('nothing', { Dockerfile: 'FROM scratch\nLABEL a=b\n' });
    await work.build(nothing, ['-t', 'nothing', '--sbom', scanner]);
    expect(statements(work.home, 'docker.io/library/nothing:latest')[0]?.predicate.files).toEqual([]);
  });
});

test.each([
  ['fail', 'no bill of materials was made', 'the scanner cannot go on'],
  ['nothing', 'wrote no bill of materials', ''],
  ['text', 'wrote sbom.spdx.json, which is not JSON', ''],
  ['other', 'wrote a.json, which is no statement of the type https://spdx.dev/Document', ''],
  ['folder', 'wrote sub, which is no regular file', ''],
  ['large', 'wrote sbom.spdx.json, which is too large', ''],
])('a scanner that does %s makes one clear error', async (what, message, printed) => {
  const context = work.context('failing', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
  const { code, stderr } = await work.tryBuild(context, ['-t', 'failing', `--sbom=${scanner},DO=${what}`]);
  expect(code).toBe(1);
  expect(stderr).toContain(message);
  expect(stderr).toContain('[attestation-failed]');
  expect(stderr).toContain(printed);
  expect(stderr).not.toContain('Dockerfile:');
});

test('an image without a command is no scanner, and that is said before anything is built', async () => {
  const context = work.context('no-scanner', { Dockerfile: 'FROM base\nRUN echo ran\n' });
  writeOciLayout(`${work.path}/none`, [{ ...scannerImage(), config: {} }]);
  const { stderr } = await work.tryBuild(context, [`--sbom=generator=oci-layout://${work.path}/none:scanner`]);
  expect(stderr).toContain('it has neither an ENTRYPOINT nor a CMD');
  expect(stderr).not.toContain('RUN echo');
});

for (const rung of ['single', 'chroot'] as const) {
  const reason = await cannotTest(rung);
  test.skipIf(reason !== undefined)(`it is made on the rung ${rung} as well ${reason ?? ''}`.trim(), async () => {
    const context = work.context(`on-${rung}`, { Dockerfile: 'FROM base\nRUN echo made > /made\n' });
    const home = `${work.path}/home-${rung}`;
    mkdirSync(home);
    await giveToRung(rung, home);
    const args = ['build', '--progress', 'plain', '--isolation', isolationOf(rung), ...work.bases];
    // Where nothing can be mounted, what is shown is a copy.
    const words = [...args, '-t', 'made', `--sbom=${scanner},${rung === 'chroot' ? 'COPIES=1' : 'A=b'}`, context];
    const [program = process.execPath, ...rest] = [...rungPrefix[rung], process.execPath, commandPath, ...words];
    const finished = await run(program, rest, { cwd: '/', env: { ...tsbuildEnvironment(home), HOME: home } });
    expect(finished.code, finished.stderr).toBe(0);
    const [bill] = statements(home, 'docker.io/library/made:latest');
    expect(namesIn(bill as Statement)).toContain('./made');
  });
}

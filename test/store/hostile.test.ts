/** Hostile images through the whole program: loaded, built on, exported. Shared security rules 1 to 5. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage, directory, file, hardlink, symlink } from '../support/base-images.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun } from '../support/command.ts';
import { writeDockerArchive, writeOciLayout } from '../support/image-files.ts';
import { describeTree } from '../support/layer-trees.ts';
import type { TarEntry } from '../support/plain-tar.ts';
import { tsbuild } from '../support/tsbuild.ts';

let place: BuildWorkspace;
let sentinel: string;

beforeAll(() => {
  place = buildWorkspace('hostile');
  sentinel = join(place.path, 'sentinel');
  mkdirSync(join(sentinel, 'sub'), { recursive: true });
  mkdirSync(join(sentinel, 'empty'));
  writeFileSync(join(sentinel, 'secret'), 'sentinel secret\n');
  writeFileSync(join(sentinel, 'sub/inner'), 'inner\n');
});
afterAll(() => place[Symbol.asyncDispose]());

const up = '../'.repeat(30);

/** Each: the layers above busybox, and what a RUN then finds below the root of its own image. */
function attacksOn(
  sentinel: string,
): readonly { readonly title: string; readonly layers: TarEntry[][]; readonly finds: string }[] {
  const out = sentinel.slice(1);
  return [
    {
      title: 'names that climb and absolute names',
      layers: [[file(`${up}${out}/secret`, 'hostile'), file(`${sentinel}/sub/inner`, 'hostile'), file('ok', 'ok')]],
      finds: `test "$(cat ${sentinel}/secret)" = hostile && test "$(cat ${sentinel}/sub/inner)" = hostile`,
    },
    {
      title: 'files through an absolute and a relative symlink',
      layers: [
        [symlink('abs', sentinel), symlink('rel', `${up}${out}`), file('abs/secret', 'hostile')],
        [file('rel/new', 'hostile'), directory('abs/sub', { mode: 0o777, uid: 7 })],
      ],
      finds: `test "$(cat ${sentinel}/secret)" = hostile && test "$(cat ${sentinel}/new)" = hostile`,
    },
    {
      title: 'whiteouts and opaque marks behind symlinks',
      layers: [
        [symlink('abs', sentinel), directory('run/kept')],
        [file('abs/.wh.secret', ''), file('abs/sub/.wh..wh..opq', ''), file(`${up}${out}/.wh.empty`, '')],
      ],
      finds: `! test -e ${sentinel}/secret && ! test -e ${sentinel}/empty && test -d /run/kept`,
    },
    {
      title: 'a symlink to a file outside, then a hardlink to it and a file over the hardlink',
      layers: [[symlink('s', `${sentinel}/secret`), hardlink('h', 's'), file('h', 'hostile')]],
      finds: 'test "$(cat /h)" = hostile && test -L /s',
    },
    {
      title: 'directories that become symlinks between two layers',
      layers: [
        [directory('d'), file('d/a', 'a')],
        [symlink('d', sentinel)],
        [file('d/secret', 'hostile'), file('d/.wh.sub', '')],
      ],
      finds: 'test -L /d',
    },
  ];
}

describe('an image with', () => {
  test.each(attacksOn('').map((attack) => attack.title))(
    '%s stays inside its own root wherever it goes',
    async (title) => {
      const attack = attacksOn(sentinel).find((candidate) => candidate.title === title);
      if (attack === undefined) throw new Error(title);
      const before = describeTree(sentinel);
      const base = busyboxImage();
      const spec = { name: 'hostile', layers: [...base.layers, ...attack.layers], config: base.config };
      const archive = join(place.path, 'hostile.tar');
      const layout = join(place.path, `layout-${title.length}`);
      writeDockerArchive(archive, spec);
      writeOciLayout(layout, [spec]);
      await place.tsbuild(['load', '-q', '-i', archive]);
      const context = place.context('context', {
        Dockerfile: `FROM hostile AS run\nRUN ${attack.finds}\nFROM base\nCOPY --from=run / /all/\n`,
        Layout: 'FROM layout AS run\nRUN touch /ran\nFROM scratch\nCOPY --from=run / /\n',
      });
      await place.build(context, ['-t', 'built:1']);
      const target = join(place.path, 'exported');
      for (const kind of [`type=local,dest=${target}`, `type=tar,dest=${target}.tar`, `type=docker,dest=${target}.d`]) {
        await place.build(context, ['-o', kind]);
        const fromLayout = ['--build-context', `layout=oci-layout://${layout}:hostile`, '-f', join(context, 'Layout')];
        await place.build(context, [...fromLayout, '-o', kind]);
      }
      // Once more into a folder that now holds the symlinks.
      await place.build(context, ['--target', 'run', '-o', `type=local,dest=${target}`]);
      await place.tsbuild(['save', '-o', join(place.path, 'again.tar'), 'built:1', 'hostile']);
      await place.tsbuild(['load', '-q', '-i', join(place.path, 'again.tar')]);
      expect(describeTree(sentinel)).toEqual(before);
      expect(readdirSync(place.path).filter((name) => name.includes('secret'))).toEqual([]);
    },
  );

  test.each([
    ['a hardlink to a file outside', [hardlink('h', `/${'x/'.repeat(3)}nothing`)]],
    ['a symlink in place of the root', [symlink('.', '/')]],
    ['a hardlink through a symlink that leads out', [symlink('l', '/proc/self/cwd'), hardlink('h', 'l/secret')]],
  ] as const)('%s is refused by a RUN with one clear error', async (_, entries) => {
    const before = describeTree(sentinel);
    const base = busyboxImage();
    const archive = join(place.path, 'refused.tar');
    writeDockerArchive(archive, { name: 'refused', layers: [...base.layers, [...entries]], config: base.config });
    await place.tsbuild(['load', '-q', '-i', archive]);
    const context = place.context('refused', { Dockerfile: 'FROM refused\nRUN true\n' });
    const built = await place.tryBuild(context, [], { cwd: sentinel });
    expect(built.code).toBe(1);
    expect(built.stderr).toContain('[layer-invalid]');
    expect(describeTree(sentinel)).toEqual(before);
  });

  test('100,000 names in one directory and a path of 6,000 bytes is loaded, run and exported', async () => {
    const deep = Array.from({ length: 60 }, (_, i) => `${String(i).padStart(3, '0')}${'d'.repeat(97)}`);
    const layer = [
      ...Array.from({ length: 100_000 }, (_, i) => file(`many/${i}`, '')),
      ...deep.map((_, i) => directory(deep.slice(0, i + 1).join('/'))),
      file(`${deep.join('/')}/file`, 'deep'),
    ];
    const base = busyboxImage();
    const archive = join(place.path, 'many.tar');
    writeDockerArchive(archive, { name: 'many', layers: [...base.layers, layer], config: base.config });
    await place.tsbuild(['load', '-q', '-i', archive]);
    const context = place.context('many', {
      Dockerfile: 'FROM many\nRUN test "$(ls /many | wc -l)" = 100000 && echo more >/many/more\n',
    });
    const target = join(place.path, 'many');
    await place.build(context, ['-o', `type=local,dest=${target}`]);
    expect(readdirSync(join(target, 'many')).length).toBe(100_001);
    // No shell gets there: it names the whole path.
    const program =
      'for (const name of process.argv.slice(1)) process.chdir(name); console.log(fs.readFileSync("file", "utf8"))';
    expect((await mustRun(process.execPath, ['-e', program, target, ...deep])).text).toBe('deep\n');
    expect((await tsbuild(['prune', '--all'], { home: place.home })).code).toBe(0);
  }, 180_000);
});

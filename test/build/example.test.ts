import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { mustRun } from '../support/command.ts';
import { readOciLayout } from '../support/image-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { flatten } from '../support/tree-compare.ts';
import { tsbuildEnvironment } from '../support/tsbuild.ts';

test('scripts/example builds the example without a registry and prints the ID of the image', async () => {
  await using folder = temporaryFolder('example');
  const script = fileURLToPath(new URL('../../scripts/example', import.meta.url));
  const { text } = await mustRun(script, ['--build-arg', 'GREETING=Welcome'], { env: tsbuildEnvironment(folder.path) });
  expect(text).toMatch(/^hello:1 is sha256:[0-9a-f]{64}$/m);
  const image = readOciLayout(folder.path, 'docker.io/library/hello:1');
  const tree = flatten(image);
  expect(tree.get('srv/greetings.txt')?.text).toBe('Welcome, Ada!\nWelcome, Grace!\nWelcome, Linus!\n');
  expect(tree.get('srv/count.txt')?.text).toBe('3\n');
  expect(tree.has('root')).toBe(false);
  expect(tree.has('home/maker')).toBe(false);
  expect(image.config.config?.Entrypoint).toEqual(['/bin/hello']);
});

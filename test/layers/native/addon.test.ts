import { closeSync, constants, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BytePath } from '../../../src/core/index.ts';
import { hasXattrs, native, notRegular, sizeDiffers } from '../../../src/layers/native/addon.ts';
import { DirectoryHandles, openBeneath, openRoot } from '../../../src/layers/native/directory-handles.ts';
import { scanDirectory, statAt } from '../../../src/layers/native/stat.ts';
import { bash, temporaryFolder } from '../../support/layer-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
let root: number;

beforeEach(() => {
  folder = temporaryFolder('native');
  root = openRoot(folder.path);
});

afterEach(() => {
  closeSync(root);
  folder.remove();
});

function codeOf(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
  return 'nothing thrown';
}

describe('opening beneath a directory', () => {
  test('refuses every way out of it', () => {
    mkdirSync(join(folder.path, 'inner'));
    writeFileSync(join(folder.path, 'secret'), 'outside');
    const inner = openRoot(join(folder.path, 'inner'));
    symlinkSync('..', join(folder.path, 'inner/up'));
    symlinkSync('/etc', join(folder.path, 'inner/etc'));
    symlinkSync('/proc/self/root', join(folder.path, 'inner/magic'));
    try {
      expect(codeOf(() => native.openBeneath(inner, '../secret', 0, 0))).toBe('EXDEV');
      expect(codeOf(() => native.openBeneath(inner, '/etc/passwd', 0, 0))).toBe('EXDEV');
      expect(codeOf(() => native.openBeneath(inner, 'up/secret', 0, 0))).toBe('ELOOP');
      expect(codeOf(() => native.openBeneath(inner, 'etc/passwd', 0, 0))).toBe('ELOOP');
      expect(codeOf(() => native.openBeneath(inner, 'magic/etc', 0, 0))).toBe('ELOOP');
      expect(codeOf(() => native.openBeneath(inner, 'etc', 0, 0))).toBe('ELOOP');
    } finally {
      closeSync(inner);
    }
  });

  test('reaches paths longer than the kernel takes at once', () => {
    bash('for i in {1..30}; do d=$(printf "d%.0s" {1..200}); mkdir $d; cd -P $d; done; echo deep > file', folder.path);
    const path = `${Array(30).fill('d'.repeat(200)).join('/')}/file`;
    const fd = openBeneath(root, path, constants.O_RDONLY);
    expect(readFileSync(fd, 'utf8')).toBe('deep\n');
    closeSync(fd);
    bash('rm -rf d*', folder.path);
  });
});

describe('names', () => {
  test('with any bytes are made, listed in byte order and removed', () => {
    const names = ['\xff\x80', 'a', '\xc3(', 'b\n', 'Z'];
    for (const name of names) expect(native.mkdirAt(root, name, 0o700)).toBe(true);
    expect(native.mkdirAt(root, 'a', 0o700)).toBe(false);
    expect(scanDirectory(root).map((entry) => entry.name)).toEqual([...names].sort());
    for (const name of names) expect(native.unlinkAt(root, name, 1)).toBe(true);
    expect(native.unlinkAt(root, 'a', 1)).toBe(false);
    expect(scanDirectory(root)).toEqual([]);
  });

  test('with a NUL or too many bytes are refused before the kernel sees them', () => {
    expect(codeOf(() => native.mkdirAt(root, 'a\0b', 0o700))).toBe('ERR_INVALID_ARG_VALUE');
    expect(codeOf(() => native.mkdirAt(root, 'x'.repeat(5000), 0o700))).toBe('ENAMETOOLONG');
    expect(codeOf(() => native.mkdirAt(root, 'x'.repeat(300), 0o700))).toBe('ENAMETOOLONG');
  });

  test('errors carry code, errno and system call', () => {
    expect(() => native.readlinkAt(root, 'none')).toThrowError(
      expect.objectContaining({ code: 'ENOENT', errno: 2, syscall: 'readlinkat' }),
    );
  });

  test('chmod never reaches through a symlink', () => {
    writeFileSync(join(folder.path, 'target'), '');
    symlinkSync('target', join(folder.path, 'link'));
    expect(codeOf(() => native.chmodAt(root, 'link', 0o777))).toBe('ELOOP');
    native.chmodAt(root, 'target', 0o4711);
    expect(statAt(root, 'target')?.mode).toBe(0o4711);
  });

  test('times keep their nanoseconds, before 1970 too', () => {
    for (const time of [1n, -1n, 1_700_000_000_123_456_789n, -2_000_000_000_500_000_000n]) {
      native.writeWhole(root, `t${time}`, Buffer.alloc(0), 0, 0, 0o600, -1, -1, time);
      expect(statAt(root, `t${time}`)?.mtime).toBe(time);
    }
  });
});

describe('whole files', () => {
  test('are read only when they are regular and have the expected size', () => {
    native.writeWhole(root, 'file', Buffer.from('content'), 0, 7, 0o640, -1, -1, 0n);
    native.mknodAt(root, 'fifo', 0o010600, 0, 0);
    symlinkSync('file', join(folder.path, 'link'));
    const buffer = Buffer.alloc(16);
    expect(native.readWhole(root, 'file', buffer, 4, 7, 0)).toBe(7);
    expect(buffer.toString('latin1', 4, 11)).toBe('content');
    expect(native.readWhole(root, 'file', buffer, 0, 6, 0)).toBe(sizeDiffers);
    expect(native.readWhole(root, 'file', buffer, 0, 8, 0)).toBe(sizeDiffers);
    expect(native.readWhole(root, 'fifo', buffer, 0, 0, 0)).toBe(notRegular);
    expect(codeOf(() => native.readWhole(root, 'link', buffer, 0, 7, 0))).toBe('ELOOP');
    expect(codeOf(() => native.readWhole(root, 'file', buffer, 10, 7, 0))).toBe('ERR_INVALID_ARG_VALUE');
    native.setXattr(root, 'file', 'user.a', Buffer.from([0, 255]));
    expect(native.readWhole(root, 'file', buffer, 0, 7, 1)).toBe(hasXattrs);
    expect(native.getXattr(root, 'file', 'user.a')).toEqual(Buffer.from([0, 255]));
    expect(native.listXattrs(root, 'file')).toContain('user.a\0');
    expect(native.removeXattr(root, 'file', 'user.a')).toBe(true);
    expect(native.removeXattr(root, 'file', 'user.a')).toBe(false);
  });
});

describe('directory handles', () => {
  test('stay correct when more directories are used than are kept open', () => {
    const handles = new DirectoryHandles(root, 3);
    const paths = Array.from({ length: 20 }, (_, i) => `d${i % 5}/e${i}` as BytePath);
    for (const path of paths) mkdirSync(join(folder.path, path), { recursive: true });
    for (const round of [1, 2]) {
      for (const path of paths) {
        const fd = handles.fd(path);
        if (round === 1) native.mkdirAt(fd, `in-${path.replace('/', '-')}`, 0o700);
        expect(scanDirectory(fd).map((entry) => entry.name)).toEqual([`in-${path.replace('/', '-')}`]);
      }
    }
    handles.close();
  });
});

describe('directories', () => {
  test('are spread where the file system says it can', () => {
    const before = attributesOf(folder.path);
    const isSpread = native.spreadDirectories(root);
    // lsattr fails where there are no such attributes.
    expect(attributesOf(folder.path).includes('T')).toBe(isSpread);
    expect(before.includes('T')).toBe(false);
    expect(native.spreadDirectories(root)).toBe(isSpread);
  });
});

/** Of chattr(1). */
function attributesOf(path: string): string {
  return bash("(lsattr -d . 2>/dev/null || true) | cut -d' ' -f1", path);
}

describe('locks', () => {
  test('exclude each other between open files and end with the descriptor', () => {
    const path = join(folder.path, 'lock');
    const [a, b] = [openSync(path, 'w'), openSync(path, 'w')];
    expect(native.tryLock(a, 0)).toBe(true);
    expect(native.tryLock(b, 0)).toBe(true);
    expect(native.tryLock(b, 1)).toBe(false);
    native.unlock(a);
    expect(native.tryLock(b, 1)).toBe(true);
    expect(native.tryLock(a, 0)).toBe(false);
    closeSync(b);
    expect(native.tryLock(a, 1)).toBe(true);
    closeSync(a);
  });
});

/**
 * Layers that try to get out of the directory they are unpacked into, each beside an honest one of the same form that
 * must work (shared security rules 1 to 6: paths are resolved inside the root, not rejected).
 */
import type { ArchiveEntry } from './layer-jobs.ts';

export interface HostileCase {
  readonly title: string;
  /** Lowest first; the last one is unpacked over the others. */
  readonly layers: readonly (readonly ArchiveEntry[])[];
  /** The code it is refused with; undefined: it is unpacked, inside the root. */
  readonly refused?: string;
  /** Paths that the kernel then shows in the merged tree, with kind or, for files, content. */
  readonly shows?: Readonly<Record<string, string>>;
  /** Paths that are not there. */
  readonly lacks?: readonly string[];
}

export interface HostilePair {
  readonly attack: HostileCase;
  readonly twin: HostileCase;
}

const directory = (path: string): ArchiveEntry => ({ path, kind: 'directory', mode: 0o755 });
const file = (path: string, content = 'new'): ArchiveEntry => ({ path, content });
const symlink = (path: string, linkTarget: string): ArchiveEntry => ({ path, kind: 'symlink', linkTarget });
const hardlink = (path: string, linkTarget: string): ArchiveEntry => ({ path, kind: 'hardlink', linkTarget });
const fifo = (path: string): ArchiveEntry => ({ path, kind: 'fifo' });

/**
 * @param outside absolute path of the sentinel: a directory with `secret`, `sub/inner` and `empty/`
 * @param depth directories from the target's root up to /
 */
export function hostilePairs(outside: string, depth: number): HostilePair[] {
  return [
    ...namesThatClimb(outside),
    ...throughSymlinks(outside, depth),
    ...hardlinksOutside(outside, depth),
    ...whiteoutsOutside(outside, depth),
    ...inPlaceOfTheRoot(),
    ...oneNameTwice(outside),
    ...impossibleEntries(),
  ];
}

/** Row 1: `../` and absolute names. */
function namesThatClimb(outside: string): HostilePair[] {
  const up = '../'.repeat(30);
  const forms: readonly (readonly [string, string, string])[] = [
    ['a parent at the start', `${up}${outside.slice(1)}/secret`, `${outside.slice(1)}/secret`],
    ['an absolute name', `${outside}/secret`, `${outside.slice(1)}/secret`],
    ['parents in the middle', `a/b/${up}x`, 'x'],
    ['a name of only parents and a file', '../../x', 'x'],
    ['dots and doubled slashes', `.//./..//${up}//y/./x`, 'y/x'],
  ];
  return forms.flatMap(([form, hostile, lands]) =>
    (['file', 'directory', 'symlink', 'fifo'] as const).map((kind) => {
      const at = (path: string): ArchiveEntry =>
        kind === 'symlink'
          ? symlink(path, 'anything')
          : { path, kind, mode: 0o755, ...(kind === 'file' && { content: 'new' }) };
      const shown = kind === 'file' ? 'new' : kind;
      return {
        attack: { title: `${form}: ${kind}`, layers: [[at(hostile)]], shows: { [lands]: shown } },
        twin: { title: `a plain name: ${kind}`, layers: [[at('y/x')]], shows: { 'y/x': shown } },
      };
    }),
  );
}

/** Rows 1 and 3: a symlink, here or in a layer below, then something through it. */
function throughSymlinks(outside: string, depth: number): HostilePair[] {
  const relative = `${'../'.repeat(depth + 5)}${outside.slice(1)}`;
  const forms: readonly (readonly [string, readonly ArchiveEntry[], string])[] = [
    ['an absolute symlink', [symlink('link', outside)], outside.slice(1)],
    ['a relative symlink', [symlink('link', relative)], outside.slice(1)],
    [
      'a chain of symlinks',
      [symlink('one', outside), symlink('two', './one'), symlink('link', 'two/.')],
      outside.slice(1),
    ],
    ['a symlink into /proc', [symlink('link', `/proc/self/root${outside}`)], `proc/self/root${outside}`],
    ['a symlink to the working directory', [symlink('link', '/proc/self/cwd')], 'proc/self/cwd'],
    [
      'a symlink below a symlink',
      [directory('d'), symlink('d/up', '..'), symlink('link', `d/up/d/up/../../..${outside}`)],
      outside.slice(1),
    ],
  ];
  const deeds: readonly (readonly [string, readonly ArchiveEntry[], Readonly<Record<string, string>>])[] = [
    ['a new file', [file('link/new')], { new: 'new' }],
    ['a file over one that is there', [file('link/secret')], { secret: 'new' }],
    ['a directory', [{ ...directory('link/sub'), mode: 0o777, uid: 5 }], { sub: 'directory' }],
    ['a symlink', [symlink('link/sub', 'x')], { sub: 'symlink' }],
    ['a FIFO', [fifo('link/secret')], { secret: 'fifo' }],
    ['a hardlink into it', [file('own', 'own'), hardlink('link/secret', 'own')], { secret: 'own' }],
    ['directories on the way', [file('link/a/b/c')], { 'a/b/c': 'new' }],
  ];
  const honest = [directory('run'), symlink('link', '/run')];
  return forms.flatMap(([form, links, lands]) =>
    deeds.flatMap(([deed, entries, shows]) =>
      ([false, true] as const).map((below) => {
        const layersOf = (first: readonly ArchiveEntry[]) => (below ? [first, entries] : [[...first, ...entries]]);
        return {
          attack: {
            title: `${form} ${below ? 'of a layer below' : 'of the same layer'}, then ${deed}`,
            layers: layersOf(links),
            shows: prefixed(lands, shows),
          },
          twin: {
            title: `var/run -> /run ${below ? 'below' : 'here'}, then ${deed}`,
            layers: layersOf(honest),
            shows: { ...prefixed('run', shows), link: 'symlink' },
          },
        };
      }),
    ),
  );
}

/** Row 2. */
function hardlinksOutside(outside: string, depth: number): HostilePair[] {
  const twin: HostileCase = {
    title: 'an absolute target inside the root',
    layers: [[file('etc/a', 'inside')], [hardlink('b', '/etc/a')]],
    shows: { b: 'inside', 'etc/a': 'inside' },
  };
  const throughParent: HostileCase = {
    title: 'a target behind a symlinked parent',
    layers: [[file('etc/a', 'inside'), symlink('link', '/etc')], [hardlink('b', 'link/a')]],
    shows: { b: 'inside' },
  };
  const toSymlink: HostileCase = {
    title: 'a hardlink to a symlink is that symlink',
    layers: [[symlink('s', 'somewhere')], [hardlink('b', 's')]],
    shows: { b: 'symlink', s: 'symlink' },
  };
  const up = '../'.repeat(depth + 5);
  const refused = 'layer-invalid';
  return [
    { attack: { title: 'an absolute target', layers: [[hardlink('x', `${outside}/secret`)]], refused }, twin },
    {
      attack: { title: 'a target above', layers: [[hardlink('x', `${up}${outside.slice(1)}/secret`)]], refused },
      twin,
    },
    { attack: { title: 'a target in the working directory', layers: [[hardlink('x', 'secret')]], refused }, twin },
    {
      attack: { title: 'a target in the working directory, dotted', layers: [[hardlink('x', './secret')]], refused },
      twin,
    },
    {
      attack: {
        title: 'a target behind a symlink',
        layers: [[symlink('l', outside), hardlink('x', 'l/secret')]],
        refused,
      },
      twin: throughParent,
    },
    {
      attack: {
        title: 'a target behind a symlink of a layer below',
        layers: [[symlink('l', outside)], [hardlink('x', 'l/secret')]],
        refused,
      },
      twin: throughParent,
    },
    {
      attack: {
        title: 'a symlink that leads out, then a file through the link',
        layers: [[symlink('s', `${outside}/secret`), hardlink('x', 's'), file('x', 'new')]],
        shows: { x: 'new', s: 'symlink' },
      },
      twin: toSymlink,
    },
    {
      attack: {
        title: 'a symlink of a layer below that leads out is copied up as itself',
        layers: [[symlink('s', `${outside}/secret`)], [hardlink('x', 's')]],
        shows: { x: 'symlink', s: 'symlink' },
      },
      twin: toSymlink,
    },
    {
      attack: { title: 'a directory', layers: [[directory('d'), hardlink('x', 'd')]], refused },
      twin: {
        title: 'a file beside it',
        layers: [[directory('d'), file('d/f'), hardlink('x', 'd/f')]],
        shows: { x: 'new' },
      },
    },
    {
      attack: { title: 'the root', layers: [[hardlink('x', '/')]], refused },
      twin,
    },
    {
      attack: { title: 'what it replaces', layers: [[file('d/f'), hardlink('d', 'd/f')]], refused },
      twin: { title: 'itself', layers: [[file('f'), hardlink('./f', 'f')]], shows: { f: 'new' } },
    },
  ];
}

/** Row 3. */
function whiteoutsOutside(outside: string, depth: number): HostilePair[] {
  const lower = [directory('run'), file('run/secret'), file('run/sub/inner'), symlink('link', '/run')];
  const out = [symlink('link', outside), symlink('up', `${'../'.repeat(depth + 5)}${outside.slice(1)}`)];
  const deeds: readonly (readonly [string, readonly ArchiveEntry[], readonly string[]])[] = [
    ['a whiteout of a file', [file('link/.wh.secret', '')], ['run/secret']],
    ['a whiteout of a directory', [file('link/.wh.sub', '')], ['run/sub']],
    ['an opaque mark', [file('link/.wh..wh..opq', '')], ['run/secret', 'run/sub']],
    ['an opaque mark, then a file', [file('link/.wh..wh..opq', ''), file('link/new')], ['run/secret']],
  ];
  const pairs = deeds.flatMap(([deed, entries, lacks]) => {
    const twin = {
      title: `${deed} behind var/run -> /run`,
      layers: [lower, entries],
      lacks,
      shows: { link: 'symlink' },
    };
    const relative = entries.map((entry) => ({ ...entry, path: entry.path.replace('link', 'up') }));
    return [
      { attack: { title: `${deed} behind an absolute symlink below`, layers: [out, entries] }, twin },
      { attack: { title: `${deed} behind a relative symlink below`, layers: [out, relative] }, twin },
      { attack: { title: `${deed} behind a symlink of its own layer`, layers: [[...out, ...entries]] }, twin },
    ];
  });
  const plain: HostileCase = {
    title: 'a whiteout of a plain name',
    layers: [[file('a'), file('b')], [file('.wh.a', '')]],
    lacks: ['a'],
    shows: { b: 'new' },
  };
  const strange: readonly (readonly [string, string, string?])[] = [
    ['a whiteout of nothing', '.wh.', 'tar-invalid'],
    ['a whiteout of .', 'd/.wh..', 'tar-invalid'],
    ['a whiteout of ..', 'd/.wh...', 'tar-invalid'],
    ['a whiteout above the root', `${'../'.repeat(depth + 5)}${outside.slice(1)}/.wh.secret`],
    ['an absolute whiteout', `${outside}/.wh.secret`],
    ['an opaque mark above the root', '../.wh..wh..opq'],
    ['an AUFS folder', '.wh..wh.plnk/1234.5678'],
  ];
  return [
    ...pairs,
    ...strange.map(([title, path, refused]) => ({
      attack: {
        title,
        layers: [[directory('d'), file('kept')], [file(path, '')]],
        ...(refused !== undefined && { refused }),
      },
      twin: plain,
    })),
  ];
}

/** Row 1: names that stand for the root itself. */
function inPlaceOfTheRoot(): HostilePair[] {
  const twin: HostileCase = {
    title: 'the root as a directory',
    layers: [[{ ...directory('./'), mode: 0o711, uid: 7 }, file('f')]],
    shows: { f: 'new', '': 'directory' },
  };
  return ['.', '/', '/.', './', 'a/..', '../..'].flatMap((path) => [
    { attack: { title: `a symlink named ${path}`, layers: [[symlink(path, '/')]], refused: 'layer-invalid' }, twin },
    { attack: { title: `a file named ${path}`, layers: [[{ path, content: 'x' }]], refused: 'layer-invalid' }, twin },
    { attack: { title: `a FIFO named ${path}`, layers: [[fifo(path)]], refused: 'layer-invalid' }, twin },
  ]);
}

/** Row 5: the last of several entries of one name wins; the swap of a directory for a symlink leads nowhere. */
function oneNameTwice(outside: string): HostilePair[] {
  const twin: HostileCase = {
    title: 'a file twice',
    layers: [[file('f', 'first'), file('f', 'second')]],
    shows: { f: 'second' },
  };
  return [
    {
      attack: {
        title: 'a directory, a symlink of its name, a file through it',
        layers: [[directory('d'), file('d/a'), symlink('d', outside), file('d/secret')]],
        shows: { d: 'symlink', [`${outside.slice(1)}/secret`]: 'new' },
      },
      twin: {
        title: 'a directory twice keeps what is in it',
        layers: [[directory('d'), file('d/a'), directory('d')]],
        shows: { 'd/a': 'new' },
      },
    },
    {
      attack: {
        title: 'a symlink, then a directory of its name, then a file in it',
        layers: [[symlink('d', outside), directory('d'), file('d/secret')]],
        shows: { d: 'directory', 'd/secret': 'new' },
      },
      twin,
    },
    {
      attack: {
        title: 'a symlink, then a file of its name',
        layers: [[symlink('f', `${outside}/secret`), file('f', 'second')]],
        shows: { f: 'second' },
      },
      twin,
    },
    {
      attack: {
        title: 'a symlink of a layer below, then a file of its name',
        layers: [[symlink('f', `${outside}/secret`)], [file('f', 'second')]],
        shows: { f: 'second' },
      },
      twin: {
        title: 'a file of a layer below',
        layers: [[file('f', 'first')], [file('f', 'second')]],
        shows: { f: 'second' },
      },
    },
    {
      attack: {
        title: 'a symlink of a layer below, then a directory of its name and a file in it',
        layers: [[symlink('d', outside)], [directory('d'), file('d/secret')]],
        shows: { d: 'directory', 'd/secret': 'new' },
      },
      twin: {
        title: 'a directory of a layer below',
        layers: [[file('d/a')], [directory('d'), file('d/b')]],
        shows: { 'd/a': 'new', 'd/b': 'new' },
      },
    },
    {
      attack: {
        title: 'a FIFO, then a file of its name',
        layers: [[fifo('f'), file('f', 'second')]],
        shows: { f: 'second' },
      },
      twin,
    },
  ];
}

function impossibleEntries(): HostilePair[] {
  const long = 'n'.repeat(256);
  const loop = [symlink('a', 'b'), symlink('b', 'a')];
  const fine: HostileCase = {
    title: 'a name of 255 bytes',
    layers: [[file('n'.repeat(255))]],
    shows: { ['n'.repeat(255)]: 'new' },
  };
  const chain = Array.from({ length: 30 }, (_, i) => symlink(`l${i}`, i === 0 ? 'd' : `l${i - 1}`));
  return [
    { attack: { title: 'a name of 256 bytes', layers: [[file(long)]], refused: 'layer-invalid' }, twin: fine },
    {
      attack: { title: 'a loop of symlinks', layers: [[...loop, file('a/x')]], refused: 'path-loop' },
      twin: {
        title: 'thirty symlinks in a row',
        layers: [[directory('d'), ...chain, file('l29/x')]],
        shows: { 'd/x': 'new' },
      },
    },
    { attack: { title: 'a loop of symlinks below', layers: [loop, [file('a/x')]], refused: 'path-loop' }, twin: fine },
    {
      attack: { title: 'a name below a file', layers: [[file('f'), file('f/x')]], refused: 'layer-invalid' },
      twin: { title: 'a name below a directory', layers: [[directory('f'), file('f/x')]], shows: { 'f/x': 'new' } },
    },
    {
      attack: {
        title: 'a name below a file of a layer below',
        layers: [[file('f')], [file('f/x')]],
        refused: 'layer-invalid',
      },
      twin: {
        title: 'a directory in place of a file below',
        layers: [[file('f')], [directory('f'), file('f/x')]],
        shows: { 'f/x': 'new' },
      },
    },
    {
      attack: { title: 'a name below a FIFO', layers: [[fifo('f'), file('f/x')]], refused: 'layer-invalid' },
      twin: fine,
    },
  ];
}

function prefixed(prefix: string, shows: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(shows).map(([path, what]) => [`${prefix}/${path}`.replace(/^\/+/, ''), what]),
  );
}

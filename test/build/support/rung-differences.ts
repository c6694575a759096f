/** Which fixtures give another image on a rung than on `root`, and why; docs/isolation.md lists them. */
export type ComparedRung = 'chroot' | 'single';

const otherUser = 'one ID is mapped: USER has no effect';
const noProc = 'there is no /proc';

export const fixturesThatDiffer: Readonly<Record<ComparedRung, Readonly<Record<string, string>>>> = {
  chroot: {
    '127-run-caps': noProc,
    '128-run-user-caps': noProc,
    '252-run-network-none': 'there are no namespaces, and no /sys',
    '253-mount-bind-readonly': 'the copy of a bind mount can be written to',
    '347-mount-spellings': 'copies of mounts can be written to, and a tmpfs has no size',
    '349-run-security-sandbox': noProc,
  },
  single: {
    '068-workdir-user': otherUser,
    '103-run-user': otherUser,
    '104-run-user-numeric': otherUser,
    '105-run-user-uid-only': otherUser,
    '106-run-user-group': otherUser,
    '107-run-user-home-unknown': otherUser,
    '116-run-special-files': 'devices cannot be made',
    '128-run-user-caps': otherUser,
    '177-copy-from-special': 'devices cannot be made',
    '182-copy-into-workdir-user': otherUser,
    '256-mount-cache-owner': otherUser,
  },
};

export function imageDifferenceTable(): string {
  const { chroot, single } = fixturesThatDiffer;
  const cell = (reason: string | undefined) => (reason === undefined ? 'as root' : `differs: ${reason}`);
  const names = [...new Set([...Object.keys(chroot), ...Object.keys(single)])].sort();
  const rows = names.map((name) => `| \`${name}\` | ${cell(single[name])} | ${cell(chroot[name])} |`);
  return ['| fixture | `userns`, one ID | `chroot` |', '|---|---|---|', ...rows].join('\n');
}

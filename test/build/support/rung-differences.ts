/** Which fixtures give another image on a rung than on `root`, and why; docs/isolation.md lists them. */
export type ComparedRung = 'chroot' | 'none' | 'single' | 'userns';

const otherUser = 'one ID is mapped: USER has no effect';
const noProc = 'there is no /proc';
const noDevices = 'devices cannot be made';

export const fixturesThatDiffer: Readonly<Record<ComparedRung, Readonly<Record<string, string>>>> = {
  none: {},
  userns: {
    '116-run-special-files': noDevices,
    '121-run-big-ids': 'IDs beyond the ranges are not mapped',
    '177-copy-from-special': noDevices,
  },
  chroot: {
    '127-run-caps': noProc,
    '128-run-user-caps': noProc,
    '252-run-network-none': 'there are no namespaces, and no /sys',
    '253-mount-bind-readonly': 'the copy of a bind mount can be written to',
    '347-mount-spellings': 'copies of mounts can be written to, and a tmpfs has no size',
    '349-run-security-sandbox': noProc,
    '378-run-etc-hostname': 'there are no namespaces',
  },
  single: {
    '068-workdir-user': otherUser,
    '103-run-user': otherUser,
    '104-run-user-numeric': otherUser,
    '105-run-user-uid-only': otherUser,
    '106-run-user-group': otherUser,
    '107-run-user-home-unknown': otherUser,
    '116-run-special-files': noDevices,
    '128-run-user-caps': otherUser,
    '177-copy-from-special': noDevices,
    '182-copy-into-workdir-user': otherUser,
    '256-mount-cache-owner': otherUser,
    '374-onbuild-chain': otherUser,
  },
};

export function imageDifferenceTable(): string {
  const { userns, single, chroot } = fixturesThatDiffer;
  const cell = (reason: string | undefined) => (reason === undefined ? 'as root' : `differs: ${reason}`);
  const names = [...new Set([userns, single, chroot].flatMap(Object.keys))].sort();
  const rows = names.map(
    (name) => `| \`${name}\` | ${cell(userns[name])} | ${cell(single[name])} | ${cell(chroot[name])} |`,
  );
  return ['| fixture | `userns` | `userns`, one ID | `chroot` |', '|---|---|---|---|', ...rows].join('\n');
}

/** The list of what refers to an image, for `referrers` and `artifact list`. */
import type { ParsedFlags } from './args/flag.ts';
import { type Column, renderRecords } from './print-records.ts';
import { remoteImage, resolveImage, wantedPlatform } from './remote-image.ts';
import type { Session } from './session.ts';
import { formatBytes } from './style.ts';
import type { Wiring } from './wire.ts';

interface ReferrerRow {
  readonly ArtifactType: string;
  readonly Digest: string;
  readonly Size: string;
  readonly Annotations: Readonly<Record<string, string>>;
}

const columns: readonly Column<ReferrerRow>[] = [
  { title: 'ARTIFACT TYPE', value: (row) => row.ArtifactType },
  { title: 'DIGEST', value: (row) => row.Digest },
  { title: 'SIZE', value: (row) => row.Size },
];

/** Heeds `--artifact-type`, `--platform` and `--format`. */
export async function printReferrers(
  wiring: Wiring,
  name: string,
  flags: ParsedFlags,
  session: Session,
): Promise<void> {
  const { signal } = session;
  const artifactType = flags.text('artifact-type');
  const image = await remoteImage(wiring, name);
  const { digest } = await resolveImage(image, wantedPlatform(flags), signal);
  const found = await image.repository.referrers(digest, {
    signal,
    ...(artifactType !== undefined && { artifactType }),
  });
  const rows = found.map((item) => ({
    ArtifactType: item.artifactType ?? item.mediaType,
    Digest: item.digest,
    Size: formatBytes(item.size),
    Annotations: item.annotations ?? {},
  }));
  session.stdout.write(renderRecords(rows, flags.text('format'), columns));
}

/** `tsbuild referrers`: what refers to an image: signatures, attestations, bills of materials. */
import type { Command } from '../command.ts';
import { renderRecords } from '../print-records.ts';
import { remoteImage, resolveImage, wantedPlatform, withRegistry } from '../remote-image.ts';
import { formatBytes } from '../style.ts';

export const referrers: Command = {
  usage: 'referrers [OPTIONS] NAME',
  about: 'Lists the manifests that name an image as their subject: signatures, attestations, bills of materials.',
  flags: [
    { name: 'artifact-type', value: 'TYPE', help: 'only those of a type' },
    { name: 'platform', value: 'OS/ARCH', help: 'ask for the image of a platform' },
    { name: 'format', value: 'FORMAT', help: 'json, or a template such as {{.Digest}}' },
  ],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [name = ''] = flags.positionals;
    const { signal } = session;
    const artifactType = flags.text('artifact-type');
    const found = await withRegistry(session, async (wiring) => {
      const image = await remoteImage(wiring, name);
      const { digest } = await resolveImage(image, wantedPlatform(flags), signal);
      return await image.repository.referrers(digest, { signal, ...(artifactType !== undefined && { artifactType }) });
    });
    const rows = found.map((item) => ({
      ArtifactType: item.artifactType ?? item.mediaType,
      Digest: item.digest,
      Size: formatBytes(item.size),
      Annotations: item.annotations ?? {},
    }));
    const columns = [
      { title: 'ARTIFACT TYPE', value: (row: (typeof rows)[number]) => row.ArtifactType },
      { title: 'DIGEST', value: (row: (typeof rows)[number]) => row.Digest },
      { title: 'SIZE', value: (row: (typeof rows)[number]) => row.Size },
    ];
    session.stdout.write(renderRecords(rows, flags.text('format'), columns));
    return 0;
  },
};

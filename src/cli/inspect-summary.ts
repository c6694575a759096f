/** What `tsbuild inspect` shows to people: a line for each thing that is set. */
import type { InspectedImage } from './inspected-image.ts';
import type { Session } from './session.ts';
import { formatBytes, printable, styleFor, wantsColour } from './style.ts';

export function summaryOf(image: InspectedImage, env: Session['env']): string {
  const style = styleFor(wantsColour(env, true));
  const { Config: config, Manifest: manifest } = image;
  const words = (list: readonly string[] | undefined | null) =>
    (list ?? []).map((word) => JSON.stringify(word)).join(' ');
  const keys = (map: object | undefined | null) => Object.keys(map ?? {});
  const pairs = (map: Readonly<Record<string, string>> | undefined | null) =>
    Object.entries(map ?? {}).map(([key, value]) => `${key}=${value}`);
  const rows: readonly (readonly [title: string, lines: readonly string[]])[] = [
    ['Name', image.RepoTags],
    ['ID', [image.Id]],
    ['Digest', [image.Descriptor.digest]],
    ['Platform', [[image.Os, image.Architecture, image.Variant].filter(Boolean).join('/')]],
    ['Platforms', image.Platforms ?? []],
    ['Created', [image.Created]],
    [
      'Size',
      [`${formatBytes(image.Size)} in ${manifest.Layers.length} ${manifest.Layers.length === 1 ? 'layer' : 'layers'}`],
    ],
    ['Entrypoint', [words(config?.Entrypoint)]],
    ['Command', [words(config?.Cmd)]],
    ['Directory', [config?.WorkingDir ?? '']],
    ['User', [config?.User ?? '']],
    ['Ports', keys(config?.ExposedPorts)],
    ['Volumes', keys(config?.Volumes)],
    ['Environment', config?.Env ?? []],
    ['Labels', pairs(config?.Labels)],
    ['Layers', manifest.Layers.map((layer) => `${layer.digest.slice(0, 19)}  ${formatBytes(layer.size)}`)],
  ];
  return rows
    .map(([title, lines]) => [title, lines.filter((line) => line !== '').map(printable)] as const)
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${style.bold(title.padEnd(13))}${lines.join(`\n${' '.repeat(13)}`)}\n`)
    .join('');
}

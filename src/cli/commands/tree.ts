/** `tsbuild tree`: what a name stands for, drawn as a tree: platforms, layers, sizes, and what refers to it. */
import { allOrNothing, Limiter, TsbuildError } from '../../core/index.ts';
import {
  type Descriptor,
  familiarReference,
  formatPlatform,
  type ImageIndex,
  type ImageManifest,
  isImageConfigType,
  type Platform,
  parseImageConfig,
  parseManifest,
  readBlob,
  readManifest,
} from '../../image/index.ts';
import type { Command } from '../command.ts';
import { type CopySource, openCopySource } from '../ports/copy-places.ts';
import { parseImageAddress, withTransportHint } from '../ports/image-address.ts';
import { withRegistry } from '../remote-image.ts';
import { formatBytes, printable, type Style, styleFor, wantsColour } from '../style.ts';

/** A line and the lines below it. */
export interface TreeNode {
  readonly text: string;
  readonly children: readonly TreeNode[];
}

export const tree: Command = {
  usage: 'tree [OPTIONS] NAME',
  about:
    'Shows what a name stands for: the platforms of an index, their sizes, and what refers to them. NAME is a place as in ' +
    'tsbuild copy: a name in a registry, store://NAME, oci:DIR, an archive.',
  flags: [
    { name: 'layers', short: 'l', help: 'show the layers as well' },
    { name: 'referrers', help: 'show signatures, attestations and what else refers to each image' },
  ],
  examples: [['tsbuild tree --referrers ghcr.io/me/app:1', 'everything there is of an image']],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [word = ''] = flags.positionals;
    const style = styleFor(wantsColour(session.env, session.stdout.isTTY));
    const node = await withRegistry(session, async (wiring) => {
      const { address, source, target } = await withTransportHint([word], async () => {
        const address = parseImageAddress(word);
        const source = await openCopySource(wiring, address, session.signal);
        return { address, source, target: await source.source.resolve(source.name, session.signal) };
      });
      const images = new ImageTree(source, { layers: flags.on('layers'), referrers: flags.on('referrers') }, style);
      const name = address.kind === 'registry' ? familiarReference(address.reference) : word;
      return await images.nodeOf(target, style.bold(printable(name)), session.signal);
    });
    session.stdout.write(drawTree(node));
    return 0;
  },
};

/** The root at the margin, everything else on branches. */
export function drawTree(node: TreeNode): string {
  return `${node.text}\n${branches(node.children, '')}`;
}

function branches(nodes: readonly TreeNode[], margin: string): string {
  return nodes
    .map(({ text, children }, index) => {
      const isLast = index === nodes.length - 1;
      return `${margin}${isLast ? '└─' : '├─'} ${text}\n${branches(children, `${margin}${isLast ? '   ' : '│  '}`)}`;
    })
    .join('');
}

const deepest = 4;
/** Manifests a tree shows: indexes that list one another would make it endless. */
const mostNodes = 10_000;

/** Reads what the tree shows, a few documents at a time. */
class ImageTree {
  readonly #source: CopySource;
  readonly #wishes: { readonly layers: boolean; readonly referrers: boolean };
  readonly #style: Style;
  readonly #limit = new Limiter(8);
  #nodes = 0;

  constructor(source: CopySource, wishes: { readonly layers: boolean; readonly referrers: boolean }, style: Style) {
    this.#source = source;
    this.#wishes = wishes;
    this.#style = style;
  }

  async nodeOf(target: Descriptor, title: string, signal: AbortSignal, depth = 0): Promise<TreeNode> {
    const { source } = this.#source;
    this.#nodes += 1;
    if (this.#nodes > mostNodes) throw tooManyNodes(source.name);
    const bytes = await this.#limit.run(signal, () => readManifest(source, target, signal));
    const document = parseManifest(bytes, target.mediaType);
    const [below, referring] = await Promise.all([
      depth < deepest ? this.#below(document, signal, depth) : [],
      depth < deepest ? this.#referring(target, signal, depth) : [],
    ]);
    return { text: await this.#line(target, document, title, signal), children: [...below, ...referring] };
  }

  async #line(target: Descriptor, document: ImageIndex | ImageManifest, title: string, signal: AbortSignal) {
    const { dim, cyan } = this.#style;
    const digest = dim(target.digest.slice(0, 19));
    if (document.kind === 'index') {
      const count = document.manifests.length;
      return `${title}  ${digest}  index of ${count} ${count === 1 ? 'manifest' : 'manifests'}`;
    }
    const size = document.layers.reduce((sum, layer) => sum + layer.size, document.config.size);
    const platform = target.platform ?? (await this.#platformOf(document, signal));
    const count = document.layers.length;
    const what = platform
      ? `${count} ${count === 1 ? 'layer' : 'layers'}`
      : printable(document.artifactType ?? document.config.mediaType);
    // The platform is the title already where an index names it.
    const shown = platform && !target.platform ? `${cyan(formatPlatform(platform))}  ` : '';
    return `${title}  ${shown}${digest}  ${what}, ${formatBytes(size)}`;
  }

  async #below(document: ImageIndex | ImageManifest, signal: AbortSignal, depth: number): Promise<readonly TreeNode[]> {
    if (document.kind === 'index') {
      return await allOrNothing(
        signal,
        document.manifests.map((child) => (inner) => this.#childOf(child, inner, depth)),
      );
    }
    if (!this.#wishes.layers) return [];
    return document.layers.map((layer) => ({ text: this.#layerLine(layer), children: [] }));
  }

  async #childOf(child: Descriptor, signal: AbortSignal, depth: number): Promise<TreeNode> {
    const { cyan, yellow, dim } = this.#style;
    const about = child.annotations?.['vnd.docker.reference.type'];
    const title = about
      ? yellow(printable(about.replace(/-manifest$/, '')))
      : cyan(printable(child.platform ? formatPlatform(child.platform) : (child.artifactType ?? 'no platform')));
    try {
      return await this.nodeOf(child, title, signal, depth + 1);
    } catch (error) {
      if (signal.aborted || !(error instanceof Error) || !('code' in error) || !isMissing(error.code)) throw error;
      return { text: `${title}  ${dim(child.digest.slice(0, 19))}  not here`, children: [] };
    }
  }

  async #referring(target: Descriptor, signal: AbortSignal, depth: number): Promise<readonly TreeNode[]> {
    const { referrers } = this.#source;
    if (!this.#wishes.referrers || !referrers) return [];
    const found = await this.#limit.run(signal, () => referrers(target, signal));
    return await allOrNothing(
      signal,
      found.map((item) => (inner) => this.nodeOf(item, this.#style.yellow('referrer'), inner, depth + 1)),
    );
  }

  /** What the configuration says, of what has one. */
  async #platformOf(document: ImageManifest, signal: AbortSignal): Promise<Platform | undefined> {
    if (!isImageConfigType(document.config.mediaType)) return undefined;
    const { os, architecture, variant } = parseImageConfig(
      await this.#limit.run(signal, () => readBlob(this.#source.source, document.config, signal)),
    );
    return { os, architecture, ...(variant !== undefined && { variant }) };
  }

  #layerLine(layer: Descriptor): string {
    const title = layer.annotations?.['org.opencontainers.image.title'];
    const kind = layer.mediaType.replace(
      /^application\/vnd\.(oci\.image\.layer\.v1|docker\.image\.rootfs\.diff)\./,
      '',
    );
    return `${this.#style.dim(layer.digest.slice(0, 19))}  ${formatBytes(layer.size)}  ${printable(title ?? kind)}`;
  }
}

/** What an index names and its place has not got: another platform that was never fetched. */
function isMissing(code: unknown): boolean {
  return code === 'blob-missing' || code === 'registry-not-found';
}

function tooManyNodes(place: string): TsbuildError {
  return new TsbuildError({
    code: 'manifest-invalid',
    message: `${place}: the indexes list more than ${mostNodes} manifests`,
    hint: 'No honest image has so many: do not use it.',
  });
}

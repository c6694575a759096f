/** FROM. */

import type { FromInstruction } from '../types.ts';
import { type Common, commonOf } from './common.ts';
import { readFlags } from './flags.ts';
import { argumentsRange, type InstructionLine, wordOf } from './line.ts';
import { lineWords } from './structure.ts';

export function readFrom(on: InstructionLine): FromInstruction | undefined {
  const [image, as, name, ...more] = lineWords(on.line.text, on.from, on.to);
  const flags = readFlags('FROM', on.flags, { platform: 'string' }, on.range, on.report);
  const platform = flags.one('platform');
  const common: Common = commonOf(on);
  const isNamed = as !== undefined && /^as$/i.test(as.text);
  if (image === undefined) {
    on.report.error(
      'dockerfile-arguments',
      argumentsRange(on),
      'FROM names no image',
      'Write FROM <image>, or FROM scratch.',
    );
    return undefined;
  }
  if ((as !== undefined && !isNamed) || more.length > 0 || (isNamed && name === undefined)) {
    const wrong = isNamed ? (more[0] ?? as) : as;
    on.report.error(
      'dockerfile-arguments',
      wrong ? on.range(wrong.start, more.length > 0 && !isNamed ? on.to : wrong.end) : argumentsRange(on),
      isNamed && name === undefined ? 'FROM … AS names no stage' : 'FROM takes an image, or an image AS a name',
      `Write FROM ${image.text} AS <name>.`,
    );
    return undefined;
  }
  const lower = name?.text.toLowerCase();
  if (name !== undefined && lower !== undefined && !/^[a-z][a-z0-9\-_.]*$/.test(lower)) {
    on.report.error(
      'dockerfile-stage-name',
      on.range(name.start, name.end),
      `'${name.text}' cannot name a stage`,
      'A stage name begins with a letter and has only letters, digits, -, _ and the full stop.',
    );
    return undefined;
  }
  return {
    kind: 'from',
    ...common,
    image: wordOf(on, image),
    ...(platform && platform.value !== '' && { platform: { raw: platform.value, range: platform.range } }),
    ...(name !== undefined && lower !== undefined && { name: lower, nameWord: wordOf(on, name) }),
    ...(as !== undefined && { asKeyword: as.text }),
  };
}

/** What each instruction does to a stage, metadata first. History texts are BuildKit's, word for word. */
import posix from 'node:path/posix';
import { assertNever, suggestion } from '../../core/index.ts';
import type { HealthConfig } from '../../image/index.ts';
import {
  type ArgInstruction,
  expandWords,
  type HealthcheckInstruction,
  type StageInstruction,
} from '../dockerfile/index.ts';
import { dispatchCopy } from './dispatch-copy.ts';
import { dispatchRun } from './dispatch-run.ts';
import { goList, goQuotedList, goStruct, pairText } from './go-format.ts';
import { describedAs } from './outline.ts';
import { parsePorts } from './ports.ts';
import { withShell } from './shell-form.ts';
import { isSignal, nearestSignal } from './signals.ts';
import type { StageState } from './stage-state.ts';
import { steeringArguments } from './variables.ts';

export function dispatch(state: StageState, instruction: StageInstruction): void {
  switch (instruction.kind) {
    case 'run':
      return dispatchRun(state, instruction);
    case 'copy':
    case 'add':
      return dispatchCopy(state, instruction);
    case 'workdir':
      return dispatchWorkdir(state, instruction, state.expand(instruction.word));
    case 'env': {
      const { expand } = state;
      const pairs = instruction.pairs.map((pair) => ({ name: expand(pair.name), value: expand(pair.value) }));
      for (const { name, value } of pairs) state.defineInImage(name, value);
      return state.commit(`ENV ${pairs.map(pairText).join(' ')}`);
    }
    case 'label': {
      const { expand } = state;
      const pairs = instruction.pairs.map((pair) => ({ name: expand(pair.name), value: expand(pair.value) }));
      for (const { name, value } of pairs) state.label(name, value);
      return state.commit(`LABEL ${pairs.map(pairText).join(' ')}`);
    }
    case 'arg':
      return dispatchArg(state, instruction);
    case 'cmd': {
      const args = withShell(state, instruction.command);
      state.configure({ Cmd: args, ArgsEscaped: true });
      state.commandSet = true;
      return state.commit(`CMD ${goQuotedList(args)}`);
    }
    case 'entrypoint': {
      const args = withShell(state, instruction.command);
      state.configure({ Entrypoint: args });
      // A CMD of the base was meant for the base's entrypoint.
      if (!state.commandSet) dropCommand(state);
      return state.commit(`ENTRYPOINT ${goQuotedList(args)}`);
    }
    case 'shell':
      state.configure({ Shell: instruction.args });
      return state.commit(`SHELL ${goList(instruction.args)}`);
    case 'user': {
      const user = state.expand(instruction.word);
      state.configure({ User: user });
      return state.commit(`USER ${user}`);
    }
    case 'stopsignal': {
      const signal = state.expand(instruction.word);
      if (!isSignal(signal)) {
        const near = nearestSignal(signal);
        throw state.fail(instruction.word.range, {
          code: 'plan-value-invalid',
          message: `${JSON.stringify(signal)} is not a signal${suggestion(near)}`,
          hint: near === undefined ? 'Write a name such as SIGTERM or a number from 1 to 64.' : `Write ${near}.`,
        });
      }
      state.configure({ StopSignal: signal });
      return state.commit(`STOPSIGNAL ${signal}`);
    }
    case 'maintainer':
      state.image = { ...state.image, author: instruction.word.raw };
      return state.commit(`MAINTAINER ${instruction.word.raw}`);
    case 'expose': {
      // Sorted as written, before their variables are known: BuildKit's order in the history.
      const words = instruction.words.toSorted((a, b) => (a.raw < b.raw ? -1 : a.raw > b.raw ? 1 : 0));
      const ports = words.flatMap(({ raw, range }) =>
        expandSplit(state, raw).flatMap((text) => {
          const parsed = parsePorts(text);
          if (typeof parsed === 'string') {
            throw state.fail(range, {
              code: 'plan-value-invalid',
              message: `EXPOSE ${text}: ${parsed}`,
              hint: 'Write a port or a range from 1 to 65535, with /tcp, /udp or /sctp: 8080, 8000-8010/udp.',
            });
          }
          return parsed;
        }),
      );
      state.configure({
        ExposedPorts: { ...state.config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) },
      });
      return state.commit(`EXPOSE ${goList(ports)}`);
    }
    case 'volume': {
      const { expand } = state;
      const volumes = instruction.words.map((word) => {
        const volume = expand(word);
        if (volume !== '') return volume;
        throw state.fail(word.range, {
          code: 'plan-value-invalid',
          message: 'a VOLUME cannot be empty',
          hint: 'Write the path of a directory.',
        });
      });
      state.configure({
        Volumes: { ...state.config.Volumes, ...Object.fromEntries(volumes.map((volume) => [volume, {}])) },
      });
      return state.commit(`VOLUME ${goList(volumes)}`);
    }
    case 'healthcheck': {
      const health = healthConfig(instruction);
      state.configure({ Healthcheck: health });
      return state.commit(`HEALTHCHECK ${goStruct(health)}`);
    }
    case 'onbuild':
      return state.configure({ OnBuild: [...(state.config.OnBuild ?? []), instruction.trigger] });
    default:
      return assertNever(instruction);
  }
}

/** As in BuildKit, an absolute path stands in the image as it was written: with its slash at the end, if it has one. */
function dispatchWorkdir(state: StageState, instruction: StageInstruction, text: string): void {
  const written = text.startsWith('/') ? text : posix.resolve('/', state.workdir, text);
  const path = posix.resolve('/', written);
  state.configure({ WorkingDir: written });
  if (path === '/') return state.commit(`WORKDIR ${written}`);
  state.addStep(instruction, { kind: 'make-directory', path, user: state.config.User ?? '' }, `WORKDIR ${written}`);
}

function dispatchArg(state: StageState, instruction: ArgInstruction): void {
  const { options, globals } = state.setting;
  const texts: string[] = [];
  for (const { name, value } of instruction.args) {
    const key = state.expand(name);
    // Later names of the same ARG see the earlier ones.
    const chosen = options.buildArgs[key] ?? (value ? state.expand(value) : globals.get(key));
    if (chosen !== undefined && !steeringArguments.has(key)) state.define(key, chosen);
    state.declare(key, chosen);
    const description = describedAs(instruction, key);
    state.ownArgs.push({
      name: key,
      own: value !== undefined || options.buildArgs[key] !== undefined || !globals.has(key),
      range: instruction.range,
      ...(chosen !== undefined && { value: chosen }),
      ...(description !== undefined && { description }),
    });
    texts.push(chosen === undefined ? key : `${key}=${chosen}`);
  }
  state.commit(`ARG ${texts.join(' ')}`);
}

function dropCommand(state: StageState): void {
  const { Cmd: _, ...config } = state.config;
  state.image = { ...state.image, config };
}

function expandSplit(state: StageState, raw: string): readonly string[] {
  return expandWords(raw, { escape: state.setting.parsed.directives.escape, lookup: state.lookup }).words;
}

function healthConfig({ check }: HealthcheckInstruction): HealthConfig {
  if (check.kind === 'none') return { Test: ['NONE'] };
  const { command } = check;
  return {
    Test: command.form === 'shell' ? ['CMD-SHELL', command.text] : ['CMD', ...command.args],
    ...(check.interval !== 0 && { Interval: check.interval }),
    ...(check.timeout !== 0 && { Timeout: check.timeout }),
    ...(check.startPeriod !== 0 && { StartPeriod: check.startPeriod }),
    ...(check.startInterval !== 0 && { StartInterval: check.startInterval }),
    ...(check.retries !== 0 && { Retries: check.retries }),
  };
}

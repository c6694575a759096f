/** What the action leaves for later steps: outputs and the job's summary, in the runner's files. */
import { appendFile } from 'node:fs/promises';
import { type BuildOutcome, buildMetadata, formatDuration, imageIdOf, platformsOf } from '../cli/index.ts';
import type { Environment } from './inputs.ts';

/** Appends `imageid`, `digest` and `metadata` to GITHUB_OUTPUT. @param delimiter unguessable */
export async function writeOutputs(outcome: BuildOutcome, env: Environment, delimiter: string): Promise<void> {
  if (!env.GITHUB_OUTPUT) return;
  const metadata = buildMetadata(outcome, env);
  const values = {
    imageid: imageIdOf(outcome.result),
    digest: String(metadata['containerimage.digest']),
    metadata: JSON.stringify(metadata, null, 2),
  };
  const text = Object.entries(values).map(([name, value]) => `${name}<<${delimiter}\n${value}\n${delimiter}\n`);
  await appendFile(env.GITHUB_OUTPUT, text.join(''));
}

/** Appends a short table to GITHUB_STEP_SUMMARY. */
export async function writeSummary(outcome: BuildOutcome, milliseconds: number, env: Environment): Promise<void> {
  if (!env.GITHUB_STEP_SUMMARY) return;
  const { result, pushed } = outcome;
  const rows: (readonly [string, string])[] = [
    ...result.tags.map((tag) => ['Name', code(tag)] as const),
    ...[...platformsOf(result)].map(
      ([platform, id], _, all) => [`Image ID${all.length > 1 ? ` (${platform})` : ''}`, code(id)] as const,
    ),
    ...[...pushed].map(([name, target]) => ['Pushed', code(`${name}@${target.digest}`)] as const),
    ['Time', formatDuration(milliseconds)],
  ];
  const table = rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n');
  await appendFile(env.GITHUB_STEP_SUMMARY, `### Image built by tsbuild\n\n| | |\n|---|---|\n${table}\n\n`);
}

export async function writeFailureSummary(message: string, env: Environment): Promise<void> {
  if (!env.GITHUB_STEP_SUMMARY) return;
  const quoted = message.split('\n').map((line) => `    ${line}`);
  await appendFile(env.GITHUB_STEP_SUMMARY, `### tsbuild failed\n\n${quoted.join('\n')}\n\n`);
}

function code(text: string): string {
  return `\`${text.replaceAll('`', '').replaceAll('|', '\\|')}\``;
}

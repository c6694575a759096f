/** Says after a run what was skipped, and why: the reason stands in the note of the skip, or in the title. */
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node';

export class SkipReporter implements Reporter {
  #filtered = false;

  onInit(vitest: Vitest): void {
    // What a name pattern leaves out counts as skipped, too.
    this.#filtered = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (this.#filtered) return;
    const counts = new Map<string, number>();
    for (const module of modules) {
      for (const test of module.children.allTests('skipped')) {
        const why = `${module.relativeModuleId}: ${reasonOf(test)}`;
        counts.set(why, (counts.get(why) ?? 0) + 1);
      }
    }
    if (counts.size === 0) return;
    console.log('Skipped, and why:');
    for (const [why, count] of counts) console.log(`  ${count} ${count === 1 ? 'test' : 'tests'} of ${why}`);
  }
}

function reasonOf(test: TestCase): string {
  const result = test.result();
  if (result.state === 'skipped' && result.note !== undefined) return `${test.fullName}: ${result.note}`;
  // A whole suite is skipped for one reason.
  return test.parent.type === 'suite' ? test.parent.fullName : test.fullName;
}

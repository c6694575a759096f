/** Attempts on the host through a whole build, on each rung: what lies in places between steps is hostile, too. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { type Finished, mustRun, run } from '../support/command.ts';
import { asContainerRoot, asUser } from '../support/rung-prefixes.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';

/** No user has it. */
const ordinary = 54_326;
const prefixes = { root: [], single: asUser(ordinary), chroot: asContainerRoot } as const;

for (const rung of ['root', 'single', 'chroot'] as const) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`a build on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    let work: BuildWorkspace;
    let home: string;
    beforeAll(async () => {
      work = buildWorkspace(`escape-${rung}`);
      home = `${work.path}/of-${rung}`;
      mkdirSync(home);
      if (rung === 'single') await mustRun('chown', [`${ordinary}:${ordinary}`, home]);
    });
    afterAll(async () => await work[Symbol.asyncDispose]());

    function build(context: string, args: readonly string[] = [], env: Record<string, string> = {}): Promise<Finished> {
      const isolation = rung === 'single' ? 'userns' : rung;
      const [program = process.execPath, ...rest] = [
        ...[...prefixes[rung], process.execPath, commandPath, 'build', '--progress', 'plain'],
        ...[`--isolation=${isolation}`, ...work.bases, ...args, context],
      ];
      return run(program, rest, { cwd: '/', env: { ...tsbuildEnvironment(`${home}/store`), HOME: home, ...env } });
    }

    /** A place of the host anyone may write to. */
    function outside(name: string): string {
      const path = join(work.path, name);
      mkdirSync(path);
      writeFileSync(join(path, 'f'), 'canary-of-the-host\n');
      chmodSync(path, 0o777);
      chmodSync(join(path, 'f'), 0o666);
      return path;
    }

    test('never shows or changes what a step left links to in the place of a cache, a tmpfs or a bind', async () => {
      const host = outside('places');
      const mounts =
        '--mount=type=cache,target=/c/cache --mount=type=tmpfs,target=/c/tmp --mount=type=bind,target=/c/bind,rw';
      const replace = `for n in cache tmp bind; do rm -rf /c/$n; mv /c/$n /c/old; ln -s ${host} /c/$n; done 2>/dev/null`;
      const context = work.context('places-context', {
        Dockerfile: `FROM base
RUN ${mounts} ${replace}; mkdir -p /c/cache/sub 2>/dev/null; ln -s ${host}/f /c/cache/f; true
RUN ${mounts} mv /c /d; ln -s ${host} /c; true
RUN ${mounts} cat /c/cache/f /d/cache/f 2>/dev/null; ls /c/cache /c/tmp /c/bind; echo end
`,
      });
      const finished = await build(context);
      expect(finished.stderr).toMatch(/end$/m);
      expect(finished.stderr).not.toContain('canary-of-the-host');
      expect(readdirSync(host)).toEqual(['f']);
      expect(readFileSync(join(host, 'f'), 'utf8')).toBe('canary-of-the-host\n');
    });

    test('keeps a cache whose name or source leads up inside the cache', async () => {
      const host = outside('names');
      const context = work.context('names-context', {
        Dockerfile: `FROM base
RUN --mount=type=cache,id=../../../../..${host},target=/c echo x > /c/made; ls /c
RUN --mount=type=cache,id=b,source=../../../../..${host},target=/c ls /c
`,
      });
      const finished = await build(context);
      expect(finished.stderr).not.toMatch(/^#\d+ [\d.]+ f$/m);
      expect(readdirSync(host)).toEqual(['f']);
    });

    test('has a secret in no file of the store, the image or the log', async () => {
      const canary = `canary-${process.pid}-${rung}`;
      const context = work.context('secret-context', {
        Dockerfile: `FROM base
RUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S [ "$S" = "$(cat /run/secrets/s)" ] && echo same
RUN --mount=type=secret,id=s,target=/deep/in/here ! mv /deep /other; true
`,
      });
      const finished = await build(
        context,
        ['--secret', 'id=s,env=CANARY', '-t', 'secret:1', '-o', `type=oci,tar=false,dest=${home}/image`],
        { CANARY: canary },
      );
      expect(finished.code, finished.stderr).toBe(0);
      expect(finished.stderr).toMatch(/same$/m);
      const searched = await run('grep', ['-r', '-l', canary, home]);
      expect([searched.code, searched.text]).toEqual([1, '']);
    });

    test.each([
      ['--network=host', 'network.host'],
      ['--security=insecure', 'security.insecure'],
    ])('refuses %s that the command line does not allow', async (flag, entitlement) => {
      const finished = await build(
        work.context(`allow-${entitlement}`, { Dockerfile: `FROM base\nRUN ${flag} true\n` }),
      );
      expect(finished.code).toBe(1);
      expect(finished.stderr).toContain(`--allow ${entitlement}`);
    });
  });
}

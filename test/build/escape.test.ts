/** Attempts on the host through a whole build, on each rung: what lies in places between steps is hostile, too. */
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { type Finished, mustRun, run } from '../support/command.ts';
import { type OrdinaryUser, ordinaryUser } from '../support/ordinary-user.ts';
import { asContainerRoot, asUser } from '../support/rung-prefixes.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';

/** No user has it. */
const ordinary = 54_326;

/** None of them is a key or a type of BuildKit's mounts; an engine with others might have bound, shared or opened something of the host. */
const unknownMountOptions = [
  'type=bind,target=/x,bind-propagation=rshared',
  ...['rshared', 'rslave', 'rbind'].map((option) => `type=bind,target=/x,${option}`),
  'type=cache,target=/x,bind-recursive=enabled',
  'type=cache,target=/x,sharing=rshared',
  'type=bind,target=/x,sharing=shared',
  'type=tmpfs,target=/x,options=dev',
  'type=tmpfs,target=/x,suid',
  'type=volume,target=/x',
  'type=proc,target=/x',
  'type=$TYPE,target=/x',
  'type=,target=/x',
  '"type=bind,target=/x","bind-propagation=rshared"',
  'type=bind,target=/x,BIND-PROPAGATION=rshared',
];

for (const rung of ['root', 'userns', 'single', 'chroot', 'none'] as const) {
  const reason = rung === 'none' ? undefined : await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`a build on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    let work: BuildWorkspace;
    let home: string;
    let user: OrdinaryUser | undefined;
    let prefix: readonly string[] = [];
    beforeAll(async () => {
      work = buildWorkspace(`escape-${rung}`);
      home = `${work.path}/of-${rung}`;
      mkdirSync(home);
      if (rung === 'userns') user = await ordinaryUser();
      const owner = user?.uid ?? (rung === 'single' ? ordinary : 0);
      await mustRun('chown', [`${owner}:${owner}`, home]);
      prefix = rung === 'chroot' ? asContainerRoot : owner === 0 ? [] : asUser(owner);
    });
    afterAll(async () => {
      await work[Symbol.asyncDispose]();
      await user?.[Symbol.asyncDispose]();
    });

    function build(context: string, args: readonly string[] = [], env: Record<string, string> = {}): Promise<Finished> {
      const isolation = rung === 'single' ? 'userns' : rung;
      const [program = process.execPath, ...rest] = [
        ...[...prefix, process.execPath, commandPath, 'build', '--progress', 'plain'],
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

    test('refuses mount keys and types there are not, those of propagation among them, before anything runs', async () => {
      const accepted: string[] = [];
      for (const option of unknownMountOptions) {
        const finished = await build(
          work.context('unknown-mount', {
            Dockerfile: `FROM base\nARG TYPE=volume\nRUN echo before\nRUN --mount=${option} echo with\n`,
          }),
        );
        const refused = finished.code === 1 && /\[(dockerfile-mount|plan-value-invalid)\]$/m.test(finished.stderr);
        if (!refused || /^#\d+ [\d.]+ (before|with)$/m.test(finished.stderr)) {
          accepted.push(`${option}: ${finished.code}\n${finished.stderr}`);
        }
      }
      expect(accepted).toEqual([]);
    });

    // There is no step to do what follows.
    if (rung === 'none') return;

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

    test('meets no file of the host through a cache that other builds fill with links meanwhile', async () => {
      const host = outside('cache-race');
      mkdirSync(join(host, 'empty'));
      chmodSync(join(host, 'empty'), 0o777);
      const cache = '--mount=type=cache,id=race,target=/cache';
      const swap = `mkdir -p t; for i in $(seq 100); do mv t x; ln -s ${host} t; rm -f t; ln -s /proc/self/fd/5 t; rm -f t; mv x t; done`;
      // Where a cache is a copy, it is what a step leaves that the next one meets: by turns a directory and a link.
      const leave = [
        `rm -rf t; ln -s ${host} t`,
        'rm -rf t; mkdir t',
        `mkdir -p t; rm -rf t/empty; ln -s ${host}/empty t/empty`,
      ];
      const attack = work.context('cache-attack', {
        Dockerfile: `FROM base\n${leave
          .map((last) => `RUN ${cache} cd /cache; (${swap}) 2>/dev/null; ${last}\n`)
          .join('')
          .repeat(3)}`,
      });
      const victim = work.context('cache-victim', {
        Dockerfile: `FROM base
RUN ${cache} --mount=type=tmpfs,target=/cache/t/empty --mount=type=secret,id=s,target=/cache/t/f \\
  --mount=type=bind,target=/cache/t/new cat /cache/t/f; echo x > /cache/t/empty/made; echo end
`,
      });
      let attacking = true;
      const attacker = build(attack, ['--no-cache']).finally(() => {
        attacking = false;
      });
      const outcomes = new Set<string>();
      for (let round = 0; round < 3 || (attacking && round < 60); round++) {
        const { code, stderr } = await build(victim, ['--no-cache', '--secret', 'id=s,env=WORD'], {
          WORD: 'own-secret',
        });
        outcomes.add(code === 0 ? 'ran' : (/\[([a-z-]+)\]$/m.exec(stderr)?.[1] ?? stderr));
        expect(stderr).not.toContain('canary-of-the-host');
      }
      const attacked = await attacker;
      expect(attacked.code, attacked.stderr).toBe(0);
      expect(attacked.stderr).not.toContain('canary-of-the-host');
      const expected = ['ran', 'sandbox-mount-failed', 'sandbox-setup-failed'];
      expect([...outcomes].filter((outcome) => !expected.includes(outcome))).toEqual([]);
      expect(readdirSync(host, { recursive: true }).sort()).toEqual(['empty', 'f']);
      expect(readFileSync(join(host, 'f'), 'utf8')).toBe('canary-of-the-host\n');
    }, 120_000);

    test('meets no file of the host through a mount source of the context that is swapped for links meanwhile', async () => {
      const host = outside('source-race');
      const context = work.context('source-context', {
        Dockerfile: 'FROM base\nRUN --mount=type=bind,source=a,target=/m cat /m/f; echo end\n',
        'a/f': 'inside\n',
      });
      const script = `while :; do mv a x; ln -s ${host} a; rm a; mv x a; usleep 20000; done 2>/dev/null`;
      const swapper = spawn('busybox', ['sh', '-c', script], { cwd: context, stdio: 'ignore', detached: true });
      try {
        const outcomes = new Set<string>();
        for (let round = 0; round < 10; round++) {
          const { code, stderr } = await build(context, ['--no-cache']);
          const shown = /^#\d+ [\d.]+ (inside|canary-of-the-host)$/m.exec(stderr)?.[1] ?? 'nothing';
          outcomes.add(code === 0 ? shown : (/\[([a-z-]+)\]$/m.exec(stderr)?.[1] ?? stderr));
        }
        expect([...outcomes]).not.toContain('canary-of-the-host');
      } finally {
        if (swapper.pid !== undefined) process.kill(-swapper.pid, 'SIGKILL');
      }
    }, 60_000);

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

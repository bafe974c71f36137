/** One test per spec: each permutation played on PostgreSQL and on Oxbow, the notes compared. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';
import { permutationsOf, Stage, type Spec } from './player.js';

export interface Servers { oracle: Oracle; server: TestServer }

/** Both servers, started before and stopped after the file's tests. */
export function bothServers(settings: Readonly<Record<string, string>> = {}): Servers {
  const servers = {} as Servers;
  beforeAll(async () => {
    const args = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
    [servers.oracle, servers.server] = await Promise.all([startOracle({ settings }), startTestServer({ args })]);
  });
  afterAll(async () => {
    await servers.server?.stop();
    await servers.oracle?.stop();
  });
  return servers;
}

export function testSpecs(specs: readonly Spec[], servers: Servers): void {
  for (const spec of specs) {
    test(spec.name, { timeout: 30_000 }, async () => {
      const postgres = await Stage.open(servers.oracle.port, spec);
      const oxbow = await Stage.open(servers.server.port, spec);
      try {
        const differing: string[] = [];
        for (const permutation of permutationsOf(spec)) {
          const [expected, actual] = await Promise.all([postgres.play(permutation), oxbow.play(permutation)]);
          if (JSON.stringify(expected) === JSON.stringify(actual)) continue;
          const lines = (log: unknown[]): string => log.map((line) => `    ${JSON.stringify(line)}`).join('\n');
          differing.push(`${permutation.join(' ')}\n  postgres:\n${lines(expected)}\n  oxbow:\n${lines(actual)}`);
        }
        expect(differing.length, differing.slice(0, 5).join('\n')).toBe(0);
      } finally {
        await postgres.close();
        await oxbow.close();
      }
    });
  }
}

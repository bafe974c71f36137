/**
 * Thousands of concurrent transactions at each level, and none of the anomalies that the level
 * forbids; the same while the server is killed and started again. `OXBOW_HISTORY_SEED` replays the choices of a run,
 * `OXBOW_HISTORY_TRANSACTIONS` sets how many each client runs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../harness/server.js';
import { findAnomalies, FORBIDDEN } from './checker.js';
import { prepareWorkload, runWorkload, type WorkloadOptions } from './workload.js';

const SEED = Number(process.env.OXBOW_HISTORY_SEED ?? Date.now() % 1_000_000);
const PER_CLIENT = Number(process.env.OXBOW_HISTORY_TRANSACTIONS ?? 100);
const CLIENTS = 16;
const KEYS = 8;

const LEVELS = ['read committed', 'repeatable read', 'serializable'] as const;

describe(`histories with seed ${SEED}`, () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server?.stop());

  for (const shape of ['lists', 'registers'] as const) {
    for (const level of LEVELS) {
      test(`${shape} at ${level}`, { timeout: 120_000 }, async () => {
        const options: WorkloadOptions = { shape, level, clients: CLIENTS, transactionsPerClient: PER_CLIENT, keys: KEYS, seed: SEED, port: () => server.port };
        await prepareWorkload(options);
        const history = await runWorkload(options);
        const found = findAnomalies(history);
        const committed = history.transactions.filter((transaction) => transaction.outcome === 'committed').length;
        console.log(`seed ${SEED}: ${shape} at ${level}: ${history.transactions.length} transactions, ${committed} committed; ${found.length === 0 ? 'no anomaly' : `allowed: ${[...new Set(found.map((anomaly) => anomaly.kind))].join(', ')}`}`);
        expect(found.filter((anomaly) => FORBIDDEN[level]!.includes(anomaly.kind))).toEqual([]);
        expect(committed).toBeGreaterThan(PER_CLIENT);
      });
    }
  }
});

describe(`histories over kill -9 with seed ${SEED}`, () => {
  for (const level of ['repeatable read', 'serializable'] as const) {
    test(`lists at ${level}`, { timeout: 90_000 }, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'oxbow-history-'));
      let server = await startTestServer({ directory });
      let running = true;
      let kills = 0;
      const options: WorkloadOptions = { shape: 'lists', level, clients: CLIENTS, transactionsPerClient: PER_CLIENT, keys: KEYS, seed: SEED + 1, port: () => server.port };
      await prepareWorkload(options);
      const killer = (async () => {
        while (running && kills < 4) {
          await new Promise((resolve) => setTimeout(resolve, 300));
          if (!running) return;
          await server.kill();
          kills++;
          server = await startTestServer({ directory });
        }
      })();
      try {
        const history = await runWorkload(options);
        running = false;
        await killer;
        const found = findAnomalies(history);
        const unknown = history.transactions.filter((transaction) => transaction.outcome === 'unknown').length;
        console.log(`seed ${SEED + 1}: lists at ${level}: ${history.transactions.length} transactions over ${kills} kills, ${unknown} of unknown outcome`);
        expect(found.filter((anomaly) => FORBIDDEN[level]!.includes(anomaly.kind))).toEqual([]);
        expect(kills).toBeGreaterThan(0);
      } finally {
        running = false;
        await killer;
        await server.stop();
        rmSync(directory, { recursive: true, force: true });
      }
    });
  }
});

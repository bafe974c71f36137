/**
 * Seeded simulations of engine and sessions (world.ts): 300 new seeds each time, and every seed that ever failed.
 *
 *     OXBOW_SEED=n           replays one seed (OXBOW_SIMULATION_TRACE=1 prints what every client saw)
 *     OXBOW_SIMULATIONS=n    that many seeds, OXBOW_SIMULATION_STEPS=n transactions per client
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SimulationFailure, World } from './world.js';

const FAILED = JSON.parse(readFileSync(new URL('failed-seeds.json', import.meta.url), 'utf8')) as { seed: number; steps: number; what: string }[];
const COUNT = Number(process.env.OXBOW_SIMULATIONS ?? 300);
const STEPS = Number(process.env.OXBOW_SIMULATION_STEPS ?? 12);
const FIRST = process.env.OXBOW_SEED === undefined ? 1 + Math.floor(Math.random() * 1e9) : Number(process.env.OXBOW_SEED);

async function play(seeds: readonly number[], steps = STEPS): Promise<string> {
  const totals = { transactions: 0, committed: 0, crashes: 0, faults: 0 };
  for (const seed of seeds) {
    try {
      const { transactions, committed, crashes, faults } = await new World(seed).run(steps);
      totals.transactions += transactions;
      totals.committed += committed;
      totals.crashes += crashes;
      totals.faults += faults.length;
    } catch (error) {
      if (error instanceof SimulationFailure) throw error;
      throw new SimulationFailure(`seed ${seed}: ${(error as Error).stack ?? String(error)}`);
    }
  }
  return `${totals.transactions} transactions, ${totals.committed} committed, ${totals.crashes} crashes, ${totals.faults} faults`;
}

if (process.env.OXBOW_SEED === undefined) {
  it('the same seed gives the same run, whatever ran before', async () => {
    for (const seed of [FIRST, FIRST + 1, FIRST + 2]) {
      const first = await new World(seed).run(STEPS);
      await new World(seed + 1000).run(STEPS);
      const second = await new World(seed).run(STEPS);
      expect({ seed, ...second }).toEqual({ seed, ...first });
    }
  }, 120_000);

  it('a server that does not sync its log is found out', async () => {
    const found: string[] = [];
    for (let seed = FIRST; seed < FIRST + 30 && found.length === 0; seed++)
      await new World(seed, { sync: false }).run(STEPS).catch((error: unknown) => found.push((error as Error).message));
    expect(found[0]).toMatch(/lost write|a crash at rest changed the lists|sum up to|damaged|the commit log ends at/);
  }, 120_000);

  it(`seeds that failed once (${FAILED.length})`, async () => {
    for (const { seed, steps } of FAILED) await play([seed], steps);
  }, 120_000);
}

it(`seeds ${FIRST} to ${FIRST + (process.env.OXBOW_SEED === undefined ? COUNT : 1) - 1}`, async () => {
  const count = process.env.OXBOW_SEED === undefined ? COUNT : 1;
  console.log(`simulation: seeds ${FIRST} to ${FIRST + count - 1}, ${STEPS} transactions per client`);
  console.log(`  ${await play(Array.from({ length: count }, (_, i) => FIRST + i))}`);
}, 60_000 + COUNT * 2000);

/**
 * Random expressions over numeric, floats, dates and intervals on PostgreSQL 16 and on Oxbow. The seed
 * is printed with every failure; FUZZ_SEED replays it, FUZZ_COUNT asks for more.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compareScript, connect, describeDifference } from '../harness/compare.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const seed = Number(process.env.FUZZ_SEED ?? 16);
const count = Number(process.env.FUZZ_COUNT ?? 250);
let oracle: Oracle;
let server: TestServer;

beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
});
afterAll(async () => {
  await server?.stop();
  await oracle?.stop();
});

/** Statements of a seed: a linear congruential generator picks every digit. */
function statements(from: number): string[] {
  let state = from;
  const random = (): number => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
  const below = (n: number): number => Math.floor(random() * n);
  const pick = <T>(list: readonly T[]): T => list[Math.min(below(list.length), list.length - 1)]!;
  const digits = (n: number): string => Array.from({ length: n }, () => below(10)).join('');
  const magnitude = (): string => pick([
    () => String(below(1000)), () => `${below(1000)}.${digits(1 + below(6))}`, () => `0.${'0'.repeat(below(8))}${digits(1 + below(8))}`,
    () => `${1 + below(9)}${digits(below(25))}.${digits(below(12))}0`, () => `${below(100)}e${below(40) - 20}`,
  ])();
  const positive = (): string => `'${magnitude()}'::numeric`;
  const numeric = (): string => `'${random() < 0.25 ? '-' : ''}${magnitude()}'::numeric`;
  const float8 = (): string => `'${(random() < 0.5 ? random() * 1e20 : (random() - 0.5) * 10 ** (below(600) - 300)).toExponential(17)}'::float8`;
  const float4 = (): string => `'${((random() - 0.5) * 10 ** (below(70) - 35)).toExponential(9)}'::float4`;
  const two = (n: number): string => String(n).padStart(2, '0');
  const timestamp = (): string => `timestamp '${String(1 + below(4000)).padStart(4, '0')}-${1 + below(12)}-${1 + below(28)} ${below(24)}:${two(below(60))}:${two(below(60))}.${below(1000000)}'`;
  const interval = (): string => `interval '${below(30) - 10} years ${below(24) - 12} mons ${below(60) - 30} days ${below(48)}:${two(below(60))}:${two(below(60))}.${below(1000000)}'`;
  const shapes: (() => string)[] = [
    () => `${numeric()} / ${numeric()}`,
    () => `${numeric()} * ${numeric()}, ${numeric()} + ${numeric()}, ${numeric()} - ${numeric()}`,
    () => `mod(${numeric()}, ${numeric()}), div(${numeric()}, ${numeric()})`,
    () => `sqrt(${positive()})`,
    () => `ln(${positive()})`,
    () => `exp('${(random() * 100 - 50).toFixed(below(8))}'::numeric)`,
    () => `log(${positive()}, ${positive()})`,
    () => `power(${positive()}, '${(random() * 20 - 10).toFixed(below(4))}'::numeric)`,
    () => `power(${numeric()}, ${below(12) - 4})`,
    () => `round(${numeric()}, ${below(10) - 3}), trunc(${numeric()}, ${below(10) - 3}), ceil(${numeric()}), floor(${numeric()})`,
    () => `${numeric()}::float8, ${numeric()}::float4, (${numeric()}::float8 * 3.7)::numeric`,
    () => `${float8()}, ${float8()}, ${float8()} / 7, ${float4()}, ${float4()}`,
    () => `to_char(${numeric()}, '${pick(['999,999.99', 'FM9999.9999', 'S000.0', '9.99EEEE', '99999MI', '0000PR', 'B999.9', 'FM000,000.00'])}')`,
    () => `${timestamp()} + ${interval()}, ${timestamp()} - ${timestamp()}, age(${timestamp()}, ${timestamp()})`,
    () => `${interval()} * ${(random() * 4 - 2).toFixed(3)}, ${interval()} / ${(random() * 4 + 0.1).toFixed(3)}, justify_interval(${interval()}), extract(epoch from ${interval()}), ${interval()} < ${interval()}`,
    () => `to_char(${timestamp()}, 'YYYY-MM-DD HH12:MI:SS.US AM Day IW IYYY DDD WW Q CC J'), date_trunc('${pick(['week', 'quarter', 'decade', 'century', 'hour'])}', ${timestamp()}), extract(${pick(['julian', 'week', 'isoyear', 'epoch', 'century', 'doy'])} from ${timestamp()})`,
    () => `${timestamp()}::timestamptz at time zone 'America/Sao_Paulo', ${timestamp()} at time zone 'Europe/London', ${timestamp()} at time zone 'Australia/Lord_Howe'`,
    () => `sum(x), avg(x), stddev(x), variance(x), var_pop(x), sum(x::float8), avg(x::float8), stddev(x::float8), max(x), min(x) FROM (VALUES ${Array.from({ length: 2 + below(8) }, () => `(${numeric()})`).join(', ')}) v(x)`,
  ];
  return Array.from({ length: count }, () => `SELECT ${pick(shapes)()}`);
}

test(`seed ${seed}`, async () => {
  const [postgres, oxbow] = [await connect(oracle.port), await connect(server.port)];
  try {
    const differences = await compareScript(statements(seed).join(';\n'), postgres, oxbow);
    expect(differences.map(describeDifference), `FUZZ_SEED=${seed}`).toEqual([]);
  } finally {
    await postgres.end();
    await oxbow.end();
  }
});

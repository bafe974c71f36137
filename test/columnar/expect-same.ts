import { expect } from 'vitest';
import type { BesideOracle } from '../harness/beside-oracle.js';
import { run } from '../harness/compare.js';

/** The query's answer by columns is PostgreSQL's and, where `alsoRows`, what the row operators give. */
export async function expectSame({ client, other }: BesideOracle, query: string, alsoRows: boolean): Promise<void> {
  const columns = await run(client, query);
  if (alsoRows) {
    await client.query('set oxbow.columns = off');
    const rows = await run(client, query);
    await client.query('reset oxbow.columns');
    expect({ query, ...columns }).toEqual({ query, ...rows });
  }
  expect({ query, ...columns }).toEqual({ query, ...(await run(other, query)) });
}

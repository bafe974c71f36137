/** A server and PostgreSQL with the same data for the tests of one file, and a client of each. */
import type pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { connect } from './compare.js';
import { startOracle, type Oracle } from './oracle.js';
import { startTestServer, type TestServer } from './server.js';

export interface BesideOracle {
  server: TestServer;
  oracle: Oracle;
  client: pg.Client;
  /** Of PostgreSQL. */
  other: pg.Client;
}

/** Starts both before the file's tests, with `data` run in both, and stops them after. Its fields stand from the first test on. */
export function besideOracle(data: string): BesideOracle {
  const both = {} as BesideOracle;
  beforeAll(async () => {
    both.server = await startTestServer();
    both.oracle = await startOracle();
    both.client = await connect(both.server.port);
    both.other = await connect(both.oracle.port, 'postgres', both.oracle.user);
    for (const one of [both.client, both.other]) await one.query(data);
  }, 120_000);
  afterAll(async () => {
    await both.client.end();
    await both.other.end();
    await both.server.stop();
    await both.oracle.stop();
  });
  return both;
}

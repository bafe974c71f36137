/** `oxbow verify` over directories that a server left, whole and with damage of every kind planted: each kind is named. */
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readUint48, writeUint48 } from '../../engine/keycode.js';
import type { Chunk, KeyValueWriter, Keyspace } from '../../engine/kv/key-value-store.js';
import { openStateFile } from '../../engine/packed/open.js';
import type { PackedKeyValueStore } from '../../engine/packed/store.js';
import { ENTRY_HEADER, Flag, ROW_HEADER, stampOf, writeEntryValue, writeRowValue, xidOf } from '../../engine/mvcc/row-format.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import { Findings } from '../../engine/verify/findings.js';
import { checkOffline } from '../../engine/verify/offline.js';
import { Cluster } from '../../sql/session/cluster.js';
import { checkRelations, describeFinding, storageNames } from '../../sql/verify/database-check.js';
import { runCommand } from '../harness/command.js';
import { mainEntry } from '../harness/entry.js';
import { startTestServer } from '../harness/server.js';

const work = mkdtempSync(join(tmpdir(), 'oxbow-verify-'));
const whole = join(work, 'whole');
let storage = { table: 0, byValue: 0, large: 0, unique: 0 };

const verify = async (directory: string): Promise<{ code: number | null; lines: string[] }> => {
  const { code, stdout, stderr } = await runCommand(process.execPath, [mainEntry, 'verify', '--data', directory]);
  return { code, lines: [...stdout.trim().split('\n'), ...(stderr ? [`stderr: ${stderr}`] : [])] };
};

/** The same in this process: quicker, for damage that crashes nobody. */
async function verifyHere(directory: string): Promise<string> {
  const findings = new Findings();
  const { storage: frozen } = await checkOffline(nodeRuntime(), directory, findings);
  const cluster = await Cluster.open(nodeRuntime(), frozen!);
  await checkRelations(cluster, findings, { turn: () => undefined });
  const nameOf = storageNames(cluster);
  return findings.list.map((finding) => describeFinding(finding, nameOf)).join('\n');
}

const SETUP = `
  CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL, n int CHECK (n >= 0));
  CREATE INDEX account_n ON account (n);
  CREATE UNIQUE INDEX account_owner ON account (lower(owner)) WHERE id > 10;
  CREATE TABLE child (id int PRIMARY KEY, account int REFERENCES account);
  CREATE TABLE large (id int PRIMARY KEY, t text);
  INSERT INTO account SELECT g, 'Owner ' || g, g % 100 FROM generate_series(1, 2000) g;
  INSERT INTO child SELECT g, g FROM generate_series(1, 50) g;
  INSERT INTO large SELECT g, repeat('0123456789', 20000) FROM generate_series(1, 5) g;
  UPDATE account SET n = n + 1 WHERE id % 7 = 0;
  DELETE FROM account WHERE id > 1900;
  CREATE TABLE packed (id int);
  INSERT INTO packed SELECT g FROM generate_series(1, 3000) g;
  CREATE INDEX packed_id ON packed (id);
`;

beforeAll(async () => {
  const server = await startTestServer({ directory: whole, args: ['--retention', '1h'] });
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
  await client.connect();
  // Each in a transaction of its own, so that there are older versions.
  for (const statement of SETUP.split(';')) await client.query(statement);
  await client.end();
  await server.stop();
  const kv = openStateFile({ path: join(whole, 'state.mdb') });
  // Storages by what stands in them: account has 1,900 rows, large 5.
  const counts = new Map<number, number>();
  for (const key of all(kv, 'heap').keys) counts.set(readUint48(key, 0), (counts.get(readUint48(key, 0)) ?? 0) + 1);
  const table = [...counts].find(([id, count]) => count === 1900 && id > 65535)![0];
  const large = [...counts].find(([id, count]) => count === 5 && id > table)![0];
  storage = { table, large, byValue: 0, unique: 0 };
  const entries = new Map<number, number>();
  for (const key of all(kv, 'index').keys) if (readUint48(key, 0) > table) entries.set(readUint48(key, 0), (entries.get(readUint48(key, 0)) ?? 0) + 1);
  const sizes = [...entries].filter(([, count]) => count > 1000).sort(([a], [b]) => a - b);
  [, storage.byValue, storage.unique] = sizes.map(([id]) => id) as [number, number, number];
}, 60_000);

afterAll(() => rmSync(work, { recursive: true, force: true }));

function all(kv: PackedKeyValueStore, space: Keyspace): Chunk {
  const chunk: Chunk = { keys: [], values: [] };
  kv.scan(space, Uint8Array.of(0), new Uint8Array(1978).fill(0xff), false, Infinity, chunk);
  return chunk;
}

const of = (chunk: Chunk, id: number): { key: Uint8Array; value: Uint8Array }[] => chunk.keys.flatMap((key, i) => (readUint48(key, 0) === id ? [{ key, value: chunk.values[i]! }] : []));

/** Blocks as they are stored. */
function blocks(kv: PackedKeyValueStore): { key: Uint8Array; value: Uint8Array }[] {
  const chunk: Chunk = { keys: [], values: [] };
  kv.base.scan('index', Uint8Array.of(0), new Uint8Array(12).fill(0xff), false, Infinity, chunk);
  return chunk.keys.map((key, i) => ({ key, value: chunk.values[i]! })).filter(({ key, value }) => key.length > 6 && value[0]! & Flag.block);
}

interface Damage {
  readonly name: string;
  plant(kv: PackedKeyValueStore, write: (action: (writer: KeyValueWriter) => void) => void): void;
  readonly named: RegExp[];
}

/** Row values as their checks say: what only the comparison of rows with everything else can find. */
function rewriteRow(writer: KeyValueWriter, { key, value }: { key: Uint8Array; value: Uint8Array }, change: (tuple: Uint8Array) => void): void {
  const tuple = value.slice(ROW_HEADER);
  change(tuple);
  const out = new Uint8Array(value.length);
  writeRowValue(out, value[0]!, stampOf(value), xidOf(value), tuple, key);
  writer.put('heap', key, out);
}

const DAMAGES: Damage[] = [
  {
    name: 'a flipped bit in a row',
    plant: (kv, write) => write((writer) => {
      const { key, value } = of(all(kv, 'heap'), storage.table)[100]!;
      value[ROW_HEADER + 3]! ^= 4;
      writer.put('heap', key, value);
    }),
    named: [/^state: table "public.account" in database "postgres": stored row does not match its checksum \(heap [0-9a-f]{24}\)$/m],
  },
  {
    name: 'a flipped bit in a block of index entries',
    plant: (kv) => {
      const { key, value } = blocks(kv)[3]!;
      value[200]! ^= 16;
      kv.base.write((writer) => writer.put('index', key, value));
    },
    named: [/index "packed_id" of table "public.packed" in database "postgres": a value does not match its checksum \(index [0-9a-f]+\)$/m],
  },
  {
    name: 'a block of index entries gone',
    plant: (kv) => kv.base.write((writer) => void writer.delete('index', blocks(kv)[3]!.key)),
    named: [/index "packed_id" of table "public.packed" in database "postgres": .*no entry/],
  },
  {
    name: 'a row gone',
    plant: (kv, write) => write((writer) => void writer.delete('heap', of(all(kv, 'heap'), storage.table)[100]!.key)),
    named: [/table "public.account" in database "postgres": 1899 rows are found where the log's commits come to 1900$/m, /index "account_pkey" of table "public.account" in database "postgres": an entry leads to row \(0,101\), which is not there/],
  },
  {
    name: 'a row that is another, with a good checksum',
    plant: (kv, write) => write((writer) => rewriteRow(writer, of(all(kv, 'heap'), storage.table)[100]!, (tuple) => (tuple[tuple.length - 1]! ^= 1))),
    named: [/table "public.account" in database "postgres": the rows are not those that the log's commits come to \(hash sum\), though each matches its checksum$/m],
  },
  {
    name: 'an index entry gone',
    plant: (kv, write) => write((writer) => void writer.delete('index', of(all(kv, 'index'), storage.byValue)[500]!.key)),
    named: [/^index "account_n" of table "public.account" in database "postgres": row \(\d+,\d+\) has no entry/m],
  },
  {
    name: 'an index entry too many',
    plant: (kv, write) => write((writer) => {
      const { key, value } = of(all(kv, 'index'), storage.byValue)[500]!;
      const other = key.slice();
      writeUint48(other, other.length - 6, 1999);
      const entry = new Uint8Array(ENTRY_HEADER);
      writeEntryValue(entry, 0, readUint48(value, 1), new Uint8Array(0), other);
      writer.put('index', other, entry);
    }),
    named: [/^index "account_n" of table "public.account" in database "postgres": an entry leads to row \(0,1999\), which is not there/m],
  },
  {
    name: 'an expression index with a wrong entry',
    plant: (kv, write) => write((writer) => {
      const { key, value } = of(all(kv, 'index'), storage.unique)[500]!;
      const other = key.slice();
      other[other.length - 9]! ^= 1;
      const entry = new Uint8Array(ENTRY_HEADER);
      writeEntryValue(entry, 0, readUint48(value, 1), new Uint8Array(0), other);
      writer.delete('index', key);
      writer.put('index', other, entry);
    }),
    named: [/^index "account_owner" of table "public.account" in database "postgres": the entry of row \(0,\d+\) is not what the row says/m, /index "account_owner" .*: row \(0,\d+\) has no entry/],
  },
  {
    name: 'a part of a large value gone',
    plant: (kv, write) => write((writer) => void writer.delete('values', of(all(kv, 'values'), storage.large)[3]!.key)),
    named: [/table "public.large" in database "postgres": the part of a large value before this one is missing/, /table "public.large" in database "postgres": part of a large value is missing/],
  },
  {
    name: 'a version out of its chain',
    plant: (kv, write) => write((writer) => {
      // The last of the history, so that older ones stand before it; its owner now has a gap.
      const { keys } = all(kv, 'history');
      const at = keys.findLastIndex((key) => readUint48(key, 6) === storage.table);
      if (at <= 0) throw new Error('no history to damage');
      writer.delete('history', keys[at]!);
    }),
    named: [/table "public.account" in database "postgres": the (last version of a deleted row|older version of a row) is missing/],
  },
  {
    name: 'how many rows there are',
    plant: (kv, write) => write((writer) => {
      const key = new Uint8Array(6);
      writeUint48(key, 0, storage.table);
      const record = kv.get('storages', key)!.slice();
      new DataView(record.buffer).setFloat64(0, 1901);
      writer.put('storages', key, record);
    }),
    named: [/table "public.account" in database "postgres": 1900 rows are found where the log's commits come to 1901/],
  },
];

describe('oxbow verify', () => {
  it('finds a directory sound that a server left', async () => {
    const { code, lines } = await verify(whole);
    expect(lines.at(-1)).toBe('sound');
    expect(code).toBe(0);
  }, 30_000);

  for (const [number, { name, plant, named }] of DAMAGES.entries())
    it(`names ${name}`, async () => {
      const directory = join(work, `damaged-${number}`);
      cpSync(whole, directory, { recursive: true });
      const kv = openStateFile({ path: join(directory, 'state.mdb') });
      plant(kv, (action) => kv.write(action));
      await kv.sync();
      const found = await verifyHere(directory);
      for (const pattern of named) expect(found).toMatch(pattern);
    }, 30_000);

  it('exits with 1 and a line per finding', async () => {
    const directory = join(work, 'flipped');
    cpSync(whole, directory, { recursive: true });
    const kv = openStateFile({ path: join(directory, 'state.mdb') });
    DAMAGES[0]!.plant(kv, (action) => kv.write(action));
    await kv.sync();
    const { code, lines } = await verify(directory);
    expect(lines[0]).toMatch(DAMAGES[0]!.named[0]!);
    expect(lines.at(-1)).toMatch(/^\d+ findings?$/);
    expect(code).toBe(1);
  }, 30_000);

  it('changes nothing', async () => {
    const files = (): Map<string, Buffer> => new Map(['FORMAT', 'log/term', 'state.mdb', ...readdirSync(join(whole, 'log')).map((name) => `log/${name}`)].map((name) => [name, readFileSync(join(whole, name))]));
    const before = files();
    await verify(whole);
    for (const [name, content] of files()) expect([name, before.get(name)!.equals(content)]).toEqual([name, true]);
  }, 30_000);

  it('refuses what is no data directory, another format, and one in use', async () => {
    expect(await verify(join(work, 'nowhere'))).toMatchObject({ code: 2, lines: ['', expect.stringContaining('does not exist')] });
    const strange = join(work, 'strange');
    cpSync(whole, strange, { recursive: true });
    writeFileSync(join(strange, 'FORMAT'), 'oxbow data directory, format 99\n');
    expect(await verify(strange)).toMatchObject({ code: 2, lines: ['', expect.stringContaining('has format 99')] });
    const server = await startTestServer({ directory: whole });
    try {
      expect(await verify(whole)).toMatchObject({ code: 2, lines: ['', expect.stringContaining('oxbow verify --url')] });
    } finally {
      await server.stop();
    }
  }, 30_000);
});

/**
 * Clients that write without a pause and remember what they were told: each transaction changes rows of
 * its client's own range and, last, takes the next number of one shared counter, so the numbers are the
 * order of the commits. The state at any point is then known to the row: all transactions up to the
 * counter's value there.
 */
import pg from 'pg';

export interface Operation {
  readonly kind: 'put' | 'delete' | 'bulk';
  readonly id: number;
  readonly v?: string;
  readonly big?: string;
  readonly rows?: number;
}

export interface Written {
  readonly number: number;
  readonly xid: number;
  readonly operations: readonly Operation[];
  /** Counter values that were acknowledged to anybody before this one's COMMIT was sent. */
  readonly sentAfter: number;
}

export interface Mark {
  readonly kind: 'time' | 'lsn' | 'name';
  readonly value: string;
  /** Every transaction up to this one was acknowledged before the mark was asked for. */
  readonly atLeast: number;
  /** None beyond this one had been sent when the mark was known. */
  readonly atMost: number;
}

/** A generator of numbers in [0, 1) that a seed replays (mulberry32). */
export function seeded(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const IDS_PER_CLIENT = 400;

export class Workload {
  readonly written = new Map<number, Written>();
  readonly marks: Mark[] = [];
  private acknowledged = 0;
  private sent = 0;
  private running = false;
  private loops: Promise<void>[] = [];
  private uncertain: { readonly token: string; readonly written: Omit<Written, 'number'> & { number: number } }[] = [];
  private marked = 0;
  private tokens = 0;

  /** `port` is asked anew after each lost connection. */
  constructor(private readonly port: () => number, private readonly random: () => number) {}

  private async connect(): Promise<pg.Client> {
    for (;;) {
      const client = new pg.Client({ host: '127.0.0.1', port: this.port(), user: 'postgres', database: 'postgres' });
      client.on('error', () => undefined);
      try {
        await client.connect();
        return client;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
        if (!this.running) throw new Error('stopped');
      }
    }
  }

  static async prepare(client: pg.Client): Promise<void> {
    await client.query('CREATE TABLE counter (n int NOT NULL)');
    await client.query('INSERT INTO counter VALUES (0)');
    await client.query('CREATE TABLE item (id int PRIMARY KEY, v text, big text)');
    await client.query('CREATE INDEX ON item (v)');
    await client.query('CREATE TABLE journal (token text PRIMARY KEY, n int)');
    await client.query('CREATE TABLE bulk (id int, filler text)');
  }

  start(clients: number): void {
    this.running = true;
    for (let i = 0; i < clients; i++) this.loops.push(this.loop(i));
    this.loops.push(this.markLoop());
  }

  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.loops);
    this.loops = [];
    const client = new pg.Client({ host: '127.0.0.1', port: this.port(), user: 'postgres', database: 'postgres' });
    await client.connect();
    for (const { token, written } of this.uncertain) {
      const { rows } = await client.query<{ n: number }>('SELECT n FROM journal WHERE token = $1', [token]);
      if (rows[0]) this.written.set(rows[0].n, { ...written, number: rows[0].n });
    }
    await client.end();
  }

  /** Numbers are taken one after the other, so the newest acknowledged one says that all before it are committed. */
  get committed(): number {
    return this.acknowledged;
  }

  private async loop(index: number): Promise<void> {
    let client: pg.Client | undefined;
    while (this.running) {
      try {
        client ??= await this.connect();
        await this.transaction(client, index);
      } catch {
        await client?.end().catch(() => undefined);
        client = undefined;
      }
    }
    await client?.end().catch(() => undefined);
  }

  private operations(index: number): Operation[] {
    const { random } = this;
    if (random() < 0.004) return [{ kind: 'bulk', id: 0, rows: 30_000 }];
    return Array.from({ length: 1 + Math.floor(random() * 5) }, (): Operation => {
      const id = index * IDS_PER_CLIENT + Math.floor(random() * IDS_PER_CLIENT);
      if (random() < 0.25) return { kind: 'delete', id };
      const letter = String.fromCharCode(97 + Math.floor(random() * 26));
      return { kind: 'put', id, v: `${letter}${Math.floor(random() * 1e6)}`, big: random() < 0.05 ? letter.repeat(20_000 + Math.floor(random() * 60_000)) : letter };
    });
  }

  private async transaction(client: pg.Client, index: number): Promise<void> {
    const operations = this.operations(index);
    const token = `${index}-${++this.tokens}`;
    await client.query('BEGIN');
    for (const { kind, id, v, big, rows } of operations) {
      if (kind === 'delete') await client.query('DELETE FROM item WHERE id = $1', [id]);
      else if (kind === 'bulk') await client.query("INSERT INTO bulk SELECT i, repeat('x', 600) FROM generate_series(1, $1) i", [rows]);
      else await client.query('INSERT INTO item VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET v = excluded.v, big = excluded.big', [id, v, big]);
    }
    if (this.random() < 0.1) {
      await client.query('ROLLBACK');
      return;
    }
    const { rows } = await client.query<{ n: number; xid: string }>('UPDATE counter SET n = n + 1 RETURNING n, txid_current() AS xid');
    const { n, xid } = rows[0]!;
    await client.query('INSERT INTO journal VALUES ($1, $2)', [token, n]);
    const written = { number: n, xid: Number(xid), operations, sentAfter: this.acknowledged };
    this.sent = Math.max(this.sent, n);
    try {
      await client.query('COMMIT');
    } catch (error) {
      this.uncertain.push({ token, written });
      throw error;
    }
    this.written.set(n, written);
    this.acknowledged = Math.max(this.acknowledged, n);
  }

  /** Now and then notes the time, the LSN, or a restore point, and what was acknowledged around it. */
  private async markLoop(): Promise<void> {
    let client: pg.Client | undefined;
    while (this.running) {
      await new Promise((resolve) => setTimeout(resolve, 20 + this.random() * 60));
      try {
        client ??= await this.connect();
        const atLeast = this.acknowledged;
        const kind = (['time', 'lsn', 'name'] as const)[Math.floor(this.random() * 3)]!;
        const name = `mark ${++this.marked}`;
        const text = {
          time: "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS value",
          lsn: 'SELECT pg_current_wal_flush_lsn() AS value',
          name: `SELECT '${name}' AS value, pg_create_restore_point('${name}')`,
        }[kind];
        const { rows } = await client.query<{ value: string }>(text);
        this.marks.push({ kind, value: rows[0]!.value, atLeast, atMost: this.sent });
      } catch {
        await client?.end().catch(() => undefined);
        client = undefined;
      }
    }
    await client?.end().catch(() => undefined);
  }

  /** The rows of `item`, as `stateOf` reads them, and how many `bulk` has, after the first `number` transactions. */
  stateAt(number: number): { items: string[]; bulk: number } {
    const items = new Map<number, string>();
    let bulk = 0;
    for (let n = 1; n <= number; n++) {
      const written = this.written.get(n);
      if (!written) throw new Error(`transaction ${n} is in the database and nobody wrote it`);
      for (const { kind, id, v, big, rows } of written.operations) {
        if (kind === 'bulk') bulk += rows!;
        else if (kind === 'delete') items.delete(id);
        else items.set(id, `${id}|${v}|${big![0]}|${big!.length}`);
      }
    }
    return { items: [...items.entries()].sort(([a], [b]) => a - b).map(([, text]) => text), bulk };
  }
}

/** What a server has: the counter, and the rows as `Workload.stateAt` gives them; index and table agree. */
export async function stateOf(port: number): Promise<{ number: number; items: string[]; bulk: number; journal: number }> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  await client.connect();
  try {
    const { rows } = await client.query<{ n: number; bulk: number; journal: number }>('SELECT n, (SELECT count(*)::int FROM bulk) AS bulk, (SELECT count(*)::int FROM journal) AS journal FROM counter');
    const { rows: items } = await client.query<{ text: string }>("SELECT id || '|' || v || '|' || left(big, 1) || '|' || length(big) AS text FROM item ORDER BY id");
    await client.query('SET enable_seqscan = off');
    const { rows: byIndex } = await client.query<{ c: number }>("SELECT count(*)::int AS c FROM item WHERE v >= ''");
    if (byIndex[0]!.c !== items.length) throw new Error(`the index has ${byIndex[0]!.c} entries for ${items.length} rows`);
    return { number: rows[0]!.n, bulk: rows[0]!.bulk, journal: rows[0]!.journal, items: items.map(({ text }) => text) };
  } finally {
    await client.end();
  }
}

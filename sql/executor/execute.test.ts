import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { startTestServer, type TestServer } from '../../test/harness/server.js';

/** SQL text against a server of its own: what plans answer, and how they were made. */
let server: TestServer;
let client: pg.Client;

async function rows(sql: string): Promise<unknown[][]> {
  return (await client.query({ text: sql, rowMode: 'array' })).rows as unknown[][];
}
async function plan(sql: string): Promise<string> {
  return (await rows(`explain (costs off) ${sql}`)).map(([line]) => line as string).join('\n');
}
async function failure(sql: string): Promise<string> {
  return client.query(sql).then(() => 'no error', (error: { code: string }) => error.code);
}

beforeAll(async () => {
  server = await startTestServer();
  client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
  await client.connect();
  await client.query(`
    create table p (id int primary key, g int, name text);
    create table c (id int primary key, pid int references p (id) on delete cascade, v int check (v > 0));
    create index c_pid on c (pid);
    insert into p select i, i % 3, 'n' || i from generate_series(1, 1000) i;
    insert into c select i, i % 100 + 1, i from generate_series(1, 2000) i;
    analyze;`);
});
afterAll(async () => {
  await client.end();
  await server.stop();
});

describe('plans', () => {
  it('reads a key by its index and a range in index order', async () => {
    expect(await plan('select * from p where id = 5')).toBe('Index Scan using p_pkey on p\n  Index Cond: (id = 5)');
    expect(await plan('select id from p where id > 990 order by id desc')).toContain('Backward');
  });
  it('joins a few outer rows by index and many by hash', async () => {
    expect(await plan('select * from p join c on c.pid = p.id where p.id = 7')).toContain('Index Cond: (pid = 7)');
    expect(await plan('select * from p join c on c.pid = p.id')).toMatch(/Hash Join|Merge Join/);
  });
  it('turns EXISTS into a semi join and NOT EXISTS into an anti join', async () => {
    expect(await plan('select * from p where exists (select 1 from c where c.pid = p.id)')).toContain('Semi Join');
    expect(await plan('select * from p where not exists (select 1 from c where c.pid = p.id)')).toContain('Anti Join');
  });
  it('makes an outer join inner where NULLs would not pass', async () => {
    expect(await plan('select * from p left join c on c.pid = p.id where c.v = 3')).not.toContain('Left');
  });
});

describe('rows', () => {
  it('joins of every kind agree with each other', async () => {
    expect(await rows('select count(*) from p left join c on c.pid = p.id')).toEqual([['2900']]);
    expect(await rows('select count(*) from c right join p on c.pid = p.id')).toEqual([['2900']]);
    expect(await rows('select count(*) from p full join c on c.pid = p.id + 950')).toEqual([['3000']]);
    expect(await rows('select count(*) from p where id not in (select pid from c)')).toEqual([['900']]);
  });
  it('keeps two calls of a volatile function apart', async () => {
    expect(await rows('select a = b from (select random() a, random() b) x')).toEqual([[false]]);
  });
  it('evaluates no branch of CASE that is not taken', async () => {
    expect(await rows('select case when g >= 0 then 1 else 1 / (g - g) end from p limit 1')).toEqual([[1]]);
  });
  it('frames with offsets and exclusion', async () => {
    expect(await rows('select sum(x) over (order by x rows between 1 preceding and 1 following exclude current row) from generate_series(1, 4) x')).toEqual([['2'], ['4'], ['6'], ['3']]);
    expect(await rows('select sum(x) over (order by x range between 2 preceding and 1 preceding) from generate_series(1, 4) x')).toEqual([[null], ['1'], ['3'], ['5']]);
  });
  it('recursion with UNION stops at a cycle', async () => {
    expect(await rows('with recursive r(n) as (select 1 union select n % 3 + 1 from r) select count(*) from r')).toEqual([['3']]);
  });
});

describe('writes', () => {
  it('cascades, refuses and checks', async () => {
    await client.query('begin');
    expect((await client.query('delete from p where id = 7')).rowCount).toBe(1);
    expect(await rows('select count(*) from c where pid = 7')).toEqual([['0']]);
    await client.query('rollback');
    expect(await failure('insert into c values (9999, 5000, 1)')).toBe('23503');
    expect(await failure('insert into c values (9999, 1, -1)')).toBe('23514');
    expect(await failure('insert into p values (1)')).toBe('23505');
  });
  it('on conflict updates once per row', async () => {
    expect(await failure("insert into p values (1, 1, 'x'), (1, 2, 'y') on conflict (id) do update set name = excluded.name")).toBe('21000');
    expect(await rows("insert into p values (1, 1, 'x') on conflict (id) do update set name = excluded.name || p.name returning name")).toEqual([['xn1']]);
  });
  it('READ COMMITTED sees the newest version of a row it waited for', async () => {
    const other = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
    await other.connect();
    await client.query('create table counter (id int primary key, n int); insert into counter values (1, 0)');
    await client.query('begin; update counter set n = n + 1 where id = 1');
    const waiting = other.query('update counter set n = n + 10 where id = 1 and n < 5 returning n');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await client.query('commit');
    expect((await waiting).rows).toEqual([{ n: 11 }]);
    await other.end();
  });
});

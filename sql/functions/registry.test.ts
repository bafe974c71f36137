import { describe, expect, it } from 'vitest';
import { loadFacts } from '../types/facts.js';
import { BORN_TYPES } from '../types/index.js';
import { OWN_ROW_FUNCTIONS } from '../catalog/own-rows.js';
import { FUNCTIONS } from './index.js';

interface Table {
  columns: [string, string][];
  rows: unknown[][];
}

function rowsOf(name: string): Record<string, unknown>[] {
  const table = loadFacts<Table>(`sql/catalog/data/${name}.json`);
  return table.rows.map((row) => Object.fromEntries(table.columns.map(([column], i) => [column, row[i]])));
}

const typeNames = new Map(rowsOf('pg_type').map((type) => [type.oid, type.typname as string]));
const procs = rowsOf('pg_proc').map((proc) => ({
  oid: proc.oid as number,
  kind: proc.prokind as string,
  returnsSet: proc.proretset as boolean,
  signature: `${String(proc.proname)}(${((proc.proargtypes as number[] | null) ?? []).map((oid) => typeNames.get(oid)).join(',')})`,
}));
const own = OWN_ROW_FUNCTIONS.map((signature) => ({ kind: 'f', returnsSet: true, signature }));
const bySignature = new Map([...procs, ...own].map((proc) => [proc.signature, proc]));

describe('function registry', () => {
  it('implements only what PostgreSQL has, in the right kind', () => {
    const wrong: string[] = [];
    for (const [signature, fn] of FUNCTIONS) {
      const proc = bySignature.get(signature);
      if (!proc) wrong.push(`${signature}: not in pg_proc`);
      else {
        const expected = proc.kind === 'a' ? 'aggregate' : proc.kind === 'w' ? 'window' : proc.returnsSet ? 'set' : 'scalar';
        const kind = fn.kind === 'waiting' ? 'scalar' : fn.kind;
        if (kind !== expected) wrong.push(`${signature}: ${fn.kind}, but pg_proc says ${expected}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('implements every operator and cast of the built types', () => {
    const known = (oid: unknown): boolean => oid === 0 || oid === null || BORN_TYPES.has(typeNames.get(oid as number) ?? '');
    const byOid = new Map(procs.map((proc) => [proc.oid, proc.signature]));
    const missing: string[] = [];
    for (const operator of rowsOf('pg_operator')) {
      if (known(operator.oprleft) && known(operator.oprright) && operator.oprcode) {
        const signature = byOid.get(operator.oprcode as number);
        if (signature && !FUNCTIONS.has(signature)) missing.push(signature);
      }
    }
    for (const cast of rowsOf('pg_cast')) {
      if (known(cast.castsource) && known(cast.casttarget) && cast.castfunc) {
        const signature = byOid.get(cast.castfunc as number);
        if (signature && !FUNCTIONS.has(signature)) missing.push(signature);
      }
    }
    expect([...new Set(missing)].filter((signature) => !/aclitem|jsonpath|ts_match|tsquery|tsvector|regconfig|money|macaddr|xml/.test(signature))).toEqual([]);
  });

  it('says how many born functions have no implementation', () => {
    const misses = procs.filter((proc) => !FUNCTIONS.has(proc.signature));
    console.log(`${FUNCTIONS.size} of ${procs.length} born functions are implemented, ${misses.length} are not`);
    if (process.env.LIST_MISSING) console.log(misses.map((proc) => proc.signature).sort().join('\n'));
    expect(FUNCTIONS.size).toBeGreaterThan(700);
  });
});

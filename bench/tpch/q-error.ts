/**
 * Estimates against actual rows, operator by operator, from EXPLAIN (ANALYZE, FORMAT JSON): the q-error is the factor
 * between the two, whichever is larger, both at least one row. A scan below a join filter counts the rows that the filter
 * left (sql/columnar/key-filter.ts), so its actual can be far below its estimate without an estimate being wrong.
 */
import type pg from 'pg';
import { run } from '../../test/harness/compare.js';

export interface QError { readonly query: number; readonly operator: string; readonly depth: number; readonly estimate: number; readonly actual: number; readonly factor: number }

interface JsonPlan { readonly [name: string]: unknown; readonly Plans?: readonly JsonPlan[] }

export async function qErrors(client: pg.Client, query: number, sql: string): Promise<QError[]> {
  const found: QError[] = [];
  // Query 15 makes a view before it asks.
  for (const statement of sql.split(';').map((text) => text.trim()).filter((text) => text !== '')) {
    if (!/^(?:--.*\n|\s)*(?:select|with)\b/i.test(statement)) {
      await client.query(statement);
      continue;
    }
    const { rows, error } = await run(client, `explain (analyze, timing off, format json) ${statement}`);
    if (error) throw new Error(`query ${query}: ${error.message}`);
    const [cell] = Object.values(rows[0] as object) as [string];
    const [{ Plan: plan }] = (typeof cell === 'string' ? JSON.parse(cell) : cell) as [{ Plan: JsonPlan }];
    collect(plan, query, 0, found);
  }
  return found;
}

function collect(plan: JsonPlan, query: number, depth: number, into: QError[]): void {
  const loops = Number(plan['Actual Loops']);
  if (loops > 0) {
    const estimate = Math.max(1, Number(plan['Plan Rows']));
    const actual = Math.max(1, Number(plan['Actual Rows']));
    const where = plan['Relation Name'] ?? plan['Hash Cond'] ?? plan['Join Filter'] ?? '';
    into.push({ query, depth, operator: `${String(plan['Join Type'] ?? '')} ${String(plan['Node Type'])} ${String(where)}`.trim(), estimate, actual, factor: Math.max(estimate / actual, actual / estimate) });
  }
  for (const child of plan.Plans ?? []) collect(child, query, depth + 1, into);
}

/** Lines of markdown: every operator of one server, and what they come to beside the other's. */
export function qErrorReport(own: readonly QError[], others: Readonly<Record<string, readonly QError[]>>): string[] {
  const lines = ['', '| query | operator | estimate | actual | q-error |', '|--:|---|--:|--:|--:|'];
  for (const { query, depth, operator, estimate, actual, factor } of own) {
    lines.push(`| ${query} | ${'. '.repeat(depth)}${operator.replaceAll('|', '\\|').slice(0, 90)} | ${estimate} | ${actual} | ${factor.toFixed(1)} |`);
  }
  lines.push('', '| server | operators | median | 90% | largest | geometric mean |', '|---|--:|--:|--:|--:|--:|');
  for (const [name, errors] of Object.entries(others)) {
    const factors = errors.map(({ factor }) => factor).sort((a, b) => a - b);
    const at = (share: number): string => factors[Math.min(factors.length - 1, Math.floor(factors.length * share))]!.toFixed(2);
    const mean = Math.exp(factors.reduce((sum, factor) => sum + Math.log(factor), 0) / factors.length);
    lines.push(`| ${name} | ${factors.length} | ${at(0.5)} | ${at(0.9)} | ${factors[factors.length - 1]!.toFixed(0)} | ${mean.toFixed(2)} |`);
  }
  return lines;
}

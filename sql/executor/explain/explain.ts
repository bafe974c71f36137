/** EXPLAIN's output: text as PostgreSQL prints it, and JSON. */
import type { EvalContext } from '../../functions/context.js';
import type { PhysicalPlan, PlanNode } from '../../planner/plan-node.js';
import type { NodeInstrumentation } from '../exec-state.js';
import { describeLearned } from '../../learned/learned-access.js';
import { PlanText } from './expressions.js';
import { PlanDescriber, type ExplainNode, type PropertyValue } from './node-facts.js';

export interface ExplainOptions {
  readonly analyze: boolean;
  readonly verbose: boolean;
  readonly costs: boolean;
  readonly timing: boolean;
  readonly summary: boolean;
  readonly format: 'text' | 'json';
}

export interface ExplainFigures {
  readonly planningMs: number;
  readonly executionMs: number;
  of(node: PlanNode): NodeInstrumentation | undefined;
}

/** Lines of the answer; JSON is one value in one line (with line breaks inside). */
export function explainPlan(plan: PhysicalPlan, context: EvalContext, options: ExplainOptions, figures: ExplainFigures): string[] {
  const root = new PlanDescriber(new PlanText(plan, context, options.verbose), context.catalog, { verbose: options.verbose, learned: (index) => describeLearned(index, context) }).describeRoot();
  if (options.format === 'json') return [json(root, options, figures)];
  const lines: string[] = [];
  textNode(root, 0, false, lines, options, figures);
  if (options.summary) {
    lines.push(`Planning Time: ${figures.planningMs.toFixed(3)} ms`);
    if (options.analyze) lines.push(`Execution Time: ${figures.executionMs.toFixed(3)} ms`);
  }
  return lines;
}

const NO_DETAILS: ReadonlyMap<string, string | number> = new Map();

function actual(node: ExplainNode, figures: ExplainFigures): { startup: number; total: number; rows: number; loops: number; details: ReadonlyMap<string, string | number> } | null {
  const found = node.source && figures.of(node.source);
  if (!found || found.loops === 0) return null;
  const { loops } = found;
  return { startup: found.startupMs / loops, total: found.totalMs / loops, rows: Math.round(found.rows / loops), loops, details: node.plain ? NO_DETAILS : found.details };
}

function figuresText(node: ExplainNode, options: ExplainOptions, figures: ExplainFigures): string {
  const { cost } = node;
  let text = options.costs ? `  (cost=${cost.startup.toFixed(2)}..${cost.total.toFixed(2)} rows=${cost.rows} width=${Math.round(cost.width)})` : '';
  if (options.analyze) {
    const real = actual(node, figures);
    if (!real) text += ' (never executed)';
    else text += options.timing ? ` (actual time=${real.startup.toFixed(3)}..${real.total.toFixed(3)} rows=${real.rows} loops=${real.loops})` : ` (actual rows=${real.rows} loops=${real.loops})`;
  }
  return text;
}

/** `indent` counts columns; children of a plan node stand 6 further right, with an arrow. */
function textNode(node: ExplainNode, indent: number, arrow: boolean, lines: string[], options: ExplainOptions, figures: ExplainFigures): void {
  let at = indent;
  if (node.heading !== null) {
    lines.push(`${' '.repeat(at)}${node.heading}`);
    at += 2;
  }
  const shown = arrow || node.heading !== null;
  lines.push(`${' '.repeat(at)}${shown ? '->  ' : ''}${node.label}${figuresText(node, options, figures)}`);
  const inner = at + (shown ? 4 : 0) + 2;
  const pad = ' '.repeat(inner);
  for (const [name, value] of node.properties) lines.push(`${pad}${name}: ${Array.isArray(value) ? value.join(', ') : String(value)}`);
  const real = options.analyze ? actual(node, figures) : null;
  for (const line of detailLines(real?.details, real?.loops ?? 1)) lines.push(`${pad}${line}`);
  for (const child of node.children) textNode(child, inner, true, lines, options, figures);
}

function spaceType(method: string | number | undefined): 'Disk' | 'Memory' {
  return method === 'external merge' ? 'Disk' : 'Memory';
}

function detailLines(details: ReadonlyMap<string, string | number> | undefined, loops: number): string[] {
  if (!details) return [];
  const lines: string[] = [];
  const method = details.get('Sort Method');
  if (method !== undefined) lines.push(`Sort Method: ${method}  ${spaceType(method)}: ${details.get('Sort Space Used')}kB`);
  const batches = details.get('HashAgg Batches');
  if (batches !== undefined) lines.push(`Batches: ${batches}  Memory Usage: ${details.get('Peak Memory Usage')}kB  Disk Usage: ${details.get('Disk Usage')}kB`);
  const parts = details.get('Hash Batches');
  if (parts !== undefined) lines.push(`Batches: ${parts}  Memory Usage: ${details.get('Peak Memory Usage')}kB`);
  const lookups = Number(details.get('Learned Lookups') ?? 0);
  if (lookups > 0) lines.push(`Learned Lookups: ${lookups}  Hit Rate: ${((100 * Number(details.get('Learned Hits'))) / lookups).toFixed(1)}%`);
  const columns = details.get('Columns');
  if (columns !== undefined) lines.push(`Columns: ${columns}`);
  for (const name of ['Workers Planned', 'Workers Launched']) if (details.has(name)) lines.push(`${name}: ${details.get(name)}`);
  const removed = Number(details.get('Rows Removed by Filter') ?? 0);
  if (removed > 0) lines.push(`Rows Removed by Filter: ${Math.round(removed / loops)}`);
  return lines;
}

/** JSON as PostgreSQL lays it out: two spaces a level, numbers with their decimals. */
function json(root: ExplainNode, options: ExplainOptions, figures: ExplainFigures): string {
  const top: [string, Json][] = [['Plan', jsonNode(root, options, figures, null)]];
  if (options.summary) {
    top.push(['Planning Time', new Decimal(figures.planningMs, 3)]);
    if (options.analyze) {
      top.push(['Triggers', []]);
      top.push(['Execution Time', new Decimal(figures.executionMs, 3)]);
    }
  }
  return print([new JsonObject(top)], 0);
}

class Decimal {
  constructor(readonly value: number, readonly digits: number) {}
}
class JsonObject {
  constructor(readonly entries: readonly (readonly [string, Json])[]) {}
}
type Json = string | number | boolean | Decimal | JsonObject | readonly Json[];

function jsonNode(node: ExplainNode, options: ExplainOptions, figures: ExplainFigures, relationship: string | null): JsonObject {
  const entries: [string, Json][] = [['Node Type', node.type]];
  const strategy = node.attributes.filter(([name]) => name === 'Strategy' || name === 'Partial Mode' || name === 'Operation');
  entries.push(...strategy.map(([name, value]): [string, Json] => [name, value as Json]));
  if (relationship !== null) entries.push(['Parent Relationship', relationship]);
  if (node.heading !== null) entries.push(['Subplan Name', node.heading]);
  entries.push(['Parallel Aware', false], ['Async Capable', false]);
  entries.push(...node.attributes.filter((attribute) => !strategy.includes(attribute)).map(([name, value]): [string, Json] => [name, value as Json]));
  if (options.costs) {
    entries.push(['Startup Cost', new Decimal(node.cost.startup, 2)], ['Total Cost', new Decimal(node.cost.total, 2)], ['Plan Rows', node.cost.rows], ['Plan Width', Math.round(node.cost.width)]);
  }
  if (options.analyze) {
    const real = actual(node, figures);
    if (options.timing) entries.push(['Actual Startup Time', new Decimal(real?.startup ?? 0, 3)], ['Actual Total Time', new Decimal(real?.total ?? 0, 3)]);
    entries.push(['Actual Rows', real?.rows ?? 0], ['Actual Loops', real?.loops ?? 0]);
  }
  const lists = new Set(['Output', 'Sort Key', 'Group Key', 'Hash Key', 'Conflict Arbiter Indexes']);
  for (const [name, value] of node.properties) entries.push([name, (lists.has(name) && !Array.isArray(value) ? [value] : value) as PropertyValue]);
  if (options.analyze) {
    for (const [name, value] of actual(node, figures)?.details ?? []) {
      entries.push([name, value]);
      if (name === 'Sort Space Used') entries.push(['Sort Space Type', spaceType(actual(node, figures)?.details.get('Sort Method'))]);
    }
  }
  if (node.children.length > 0) entries.push(['Plans', node.children.map((child) => jsonNode(child, options, figures, child.relationship))]);
  return new JsonObject(entries);
}

function print(value: Json, depth: number): string {
  const pad = '  '.repeat(depth + 1);
  const close = '  '.repeat(depth);
  if (value instanceof Decimal) return value.value.toFixed(value.digits);
  if (value instanceof JsonObject) return `{\n${value.entries.map(([name, item]) => `${pad}${JSON.stringify(name)}: ${print(item, depth + 1)}`).join(',\n')}\n${close}}`;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[\n' + close + ']';
    if (value.every((item) => typeof item === 'string')) return `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
    return `[\n${(value as readonly Json[]).map((item) => `${pad}${print(item, depth + 1)}`).join(',\n')}\n${close}]`;
  }
  return JSON.stringify(value);
}

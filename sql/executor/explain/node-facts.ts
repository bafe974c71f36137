/** What EXPLAIN says about each kind of plan node: its name, its properties, its children. */
import type { Expr } from '../../analyzer/query-tree.js';
import type { Catalog, Index } from '../../catalog/catalog.js';
import { quoteIdentifier } from '../../catalog/identifiers.js';
import type { Cost, PlanNode } from '../../planner/plan-node.js';
import { isInitPlan, type PlanText } from './expressions.js';

export type PropertyValue = string | number | boolean | readonly string[];

export interface ExplainNode {
  /** First line of the text form, without figures. */
  readonly label: string;
  /** JSON's Node Type and what goes with it. */
  readonly type: string;
  readonly attributes: readonly (readonly [string, PropertyValue])[];
  readonly properties: [string, PropertyValue][];
  readonly cost: Cost;
  /** Where actual figures are found. */
  readonly source: PlanNode | null;
  readonly relationship: string;
  /** 'InitPlan 1 (returns $0)', 'CTE x': a heading of the text form. */
  readonly heading: string | null;
  readonly children: readonly ExplainNode[];
  /** Shows its source's times but not its details. */
  readonly plain?: true;
}

const JOIN_NAMES = { inner: '', left: ' Left', right: ' Right', full: ' Full', semi: ' Semi', anti: ' Anti' } as const;
const JOIN_TYPES = { inner: 'Inner', left: 'Left', right: 'Right', full: 'Full', semi: 'Semi', anti: 'Anti' } as const;

export interface DescribeOptions {
  readonly verbose: boolean;
  /** What is known of an index USING learned; null for others. */
  readonly learned: (index: Index) => string | null;
}

export class PlanDescriber {
  private readonly ctesShown = new Set<number>();
  constructor(private readonly text: PlanText, private readonly catalog: Catalog, private readonly options: DescribeOptions) {}

  describe(node: PlanNode, relationship = 'Outer', heading: string | null = null): ExplainNode {
    // Projections and filters are part of the node below them.
    if (node.kind === 'Project') return this.merged(this.describe(node.child, relationship, heading), node, []);
    if (node.kind === 'Filter') return this.merged(this.describe(node.child, relationship, heading), node, [['Filter', this.text.condition(node.quals)]]);
    if (node.kind === 'SubqueryScan' && node.filter.length === 0) return this.merged(this.describe(node.child, relationship, heading), node, []);
    const facts = this.facts(node);
    const properties = facts.properties.filter(([, value]) => !(Array.isArray(value) && value.length === 0));
    if (this.options.verbose) properties.unshift(['Output', node.output.map((expr) => this.text.expr(expr))]);
    return {
      label: facts.label, type: facts.type, attributes: facts.attributes ?? [], properties, cost: node.cost, source: node, relationship, heading,
      children: [...this.attached(node), ...facts.children],
    };
  }

  /** The statement's plan, WITH queries above it. */
  describeRoot(): ExplainNode {
    const root = this.describe(this.text.plan.root);
    const ctes = this.text.plan.ctes.map((cte) => this.describe(cte.plan, 'InitPlan', `CTE ${cte.name}`));
    return ctes.length === 0 ? root : { ...root, children: [...ctes, ...root.children] };
  }

  private merged(below: ExplainNode, node: PlanNode, properties: readonly [string, PropertyValue][]): ExplainNode {
    const extra = node.kind === 'Project' ? this.attached(node) : [];
    return { ...below, cost: { ...node.cost, startup: Math.max(node.cost.startup, below.cost.startup) }, properties: [...below.properties, ...properties], children: [...extra, ...below.children] };
  }

  private attached(node: PlanNode): ExplainNode[] {
    return this.text.subPlansOf(node).filter((sub) => !this.ctesShown.has(-sub.id)).map((sub) => {
      this.ctesShown.add(-sub.id);
      return this.describe(sub.plan, isInitPlan(sub) ? 'InitPlan' : 'SubPlan', isInitPlan(sub) ? `InitPlan ${sub.number} (returns $${sub.number - 1})` : `SubPlan ${sub.number}`);
    });
  }

  private relation(oid: number, varno: number): string {
    const relation = this.catalog.relation(oid);
    const name = quoteIdentifier(relation?.relname ?? String(oid));
    const schema = this.options.verbose && relation ? `${quoteIdentifier(this.catalog.namespace(relation.relnamespace)?.nspname ?? '')}.` : '';
    const alias = quoteIdentifier(this.text.name(varno));
    return alias === name ? `${schema}${name}` : `${schema}${name} ${alias}`;
  }

  private relationAttributes(oid: number, varno: number): [string, PropertyValue][] {
    const relation = this.catalog.relation(oid);
    return [['Relation Name', relation?.relname ?? ''], ...(this.options.verbose ? [['Schema', this.catalog.namespace(relation?.relnamespace ?? 0)?.nspname ?? ''] as [string, PropertyValue]] : []), ['Alias', this.text.name(varno)]];
  }

  private filter(name: string, quals: readonly Expr[], ofScan = false): [string, PropertyValue][] {
    return quals.length === 0 ? [] : [[name, this.text.condition(quals, ofScan)]];
  }

  private facts(node: PlanNode): { label: string; type: string; attributes?: [string, PropertyValue][]; properties: [string, PropertyValue][]; children: ExplainNode[] } {
    const { text } = this;
    switch (node.kind) {
      case 'Result':
        return { label: 'Result', type: 'Result', properties: node.empty ? [['One-Time Filter', 'false']] : this.filter('One-Time Filter', node.oneTimeFilter), children: node.child ? [this.describe(node.child)] : [] };
      case 'SeqScan':
        return { label: `Seq Scan on ${this.relation(node.relation, node.varno)}`, type: 'Seq Scan', attributes: this.relationAttributes(node.relation, node.varno), properties: this.filter('Filter', node.filter, true), children: [] };
      case 'IndexScan': {
        const found = this.catalog.index(node.index);
        const index = found?.name ?? '';
        const learned = found ? this.options.learned(found) : null;
        const type = node.indexOnly ? 'Index Only Scan' : 'Index Scan';
        return {
          label: `${type}${node.backward ? ' Backward' : ''} using ${quoteIdentifier(index)} on ${this.relation(node.relation, node.varno)}`, type,
          attributes: [['Scan Direction', node.backward ? 'Backward' : 'Forward'], ['Index Name', index], ...this.relationAttributes(node.relation, node.varno)],
          properties: [...this.filter('Index Cond', distinct(node.conditions.map((condition) => condition.original)), true), ...this.filter('Filter', node.filter, true), ...(learned ? [['Learned', learned] as [string, PropertyValue]] : [])], children: [],
        };
      }
      case 'BitmapScan': {
        const parts = node.parts.map((part): ExplainNode => {
          const name = this.catalog.index(part.index)?.name ?? '';
          return { label: `Bitmap Index Scan on ${quoteIdentifier(name)}`, type: 'Bitmap Index Scan', attributes: [['Index Name', name]], properties: this.filter('Index Cond', distinct(part.conditions.map((c) => c.original)), true), cost: { ...part.cost, width: 0 }, source: null, relationship: 'Member', heading: null, children: [] };
        });
        const total = parts.reduce((sum, part) => sum + part.cost.total, 0);
        const or: ExplainNode = { label: 'BitmapOr', type: 'BitmapOr', attributes: [], properties: [], cost: { startup: total, total, rows: node.cost.rows, width: 0 }, source: null, relationship: 'Outer', heading: null, children: parts };
        return { label: `Bitmap Heap Scan on ${this.relation(node.relation, node.varno)}`, type: 'Bitmap Heap Scan', attributes: this.relationAttributes(node.relation, node.varno), properties: [...this.filter('Recheck Cond', node.recheck, true), ...this.filter('Filter', node.filter, true)], children: [or] };
      }
      case 'TidScan':
        return { label: `Tid Scan on ${this.relation(node.relation, node.varno)}`, type: 'Tid Scan', attributes: this.relationAttributes(node.relation, node.varno), properties: [['TID Cond', text.expr(node.condition)], ...this.filter('Filter', node.filter.filter((qual) => qual !== node.condition, true))], children: [] };
      case 'SubqueryScan':
        return { label: `Subquery Scan on ${quoteIdentifier(text.name(node.varno))}`, type: 'Subquery Scan', attributes: [['Alias', text.name(node.varno)]], properties: this.filter('Filter', node.filter), children: [this.describe(node.child, 'Subquery')] };
      case 'FunctionScan': {
        const [first] = node.functions;
        const name = node.functions.length === 1 && first!.kind === 'FuncExpr' ? this.catalog.proc(first!.func)?.proname : undefined;
        const alias = text.name(node.varno);
        return { label: `Function Scan on ${name ? `${quoteIdentifier(name)}${name === alias ? '' : ` ${quoteIdentifier(alias)}`}` : quoteIdentifier(alias)}`, type: 'Function Scan', attributes: [...(name ? [['Function Name', name] as [string, PropertyValue]] : []), ['Alias', alias]], properties: this.filter('Filter', node.filter, true), children: [] };
      }
      case 'ValuesScan':
        return { label: `Values Scan on ${quoteIdentifier(text.name(node.varno))}`, type: 'Values Scan', attributes: [['Alias', text.name(node.varno)]], properties: this.filter('Filter', node.filter, true), children: [] };
      case 'CteScan': {
        const alias = text.name(node.varno);
        return { label: `CTE Scan on ${quoteIdentifier(node.cte.name)}${alias === node.cte.name ? '' : ` ${quoteIdentifier(alias)}`}`, type: 'CTE Scan', attributes: [['CTE Name', node.cte.name], ['Alias', alias]], properties: this.filter('Filter', node.filter, true), children: [] };
      }
      case 'WorkTableScan': {
        const name = this.text.plan.ctes.find((cte) => cte.id === node.recursion)?.name ?? '';
        const alias = text.name(node.varno);
        return { label: `WorkTable Scan on ${quoteIdentifier(name)}${alias === name ? '' : ` ${quoteIdentifier(alias)}`}`, type: 'WorkTable Scan', attributes: [['CTE Name', name], ['Alias', alias]], properties: this.filter('Filter', node.filter, true), children: [] };
      }
      case 'NestLoop':
        return {
          label: node.joinType === 'inner' ? 'Nested Loop' : `Nested Loop${JOIN_NAMES[node.joinType]} Join`, type: 'Nested Loop', attributes: [['Join Type', JOIN_TYPES[node.joinType]]],
          properties: [...this.filter('Join Filter', node.joinQuals), ...this.filter('Filter', node.filter)], children: [this.describe(node.outer), this.describe(node.inner, 'Inner')],
        };
      case 'HashJoin': {
        const inner = this.describe(node.inner);
        const hash: ExplainNode = { label: 'Hash', type: 'Hash', attributes: [], properties: [], cost: { ...node.inner.cost, startup: node.inner.cost.total }, source: node.inner, plain: true, relationship: 'Inner', heading: null, children: [inner] };
        return {
          label: node.joinType === 'inner' ? 'Hash Join' : `Hash${JOIN_NAMES[node.joinType]} Join`, type: 'Hash Join', attributes: [['Join Type', JOIN_TYPES[node.joinType]]],
          properties: [...this.filter('Hash Cond', node.keys.map((key) => key.original)), ...this.filter('Join Filter', node.joinQuals), ...this.filter('Filter', node.filter)], children: [this.describe(node.outer), hash],
        };
      }
      case 'MergeJoin':
        return {
          label: node.joinType === 'inner' ? 'Merge Join' : `Merge${JOIN_NAMES[node.joinType]} Join`, type: 'Merge Join', attributes: [['Join Type', JOIN_TYPES[node.joinType]]],
          properties: [...this.filter('Merge Cond', node.keys.map((key) => key.original)), ...this.filter('Join Filter', node.joinQuals), ...this.filter('Filter', node.filter)], children: [this.describe(node.outer), this.describe(node.inner, 'Inner')],
        };
      case 'Sort':
        return { label: 'Sort', type: 'Sort', properties: [['Sort Key', node.keys.map((key) => text.sortKey(key))]], children: [this.describe(node.child)] };
      case 'Agg': {
        const names = { plain: 'Aggregate', sorted: 'GroupAggregate', hashed: node.groupingSets?.some((set) => set.length === 0) ? 'MixedAggregate' : 'HashAggregate' } as const;
        const strategies = { plain: 'Plain', sorted: 'Sorted', hashed: names.hashed === 'MixedAggregate' ? 'Mixed' : 'Hashed' } as const;
        const keys: [string, PropertyValue][] = node.groupingSets
          ? node.groupingSets.map((set): [string, PropertyValue] => (set.length === 0 ? ['Group Key', '()'] : ['Hash Key', set.map((position) => text.expr(node.groups[position]!))]))
          : node.groups.length > 0 ? [['Group Key', node.groups.map((expr) => text.expr(expr))]] : [];
        return { label: names[node.strategy], type: 'Aggregate', attributes: [['Strategy', strategies[node.strategy]], ['Partial Mode', 'Simple']], properties: [...keys, ...this.filter('Filter', node.filter)], children: [this.describe(node.child)] };
      }
      case 'SetOp': {
        const name = `${node.op === 'intersect' ? 'Intersect' : 'Except'}${node.all ? ' All' : ''}`;
        return { label: `HashSetOp ${name}`, type: 'SetOp', attributes: [['Strategy', 'Hashed'], ['Command', name]], properties: [], children: [this.describe(node.left), this.describe(node.right, 'Inner')] };
      }
      case 'Append':
        return { label: 'Append', type: 'Append', properties: [], children: node.children.map((child) => this.describe(child, 'Member')) };
      case 'RecursiveUnion':
        return { label: 'Recursive Union', type: 'Recursive Union', properties: [], children: [this.describe(node.initial), this.describe(node.recursive, 'Inner')] };
      case 'WindowAgg': case 'Unique': case 'Limit': case 'Materialize': case 'ProjectSet': case 'LockRows':
        return { label: node.kind, type: node.kind, properties: [], children: [this.describe(node.child)] };
      case 'ModifyTable': {
        const operation = { insert: 'Insert', update: 'Update', delete: 'Delete', merge: 'Merge' }[node.operation];
        const conflict = node.onConflict;
        const properties: [string, PropertyValue][] = conflict ? [
          ['Conflict Resolution', conflict.action === 'nothing' ? 'NOTHING' : 'UPDATE'],
          ['Conflict Arbiter Indexes', conflict.arbiters.map((oid) => this.catalog.index(oid)?.name ?? '')],
          ...this.filter('Conflict Filter', conflict.where ? [conflict.where] : []),
        ] : [];
        return { label: `${operation} on ${this.relation(node.relation, node.varno)}`, type: 'ModifyTable', attributes: [['Operation', operation], ...this.relationAttributes(node.relation, node.varno)], properties, children: [this.describe(node.child)] };
      }
      case 'Project': case 'Filter':
        throw new Error('described as part of its child');
    }
  }
}

function distinct(exprs: readonly Expr[]): Expr[] {
  return [...new Set(exprs)];
}

/**
 * Queries back to SQL in pg_get_viewdef's layout (ruleutils.c, get_query_def): one clause a line,
 * indented as PostgreSQL does it.
 */
import { quoteIdentifier } from '../analyzer/names.js';
import type { ColumnInfo, CommonTableExpr, JoinTreeNode, Query, RangeTableEntry, SetOperationNode, TargetEntry } from '../analyzer/query-tree.js';
import { deparseExpr, relationName, sortItems, windowSpecification, type DeparseContext, type DeparseLevel } from './expression.js';
import { typeText } from './type-text.js';

/** The whole text without a final semicolon. `isSubquery`: printed inside parentheses of another query. */
export function deparseQuery(query: Query, outer: DeparseContext): string {
  const level: DeparseLevel = { rangeTable: query.rangeTable, names: uniqueNames(query, outer), windows: query.windowClause, targetList: query.targetList };
  const context: DeparseContext = { ...outer, levels: [level, ...outer.levels], qualify: outer.levels.length > 0 || query.rangeTable.length !== 1 };
  const out: string[] = [];
  if (query.ctes.length > 0) out.push(withClause(query, context));
  if (query.commandType !== 'select') throw new Error('only SELECT is deparsed');
  out.push(query.setOperations ? setOperationText(query.setOperations, query, context) : selectText(query, context));
  const { sortClause } = query;
  if (sortClause.length > 0) {
    const text = query.setOperations
      ? sortClause.map((clause) => {
          const target = query.targetList.find((t) => t.sortGroupRef === clause.ref)!;
          return String(target.resno) + (clause.descending ? (clause.nullsFirst ? ' DESC' : ' DESC NULLS LAST') : clause.nullsFirst ? ' NULLS FIRST' : '');
        }).join(', ')
      : sortItems(sortClause, query.targetList, context);
    out.push(`${line(context, 2)}ORDER BY ${text}`);
  }
  if (query.limitOffset) out.push(`${line(context, 1)}OFFSET ${deparseExpr(query.limitOffset, context)}`);
  if (query.limitCount) {
    out.push(query.withTies ? `${line(context, 1)}FETCH FIRST (${deparseExpr(query.limitCount, context)}) ROWS WITH TIES` : `${line(context, 1)}LIMIT ${deparseExpr(query.limitCount, context)}`);
  }
  for (const mark of query.rowMarks) {
    if (mark.pushedDown) continue;
    const strength = { 'key share': 'KEY SHARE', share: 'SHARE', 'no key update': 'NO KEY UPDATE', update: 'UPDATE' }[mark.strength];
    const policy = { wait: '', nowait: ' NOWAIT', skip: ' SKIP LOCKED' }[mark.policy];
    out.push(`${line(context, 1)}FOR ${strength} OF ${quoteIdentifier(level.names[mark.rtindex - 1])}${policy}`);
  }
  return trimLines(out.join(''));
}

/** No spaces stand before a line that CASE began. */
function trimLines(text: string): string {
  return text.replace(/ +(?=\n +CASE\b)/g, '');
}

/** A new line with `extra` columns more than the query's indentation; a space when all is on one line. */
function line(context: DeparseContext, extra: number): string {
  return context.indent < 0 ? ' ' : `\n${' '.repeat(context.indent + extra)}`;
}

/** Entries get names that differ from each other and from those of outer levels (set_rtable_names). */
function uniqueNames(query: Query, outer: DeparseContext): string[] {
  const used = new Set(outer.levels.flatMap((level) => level.names));
  return query.rangeTable.map((entry) => {
    if (entry.kind === 'join' && !entry.aliased) return '';
    let name = entry.kind === 'relation' && !entry.aliased ? entry.name : entry.name;
    for (let i = 1; used.has(name) && name !== ''; i++) name = `${entry.name}_${i}`;
    used.add(name);
    return name;
  });
}

function withClause(query: Query, context: DeparseContext): string {
  const inner: DeparseContext = { ...context, indent: context.indent < 0 ? -1 : context.indent + 8, namesHidden: false };
  const items = query.ctes.map((cte: CommonTableExpr) => {
    const names = cte.query.targetList.filter((t) => !t.junk).map((t) => t.name);
    const renamed = cte.recursive || cte.columns.some((c, i) => c.name !== names[i]);
    const columns = renamed ? `(${cte.columns.map((c) => quoteIdentifier(c.name)).join(', ')})` : '';
    const materialized = cte.materialized === 'always' ? ' MATERIALIZED' : cte.materialized === 'never' ? ' NOT MATERIALIZED' : '';
    return `${quoteIdentifier(cte.name)}${columns} AS${materialized} (${line(inner, 0)}${deparseQuery(cte.query, inner)}${line(context, 8)})`;
  });
  return ` WITH ${query.hasRecursive ? 'RECURSIVE ' : ''}${items.join(', ')}${context.indent < 0 ? '' : '\n'}`;
}

function selectText(query: Query, context: DeparseContext): string {
  // a bare VALUES list
  const only = query.rangeTable.length === 1 ? query.rangeTable[0] : undefined;
  if (only?.kind === 'values' && query.targetList.every((t) => t.expr.kind === 'Var') && query.jointree.quals === null && query.groupClause.length === 0) return valuesText(only, context);
  let distinct = '';
  if (query.distinctClause.length > 0) {
    distinct = query.hasDistinctOn ? ` DISTINCT ON (${query.distinctClause.map((c) => sortItems([{ ...c, descending: false, nullsFirst: false }], query.targetList, context)).join(', ')})` : ' DISTINCT';
  }
  let out = ` SELECT${distinct}${targetListText(query.targetList, context)}`;
  if (query.jointree.from.length > 0) out += `${line(context, 3)}FROM ${query.jointree.from.map((node) => fromItem(node, context)).join(`,${line(context, 4)}`)}`;
  if (query.jointree.quals) out += `${line(context, 2)}WHERE ${deparseExpr(query.jointree.quals, context)}`;
  if (query.groupClause.length > 0 || query.groupingSets) out += `${line(context, 2)}GROUP BY ${groupText(query, context)}`;
  if (query.having) out += `${line(context, 1)}HAVING ${deparseExpr(query.having, context)}`;
  const named = query.windowClause.filter((w) => w.name !== null);
  if (named.length > 0) out += `${line(context, 2)}WINDOW ${named.map((w) => `${quoteIdentifier(w.name!)} AS ${windowSpecification(w, context)}`).join(', ')}`;
  return out;
}

function groupText(query: Query, context: DeparseContext): string {
  const one = (ref: number): string => sortItems([{ ...query.groupClause.find((c) => c.ref === ref)!, descending: false, nullsFirst: false }], query.targetList, context);
  const distinct = query.groupDistinct ? 'DISTINCT ' : '';
  if (query.groupingSets === null) return distinct + query.groupClause.map((c) => one(c.ref)).join(', ');
  return `${distinct}GROUPING SETS (${query.groupingSets.map((set) => `(${set.map(one).join(', ')})`).join(', ')})`;
}

function targetListText(list: readonly TargetEntry[], context: DeparseContext): string {
  return list.filter((t) => !t.junk).map((target) => {
    const text = deparseExpr(target.expr, context);
    const column = target.expr.kind === 'Var' && target.expr.attno > 0 ? context.levels[target.expr.levelsUp]?.rangeTable[target.expr.varno - 1]?.columns[target.expr.attno - 1]?.name : undefined;
    const implied = column ?? (context.namesHidden ? '?column?' : null);
    const alias = target.name !== null && target.name !== implied ? ` AS ${quoteIdentifier(target.name)}` : '';
    return text + alias;
  }).reduce((all, item, i) => (i === 0 ? (item.startsWith('\n') ? item : ` ${item}`) : `${all},${item.startsWith('\n') ? item : line(context, 4) + item}`), '');
}

function valuesText(entry: Extract<RangeTableEntry, { kind: 'values' }>, context: DeparseContext): string {
  return ` VALUES ${entry.rows.map((row) => `(${row.map((cell) => deparseExpr(cell, context)).join(',')})`).join(', ')}`;
}

function fromItem(node: JoinTreeNode, context: DeparseContext): string {
  if (node.kind === 'rangeTableRef') return tableText(node.rtindex, context);
  if (node.kind === 'fromExpr') return node.from.map((child) => fromItem(child, context)).join(', ');
  const words = { inner: 'JOIN', left: 'LEFT JOIN', right: 'RIGHT JOIN', full: 'FULL JOIN' }[node.joinType];
  const cross = node.joinType === 'inner' && node.quals === null;
  const entry = context.levels[0].rangeTable[node.rtindex - 1];
  const merged = entry.kind === 'join' && entry.mergedColumns > 0 ? entry.columns.slice(0, entry.mergedColumns) : null;
  let condition = '';
  if (merged) condition = ` USING (${merged.map((c) => quoteIdentifier(c.name)).join(', ')})`;
  else if (node.quals) {
    const quals = deparseExpr(node.quals, context);
    condition = ` ON ${context.pretty || quals.startsWith('(') ? (context.pretty ? quals : `(${quals})`) : `(${quals})`}`;
  } else if (!cross) condition = ' ON (true)';
  let right = fromItem(node.right, context);
  if (context.pretty && node.right.kind === 'joinExpr') right = `(${right})`;
  const text = `${fromItem(node.left, context)}${line(context, 5)}${cross ? 'CROSS JOIN' : words} ${right}${condition}`;
  const wrapped = context.pretty ? text : `(${text})`;
  const aliased = entry.kind === 'join' && entry.aliased;
  return aliased ? `${context.pretty ? `(${text})` : wrapped} ${quoteIdentifier(entry.name)}${columnAliases(entry.columns, null)}` : wrapped;
}

function columnAliases(columns: readonly ColumnInfo[], own: readonly string[] | null): string {
  const names = columns.map((c) => c.name);
  if (own && names.every((name, i) => name === own[i])) return '';
  return `(${names.filter((name) => name !== '').map(quoteIdentifier).join(', ')})`;
}

function tableText(rtindex: number, context: DeparseContext): string {
  const level = context.levels[0];
  const entry = level.rangeTable[rtindex - 1];
  const name = level.names[rtindex - 1];
  const lateral = entry.lateral ? 'LATERAL ' : '';
  const alias = (own: string, columns: readonly string[] | null): string => {
    const list = columns === null || columns.join() === entry.columns.map((c) => c.name).join() ? '' : columnAliases(entry.columns, columns);
    return name !== own || list !== '' ? ` ${quoteIdentifier(name)}${list}` : '';
  };
  switch (entry.kind) {
    case 'relation': {
      const relation = context.catalog.relation(entry.relation);
      const own = relation?.attributes.map((a) => (a.attisdropped ? '' : a.attname)) ?? null;
      return `${relationName(context.catalog, context.eval, entry.relation)}${alias(relation?.relname ?? '', own)}`;
    }
    case 'subquery': {
      if (entry.view) {
        const view = context.catalog.relation(entry.view);
        return `${relationName(context.catalog, context.eval, entry.view)}${alias(view?.relname ?? '', view?.attributes.map((a) => a.attname) ?? null)}`;
      }
      const inner: DeparseContext = { ...context, indent: context.indent < 0 ? -1 : context.indent + 8, namesHidden: false };
      const own = entry.query.targetList.filter((t) => !t.junk).map((t) => t.name ?? '?column?');
      const list = entry.columns.map((c) => c.name).join() === own.join() ? '' : columnAliases(entry.columns, own);
      return `${lateral}(${deparseQuery(entry.query, inner)}) ${quoteIdentifier(name)}${list}`;
    }
    case 'cte': return `${quoteIdentifier(entry.cteName)}${name !== entry.cteName ? ` ${quoteIdentifier(name)}` : ''}`;
    case 'values': return `(${valuesText(entry, context)}) ${quoteIdentifier(name)}(${entry.columns.map((c) => quoteIdentifier(c.name)).join(', ')})`;
    case 'function': {
      const calls = entry.functions.map((f) => deparseExpr(f, context));
      const text = calls.length > 1 ? `ROWS FROM(${calls.join(', ')})` : calls[0];
      const first = entry.functions[0];
      const record = first.type === 2249 && first.kind === 'FuncExpr' && !context.catalog.proc(first.func)?.proallargtypes;
      const columns = record
        ? `(${entry.columns.map((c) => `${quoteIdentifier(c.name)} ${typeText(context, c.type, c.typmod)}`).join(', ')})`
        : `(${entry.columns.map((c) => quoteIdentifier(c.name)).join(', ')})`;
      return `${lateral}${text}${entry.ordinality ? ' WITH ORDINALITY' : ''} ${quoteIdentifier(name)}${columns}`;
    }
    default: return quoteIdentifier(name);
  }
}

function setOperationText(node: SetOperationNode, query: Query, context: DeparseContext, parent: string | null = null): string {
  if (node.kind === 'rangeTableRef') {
    const entry = query.rangeTable[node.rtindex - 1];
    if (entry.kind !== 'subquery') throw new Error('set operation over a non-subquery');
    const inner = entry.query;
    const needsParens = inner.ctes.length > 0 || inner.sortClause.length > 0 || inner.limitCount !== null || inner.limitOffset !== null || inner.rowMarks.length > 0 || inner.setOperations !== null;
    const text = deparseQuery(inner, context);
    return needsParens ? `(${text})` : text;
  }
  const name = `${node.op.toUpperCase()}${node.all ? ' ALL' : ''}`;
  const left = setOperationText(node.left, query, context, `${node.op}${node.all}`);
  const right = setOperationText(node.right, query, context, 'right');
  const rightText = node.right.kind === 'setOperation' ? `(${right})` : right;
  const text = `${left}${line(context, 0)}${context.indent < 0 ? '' : ''}${name}${context.indent < 0 ? '' : '\n'}${context.indent < 0 ? ' ' : ' '.repeat(context.indent)}${rightText}`;
  return parent !== null && parent !== 'right' && parent !== `${node.op}${node.all}` ? `(${text})` : text;
}

/**
 * Looks for what an isolation level forbids in a history of transactions over keys whose versions
 * have a known order. Adya's classes: dependencies between committed transactions are
 *
 *     ww  one overwrote the other's version       wr  one read the other's version
 *     rw  one read a version that the other overwrote (anti-dependency)
 *
 * and an anomaly is a cycle of them: G0 of ww alone, G1c of ww and wr, G-single with exactly one
 * rw, G2 with more. G1a (a read of what was rolled back), G1b (a read of a version that its writer
 * overwrote itself), lost and reordered versions are found without a graph.
 */
export type Outcome = 'committed' | 'aborted' | 'unknown';

export interface Transaction {
  readonly id: number;
  outcome: Outcome;
  /** Version read (its value), null: none was there. Reads after an own write of the key are left out. */
  readonly reads: { readonly key: number; readonly value: number | null }[];
  readonly writes: { readonly key: number; readonly value: number }[];
}

export interface History {
  readonly transactions: readonly Transaction[];
  /** Per key its versions, oldest first, as the end of the run shows them. Values are unique. */
  readonly versions: ReadonlyMap<number, readonly number[]>;
}

export type AnomalyKind = 'G0' | 'G1a' | 'G1b' | 'G1c' | 'G-single' | 'G2' | 'lost write' | 'unknown version';
export interface Anomaly { readonly kind: AnomalyKind; readonly detail: string }

/** What no transaction may show at a level. A lost write is one that was acknowledged and is gone. */
export const FORBIDDEN: Readonly<Record<string, readonly AnomalyKind[]>> = {
  'read committed': ['G0', 'G1a', 'G1b', 'G1c', 'lost write', 'unknown version'],
  'repeatable read': ['G0', 'G1a', 'G1b', 'G1c', 'G-single', 'lost write', 'unknown version'],
  serializable: ['G0', 'G1a', 'G1b', 'G1c', 'G-single', 'G2', 'lost write', 'unknown version'],
};

type EdgeKind = 'ww' | 'wr' | 'rw';
type Graph = Map<number, Map<number, Set<EdgeKind>>>;

export function findAnomalies({ transactions, versions }: History): Anomaly[] {
  const anomalies: Anomaly[] = [];
  const writerOf = new Map<number, Transaction>();
  for (const transaction of transactions) for (const { value } of transaction.writes) writerOf.set(value, transaction);
  const position = new Map<number, { readonly key: number; readonly at: number }>();
  for (const [key, values] of versions) values.forEach((value, at) => position.set(value, { key, at }));
  // What somebody saw of an unknown outcome was a commit.
  for (const values of versions.values()) for (const value of values) {
    const writer = writerOf.get(value);
    if (writer?.outcome === 'unknown') writer.outcome = 'committed';
  }
  const committed = transactions.filter((transaction) => transaction.outcome === 'committed');
  for (const transaction of committed)
    for (const { key, value } of transaction.writes) if (!position.has(value)) anomalies.push({ kind: 'lost write', detail: `transaction ${transaction.id}: ${value} of key ${key}` });
  for (const [key, values] of versions) for (const value of values) {
    const writer = writerOf.get(value);
    if (writer?.outcome === 'aborted') anomalies.push({ kind: 'G1a', detail: `transaction ${writer.id} was rolled back, its ${value} of key ${key} stayed` });
    else if (!writer) anomalies.push({ kind: 'unknown version', detail: `${value} of key ${key}` });
  }
  for (const transaction of transactions) for (const { key, value } of transaction.reads) {
    if (value === null) continue;
    const writer = writerOf.get(value);
    if (!writer) anomalies.push({ kind: 'unknown version', detail: `transaction ${transaction.id} read ${value} of key ${key}` });
    else if (writer.outcome === 'aborted' && writer !== transaction) anomalies.push({ kind: 'G1a', detail: `transaction ${transaction.id} read ${value} of key ${key} by ${writer.id}` });
    else if (writer !== transaction && lastWrite(writer, key) !== value) anomalies.push({ kind: 'G1b', detail: `transaction ${transaction.id} read ${value} of key ${key} by ${writer.id}` });
  }
  const graph = dependencies(committed, versions, writerOf, position);
  for (const [kind, edges] of [['G0', ['ww']], ['G1c', ['ww', 'wr']]] as const) {
    const cycle = findCycle(graph, edges);
    if (cycle) anomalies.push({ kind, detail: describe(graph, cycle) });
  }
  const single = findSingle(graph);
  if (single) anomalies.push({ kind: 'G-single', detail: describe(graph, single) });
  const any = findCycle(graph, ['ww', 'wr', 'rw']);
  if (any && anomalies.length === 0) anomalies.push({ kind: 'G2', detail: describe(graph, any) });
  return anomalies;
}

function lastWrite(transaction: Transaction, key: number): number | undefined {
  return transaction.writes.findLast((write) => write.key === key)?.value;
}

function dependencies(committed: readonly Transaction[], versions: History['versions'], writerOf: ReadonlyMap<number, Transaction>, position: ReadonlyMap<number, { key: number; at: number }>): Graph {
  const graph: Graph = new Map(committed.map((transaction) => [transaction.id, new Map()]));
  const add = (from: Transaction | undefined, to: Transaction | undefined, kind: EdgeKind): void => {
    if (!from || !to || from === to || from.outcome !== 'committed' || to.outcome !== 'committed') return;
    const edges = graph.get(from.id)!;
    const kinds = edges.get(to.id);
    if (kinds) kinds.add(kind);
    else edges.set(to.id, new Set([kind]));
  };
  for (const values of versions.values()) for (let i = 1; i < values.length; i++) add(writerOf.get(values[i - 1]!), writerOf.get(values[i]!), 'ww');
  for (const transaction of committed) for (const { key, value } of transaction.reads) {
    const values = versions.get(key) ?? [];
    if (value !== null) add(writerOf.get(value), transaction, 'wr');
    const at = value === null ? -1 : position.get(value)?.at;
    if (at === undefined) continue;
    // The first version that another transaction put over the one that was read.
    let next = at + 1;
    while (next < values.length && value !== null && writerOf.get(values[next]!) === writerOf.get(value)) next++;
    if (next < values.length) add(transaction, writerOf.get(values[next]!), 'rw');
  }
  return graph;
}

function follows(kinds: ReadonlySet<EdgeKind>, wanted: readonly EdgeKind[]): boolean {
  return wanted.some((kind) => kinds.has(kind));
}

/** A cycle of edges of these kinds, as transaction ids; breadth first from each node of a component that has one. */
function findCycle(graph: Graph, kinds: readonly EdgeKind[]): number[] | undefined {
  for (const component of components(graph, kinds)) {
    const inside = new Set(component);
    for (const start of component) {
      const path = shortestPath(graph, start, start, kinds, inside);
      if (path) return path;
    }
  }
  return undefined;
}

/** A cycle with exactly one anti-dependency. */
function findSingle(graph: Graph): number[] | undefined {
  for (const component of components(graph, ['ww', 'wr', 'rw'])) {
    const inside = new Set(component);
    for (const from of component) for (const [to, kinds] of graph.get(from)!) {
      if (!kinds.has('rw') || !inside.has(to)) continue;
      const back = shortestPath(graph, to, from, ['ww', 'wr'], inside);
      if (back) return [from, ...back];
    }
  }
  return undefined;
}

function shortestPath(graph: Graph, from: number, to: number, kinds: readonly EdgeKind[], inside: ReadonlySet<number>): number[] | undefined {
  const before = new Map<number, number>();
  const queue = [from];
  for (let i = 0; i < queue.length; i++) {
    const at = queue[i]!;
    for (const [next, edge] of graph.get(at)!) {
      if (!inside.has(next) || !follows(edge, kinds)) continue;
      if (next === to) {
        const path = [to];
        for (let node = at; ; node = before.get(node)!) {
          path.unshift(node);
          if (node === from) return path;
        }
      }
      if (next === from || before.has(next)) continue;
      before.set(next, at);
      queue.push(next);
    }
  }
  return undefined;
}

/** Strongly connected components of more than one transaction (Tarjan, without recursion). */
function components(graph: Graph, kinds: readonly EdgeKind[]): number[][] {
  const index = new Map<number, number>();
  const low = new Map<number, number>();
  const stack: number[] = [];
  const onStack = new Set<number>();
  const found: number[][] = [];
  const enter = (node: number): { node: number; edges: Iterator<[number, Set<EdgeKind>]> } => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    onStack.add(node);
    return { node, edges: graph.get(node)!.entries() };
  };
  for (const root of graph.keys()) {
    if (index.has(root)) continue;
    const work = [enter(root)];
    while (work.length > 0) {
      const top = work.at(-1)!;
      const step = top.edges.next();
      if (!step.done) {
        const [next, edge] = step.value;
        if (!follows(edge, kinds)) continue;
        if (!index.has(next)) work.push(enter(next));
        else if (onStack.has(next)) low.set(top.node, Math.min(low.get(top.node)!, index.get(next)!));
        continue;
      }
      work.pop();
      const parent = work.at(-1);
      if (parent) low.set(parent.node, Math.min(low.get(parent.node)!, low.get(top.node)!));
      if (low.get(top.node) !== index.get(top.node)) continue;
      const component: number[] = [];
      for (let node = -1; node !== top.node; ) {
        node = stack.pop()!;
        onStack.delete(node);
        component.push(node);
      }
      if (component.length > 1) found.push(component);
    }
  }
  return found;
}

function describe(graph: Graph, cycle: readonly number[]): string {
  return cycle.map((id, i) => (i + 1 < cycle.length ? `${id} -${[...graph.get(id)!.get(cycle[i + 1]!)!].join('/')}-> ` : String(id))).join('');
}

/** For each outer row the inner side is run again, with parameters from the outer row where it has any. */
import { DatabaseError } from '../../../engine/errors.js';
import { compileLearnedLoop } from '../../learned/learned-loop.js';
import type { NestLoopNode } from '../../planner/plan-node.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { compile } from '../expressions/compile.js';
import { Frame } from '../expressions/frame.js';
import { rowAt } from '../vectors.js';
import { compileJoin, flush, passes, type CompiledJoin } from './join-common.js';
import { TIME_SLICE } from '../interrupts.js';
import { GeneratorOperator, pull, type Run } from './operator.js';

interface Params { readonly id: number; readonly value: (frame: Frame) => unknown }

export function compileNestLoop(node: NestLoopNode, compiler: PlanCompiler): Open {
  if (node.joinType === 'right' || node.joinType === 'full') throw new DatabaseError('0A000', `${node.joinType.toUpperCase()} JOIN is only supported with merge-joinable or hash-joinable join conditions`);
  const join = compileJoin(node, compiler);
  const outer = compiler.open(node.outer);
  const inner = compiler.open(node.inner);
  const scope = compiler.scope(node.outer.output);
  const params = node.params.map(({ id, expr }) => ({ id, value: compile(expr, scope) }));
  const learned = compileLearnedLoop(node, join, outer, compiler);
  return (state) => new GeneratorOperator(learned && !state.replacedRows ? learned(state) : run(node, join, outer, inner, params, state));
}

function* run(node: NestLoopNode, join: CompiledJoin, outer: Open, inner: Open, params: readonly Params[], state: ExecState): Run {
  const output = join.newOutput();
  const { joinType } = node;
  const stopAtFirst = joinType === 'semi' || joinType === 'anti' || node.innerUnique;
  const outerInput = outer(state);
  try {
    for (let batch = yield* pull(outerInput); batch !== null; batch = yield* pull(outerInput)) {
      const frame = new Frame(state);
      frame.outerColumns = batch.columns;
      const paramFrame = new Frame(state).batch(batch);
      for (let i = 0; i < batch.length; i++) {
        const row = rowAt(batch, i);
        frame.outerRow = row;
        paramFrame.row = row;
        for (const param of params) state.exec[param.id] = param.value(paramFrame) as never;
        let matched = false;
        const innerInput = inner(state);
        try {
          search: for (let candidates = yield* pull(innerInput); candidates !== null; candidates = yield* pull(innerInput)) {
            frame.columns = candidates.columns;
            for (let j = 0; j < candidates.length; j++) {
              frame.row = rowAt(candidates, j);
              if (!(yield* passes(join.test, frame))) continue;
              matched = true;
              if (joinType !== 'anti') output.add(batch.columns, row, candidates.columns, frame.row);
              if (output.full) yield* flush(output, join, node, state);
              if (stopAtFirst) break search;
            }
            if (state.shouldYield()) yield TIME_SLICE;
          }
        } finally {
          innerInput.close();
        }
        if (!matched && (joinType === 'left' || joinType === 'anti')) output.add(batch.columns, row, [], -1);
        if (output.full || state.shouldYield()) yield* flush(output, join, node, state);
      }
      yield* flush(output, join, node, state);
    }
  } finally {
    outerInput.close();
  }
}

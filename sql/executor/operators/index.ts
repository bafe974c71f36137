/** Every plan node's compiler: a node kind that is missing here does not compile. */
import type { PlanNode } from '../../planner/plan-node.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { compileAgg } from './aggregate.js';
import { compileBitmapScan } from './bitmap-scan.js';
import { compileHashJoin } from './hash-join.js';
import { compileIndexScan } from './index-scan.js';
import { compileLockRows } from './lock-rows.js';
import { compileMergeJoin } from './merge-join.js';
import { compileModifyTable } from './modify-table.js';
import { compileNestLoop } from './nest-loop.js';
import { compileProjectSet } from './project-set.js';
import { compileCteScan, compileFunctionScan, compileRecursiveUnion, compileValuesScan, compileWorkTableScan } from './row-sources.js';
import { compileSeqScan } from './seq-scan.js';
import { compileSetOp } from './set-operation.js';
import { compileAppend, compileFilterNode, compileLimit, compileMaterialize, compileProject, compileResult, compileSubqueryScan, compileUnique } from './simple.js';
import { compileSort } from './sort.js';
import { compileTidScan } from './tid-scan.js';
import { compileWindowAgg } from './window-agg.js';

export const nodeCompilers: { readonly [K in PlanNode['kind']]: (node: Extract<PlanNode, { kind: K }>, compiler: PlanCompiler) => Open } = {
  Result: compileResult,
  Project: compileProject,
  Filter: compileFilterNode,
  SeqScan: compileSeqScan,
  IndexScan: compileIndexScan,
  BitmapScan: compileBitmapScan,
  TidScan: compileTidScan,
  SubqueryScan: compileSubqueryScan,
  FunctionScan: compileFunctionScan,
  ValuesScan: compileValuesScan,
  CteScan: compileCteScan,
  WorkTableScan: compileWorkTableScan,
  NestLoop: compileNestLoop,
  HashJoin: compileHashJoin,
  MergeJoin: compileMergeJoin,
  Materialize: compileMaterialize,
  Sort: compileSort,
  Limit: compileLimit,
  Agg: compileAgg,
  Unique: compileUnique,
  SetOp: compileSetOp,
  Append: compileAppend,
  RecursiveUnion: compileRecursiveUnion,
  WindowAgg: compileWindowAgg,
  ProjectSet: compileProjectSet,
  LockRows: compileLockRows,
  ModifyTable: compileModifyTable,
};

/** Lock classes and their modes: numbers, names and conflicts, as PostgreSQL has them. */
import type { RowLockStrength, TableLockMode } from '../storage.js';

/** Lock class, the low 3 bits of a tag. */
export const LockClass = { row: 0, uniqueKey: 1, table: 2, advisory: 3, advisoryPair: 4, transaction: 5 } as const;

export const ROW_MODES: readonly RowLockStrength[] = ['key share', 'share', 'no key update', 'update'];
export const TABLE_MODES: readonly TableLockMode[] = [
  'AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock',
  'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock',
];

export const ROW_MODE: Readonly<Record<RowLockStrength, number>> = { 'key share': 0, share: 1, 'no key update': 2, update: 3 };
export const TABLE_MODE = Object.fromEntries(TABLE_MODES.map((mode, i) => [mode, i])) as Record<TableLockMode, number>;

const bits = (...modes: number[]): number => modes.reduce((mask, mode) => mask | (1 << mode), 0);

/** For each mode the mask of modes it conflicts with. */
export const ROW_CONFLICTS: readonly number[] = [bits(3), bits(2, 3), bits(1, 2, 3), bits(0, 1, 2, 3)];
export const TABLE_CONFLICTS: readonly number[] = [
  bits(7),
  bits(6, 7),
  bits(4, 5, 6, 7),
  bits(3, 4, 5, 6, 7),
  bits(2, 3, 5, 6, 7),
  bits(2, 3, 4, 5, 6, 7),
  bits(1, 2, 3, 4, 5, 6, 7),
  bits(0, 1, 2, 3, 4, 5, 6, 7),
];
/** Shared and exclusive: advisory locks, unique keys (exclusive only), transactions. */
export const SHARED = 0;
export const EXCLUSIVE = 1;
const SHARED_CONFLICTS: readonly number[] = [bits(EXCLUSIVE), bits(SHARED, EXCLUSIVE)];

export const CONFLICTS: readonly (readonly number[])[] = [
  ROW_CONFLICTS, SHARED_CONFLICTS, TABLE_CONFLICTS, SHARED_CONFLICTS, SHARED_CONFLICTS, SHARED_CONFLICTS,
];

/** A mode's name as pg_locks and deadlock reports print it. */
export function modeName(lockClass: number, mode: number): string {
  if (lockClass === LockClass.table) return TABLE_MODES[mode]!;
  if (lockClass === LockClass.row) return ['AccessShareLock', 'RowShareLock', 'ExclusiveLock', 'AccessExclusiveLock'][mode]!;
  return mode === SHARED ? 'ShareLock' : 'ExclusiveLock';
}

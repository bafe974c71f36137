/**
 * What ANALYZE makes of CREATE STATISTICS: pg_ndistinct, pg_dependencies and pg_mcv_list. A value is its text: a map from columns
 * (attribute numbers; -1, -2, ... are expressions) to what is known of them, as PostgreSQL prints it. Most common
 * combinations are a JSON list of ours, which pg_mcv_list_items reads; PostgreSQL prints bytes of its own here.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { textType } from './text.js';

function statisticsType(name: string): DataType {
  return {
    ...textType, name, compare: undefined, equal: undefined, key: undefined,
    input() {
      throw new DatabaseError('0A000', `cannot accept a value of type ${name}`);
    },
    receive() {
      throw new DatabaseError('0A000', `cannot accept a value of type ${name}`);
    },
  };
}

export const statisticsTypes: readonly DataType[] = ['pg_ndistinct', 'pg_dependencies', 'pg_mcv_list'].map(statisticsType);

/** Distinct combinations of these columns. */
export interface DistinctItem { readonly columns: readonly number[]; readonly count: number }

/** How far the last column follows from the others. */
export interface DependencyItem { readonly columns: readonly number[]; readonly degree: number }

/** One of the most common combinations; values as texts. */
export interface CommonItem { readonly values: readonly (string | null)[]; readonly frequency: number; readonly baseFrequency: number }

export function writeDistinct(items: readonly DistinctItem[]): string {
  return `{${items.map(({ columns, count }) => `"${columns.join(', ')}": ${count}`).join(', ')}}`;
}

export function readDistinct(text: string): DistinctItem[] {
  return Object.entries(JSON.parse(text) as Record<string, number>).map(([columns, count]) => ({ columns: columns.split(', ').map(Number), count }));
}

export function writeDependencies(items: readonly DependencyItem[]): string {
  return `{${items.map(({ columns, degree }) => `"${columns.slice(0, -1).join(', ')} => ${columns.at(-1)}": ${degree.toFixed(6)}`).join(', ')}}`;
}

export function readDependencies(text: string): DependencyItem[] {
  return Object.entries(JSON.parse(text) as Record<string, number>).map(([columns, degree]) => ({ columns: columns.split(/, | => /).map(Number), degree }));
}

export function writeCommon(items: readonly CommonItem[]): string {
  return JSON.stringify(items.map(({ values, frequency, baseFrequency }) => [values, frequency, baseFrequency]));
}

export function readCommon(text: string): CommonItem[] {
  return (JSON.parse(text) as [(string | null)[], number, number][]).map(([values, frequency, baseFrequency]) => ({ values, frequency, baseFrequency }));
}

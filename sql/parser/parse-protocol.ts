/** Messages between a session's thread and the parser's. */
import type { Node } from '@pgsql/types';

export type ToParser =
  | { readonly kind: 'parse'; readonly id: number; readonly sql: string }
  /** The next rows of a statement's VALUES. */
  | { readonly kind: 'rows'; readonly id: number; readonly statement: number; readonly rows: number };

/** A string constant of many megabytes, taken out of the tree. */
export interface LongText {
  readonly path: readonly (string | number)[];
  readonly bytes: Uint8Array;
}

export interface StatementInWorker {
  readonly node: Node;
  readonly location: number;
  readonly textLength: number;
  /** Rows of VALUES that stayed behind, and how many to ask for at once. */
  readonly rows: number;
  readonly portion: number;
  /** The rows are constants, so that they may be inserted portion by portion. */
  readonly plain: boolean;
}

export interface ParsedInWorker {
  readonly statements: readonly StatementInWorker[];
  readonly texts: readonly LongText[];
}

export type FromParser =
  | { readonly kind: 'ready' }
  | { readonly kind: 'parsed'; readonly id: number; readonly parsed: ParsedInWorker }
  | { readonly kind: 'rows'; readonly id: number; readonly rows: readonly unknown[]; readonly texts: readonly LongText[] }
  | { readonly kind: 'error'; readonly id: number; readonly sqlstate: string; readonly message: string; readonly position?: number | undefined; readonly hint?: string | undefined };

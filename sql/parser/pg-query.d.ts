declare module 'pg-query-emscripten/pg_query_wasm.js' {
  export interface PgQueryModule {
    /** Set to 0 at once: the default puts every SQL text on the WASM stack and never gives it back. */
    ALLOC_STACK: number;
    parse(sql: string): {
      parse_tree: { version: number; stmts?: { stmt?: object; stmt_location?: number; stmt_len?: number }[] };
      stderr_buffer: string;
      error: { message: string; cursorpos: number; context: string } | null;
    };
  }
  const factory: new () => Promise<PgQueryModule>;
  export default factory;
}

import { defineConfig } from 'vitest/config';

/**
 * `npm test`: everything that needs no more than Node, npm and git. Tests that need other
 * clients (psql, JDBC, ...) have their own configuration in test/clients.
 */
export default defineConfig({
  test: {
    include: ['engine/**/*.test.ts', 'sql/**/*.test.ts', 'server/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['node_modules/**', 'dist/**', 'test/clients/**'],
    globalSetup: ['test/harness/build.setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});

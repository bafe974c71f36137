import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** `npm run test:clients`: software that nobody here wrote (psql, pgbench, drivers) against the server as users run it: bundled. */
process.env.OXBOW_BUNDLE = '1';

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('../../', import.meta.url)),
    include: ['test/clients/**/*.test.ts'],
    globalSetup: ['test/harness/build.setup.ts', 'test/clients/install.setup.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
  },
});

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Workers and spawned servers run the compiled code: build it once before any test. The bundle is for test:clients, which runs what users run. */
export default function setup(): void {
  if (process.env.OXBOW_SKIP_BUILD === '1') return;
  const root = fileURLToPath(new URL('../../', import.meta.url));
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-b', 'tsconfig.json'], { cwd: root, stdio: 'inherit' });
  if (process.env.OXBOW_BUNDLE === '1') execFileSync(process.execPath, ['deploy/bundle.js'], { cwd: root, stdio: 'inherit' });
}

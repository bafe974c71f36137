/** `oxbow inspect`: what a data directory holds, read without changing it. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';

export function inspectCommand(): Command {
  return new Command('inspect').description('shows what a data directory holds').option('--data <dir>', 'data directory', './oxbow-data').action(({ data }: { data: string }) => {
    try {
      for (const line of describeDirectory(data, '')) process.stdout.write(`${line}\n`);
    } catch (error) {
      process.stderr.write(`oxbow inspect: ${(error as Error).message}\n`);
      process.exitCode = 1;
    }
  });
}

/** Names, sizes and the short text files (format, lock) of the directory. */
function describeDirectory(directory: string, prefix: string): string[] {
  const out: string[] = [];
  for (const name of readdirSync(directory).sort()) {
    const path = join(directory, name);
    const stat = statSync(path);
    if (stat.isDirectory()) out.push(`${prefix}${name}/`, ...describeDirectory(path, `${prefix}  `));
    else {
      const content = stat.size < 200 && /^(format|lock|version)/i.test(name) ? `  ${JSON.stringify(readFileSync(path, 'utf8').trim())}` : '';
      out.push(`${prefix}${name}  ${stat.size} bytes (${stat.blocks * 512} on disk)${content}`);
    }
  }
  return out;
}

/** `oxbow serve`: runs the server until SIGTERM or SIGINT. */
import { Command, Option } from 'commander';
import { ConfigError, makeConfig, OPTIONS } from '../config.js';
import { makeLogger } from '../logging.js';
import { startServer } from '../serve.js';

export function serveCommand(): Command {
  const command = new Command('serve').description('runs the server').allowExcessArguments(false);
  for (const option of OPTIONS) {
    const shown = option.default === null ? '' : `, default ${option.default}`;
    const made = new Option(option.flags, `${option.doc} (${option.environment}${shown})`);
    if (option.choices) made.choices([...option.choices]);
    if (option.list) made.argParser((value: string, previous: string[] | undefined) => [...(previous ?? []), value]);
    command.addOption(made);
  }
  return command.action(async (given: Record<string, unknown>) => {
    try {
      const config = makeConfig(given, process.env);
      const log = makeLogger(config, process.stderr.isTTY ?? false);
      const server = await startServer(config, log, process.env);
      process.stdout.write(`oxbow ready ${server.url}${server.opsUrl ? ` ops ${server.opsUrl}` : ''}\n`);
      const stop = (): void => {
        server.stop().then(() => process.exit(0), (error: unknown) => {
          log.fatal({ err: error }, 'shutdown failed');
          process.exit(1);
        });
      };
      // Nobody knows what state a statement left that got here: the log is what counts.
      process.on('uncaughtException', (error) => {
        log.fatal({ err: error }, 'unexpected error; the process ends and recovers at its next start');
        server.abandon(70);
      });
      process.on('SIGTERM', stop);
      process.on('SIGINT', stop);
    } catch (error) {
      const expected = error instanceof ConfigError || (error as { name?: string }).name === 'DatabaseError' || typeof (error as { code?: unknown }).code === 'string';
      process.stderr.write(`oxbow serve: ${expected ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`);
      process.exit(1);
    }
  });
}

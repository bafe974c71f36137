#!/usr/bin/env node
/** `oxbow`: one file per command. Exit code 0 only on success. */
import { Command } from 'commander';
import { inspectCommand } from './inspect.js';
import { serveCommand } from './serve.js';
import { plannedCommand } from './planned.js';
import { verifyCommand } from './verify.js';

const program = new Command('oxbow').description('Oxbow: a PostgreSQL-compatible database server').version('0.1.0').showHelpAfterError();
program.addCommand(serveCommand(), { isDefault: true });
program.addCommand(inspectCommand());
program.addCommand(verifyCommand());
for (const [name, what] of [['backup', 'takes a backup of a running server'], ['restore', 'restores a data directory from a backup'], ['rebuild', 'makes the state anew from a backup and the log']] as const) {
  program.addCommand(plannedCommand(name, what));
}
await program.parseAsync();

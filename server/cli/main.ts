#!/usr/bin/env node
/** `oxbow`: one file per command. Exit code 0 only on success. */
import { Command } from 'commander';
import { backupCommand, backupsCommand } from './backup.js';
import { inspectCommand } from './inspect.js';
import { restoreCommand } from './restore.js';
import { serveCommand } from './serve.js';
import { rebuildCommand } from './rebuild.js';
import { verifyCommand } from './verify.js';

const program = new Command('oxbow').description('Oxbow: a PostgreSQL-compatible database server').version('0.1.0').showHelpAfterError();
program.addCommand(serveCommand(), { isDefault: true });
program.addCommand(inspectCommand());
program.addCommand(backupCommand());
program.addCommand(backupsCommand());
program.addCommand(restoreCommand());
program.addCommand(verifyCommand());
program.addCommand(rebuildCommand());
await program.parseAsync();

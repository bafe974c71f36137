#!/usr/bin/env node
/** `oxbow`: one file per command, loaded when it is asked for. Exit code 0 only on success. */
import { Command } from 'commander';

const COMMANDS: Record<string, () => Promise<Command>> = {
  serve: async () => (await import('./serve.js')).serveCommand(),
  inspect: async () => (await import('./inspect.js')).inspectCommand(),
  backup: async () => (await import('./backup.js')).backupCommand(),
  backups: async () => (await import('./backup.js')).backupsCommand(),
  restore: async () => (await import('./restore.js')).restoreCommand(),
  verify: async () => (await import('./verify.js')).verifyCommand(),
  rebuild: async () => (await import('./rebuild.js')).rebuildCommand(),
};

const program = new Command('oxbow').description('Oxbow: a PostgreSQL-compatible database server').version('0.1.0').showHelpAfterError();
const asked = process.argv[2];
// Help, and a name that does not exist, want to know them all; options alone are those of the server.
const given = asked === undefined || (asked.startsWith('-') && !['-h', '--help', '-V', '--version'].includes(asked)) ? 'serve' : asked;
const names = Object.hasOwn(COMMANDS, given) ? [given] : Object.keys(COMMANDS);
for (const name of names) program.addCommand(await COMMANDS[name]!(), { isDefault: name === 'serve' });
await program.parseAsync();

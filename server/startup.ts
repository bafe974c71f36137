/** The startup packet's parameters: user, database, settings, protocol options. */
import { DatabaseError } from '../engine/errors.js';

export interface StartupRequest {
  readonly parameters: ReadonlyMap<string, string>;
  readonly minor: number;
}

export interface StartupSettings {
  readonly user: string;
  readonly database: string;
  readonly settings: Map<string, string>;
  /** A replication connection: it also understands the commands of server/replication.ts. */
  readonly replication: boolean;
  /** _pq_.* options, which are all unknown so far. */
  readonly unknownOptions: string[];
}

export function startupSettings(parameters: ReadonlyMap<string, string>): StartupSettings {
  const user = parameters.get('user');
  if (!user) throw new DatabaseError('28000', 'no PostgreSQL user name specified in startup packet', { severity: 'FATAL' });
  const database = parameters.get('database') || (parameters.get('replication') === 'true' ? 'postgres' : user);
  const settings = new Map<string, string>();
  const unknownOptions: string[] = [];
  let replication = false;
  for (const [name, value] of parameters) {
    if (name === 'user' || name === 'database') continue;
    if (name === 'replication') {
      replication = !['false', 'off', '0', 'no'].includes(value);
    } else if (name === 'options') {
      for (const [option, setting] of commandLineOptions(value)) settings.set(option, setting);
    } else if (name.startsWith('_pq_.')) unknownOptions.push(name);
    else settings.set(name, value);
  }
  return { user, database, settings, replication, unknownOptions };
}

/** `-c name=value --name=value`, with backslash-escaped spaces (pg_split_opts). */
function commandLineOptions(text: string): [string, string][] {
  const words = text.match(/(?:\\.|\S)+/g)?.map((word) => word.replace(/\\(.)/g, '$1')) ?? [];
  const out: [string, string][] = [];
  for (let i = 0; i < words.length; i++) {
    let assignment: string | undefined;
    if (words[i] === '-c') assignment = words[++i];
    else if (words[i].startsWith('-c')) assignment = words[i].slice(2);
    else if (words[i].startsWith('--')) assignment = words[i].slice(2);
    const at = assignment?.indexOf('=') ?? -1;
    if (!assignment || at <= 0) throw new DatabaseError('42601', `invalid command-line argument for server process: ${words[i]}`, { severity: 'FATAL', hint: 'Only -c name=value and --name=value are understood.' });
    out.push([assignment.slice(0, at).replaceAll('-', '_'), assignment.slice(at + 1)]);
  }
  return out;
}

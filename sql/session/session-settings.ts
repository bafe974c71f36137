/**
 * The settings of one session: defaults, values given at start, SET and SET LOCAL with PostgreSQL's
 * transaction rules (a rollback, also to a savepoint, takes changes back; LOCAL ends with the
 * transaction).
 */
import { DatabaseError } from '../../engine/errors.js';
import type { SettingsReader } from '../functions/context.js';
import { displaySetting, normalizeSetting, splitIdentifierList } from './setting-values.js';
import { REPORTED, settingDefinition, settingDefinitions, type SettingDefinition } from './settings-table.js';

/** What every statement asks for, parsed. */
export interface StatementSettings {
  readonly statementTimeoutMs: number;
  readonly synchronousCommit: boolean;
  readonly defaultIsolation: string;
  readonly defaultReadOnly: boolean;
  readonly defaultDeferrable: boolean;
  readonly idleInTransactionTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** The moment of the past that is read, canonical; empty: now. */
  readonly asOf: string;
}

interface Undo { readonly name: string; readonly before: string | undefined; readonly local: boolean }

/** Checks of string settings that have a grammar of their own; they answer the canonical value. */
export interface SettingHooks {
  /** Is there a time zone of that name? Answers its canonical spelling. */
  timeZone(name: string): string | null;
  roleExists(name: string): boolean;
  /** A moment of the past in its canonical form. */
  asOf(text: string): string;
  /** A change that the client must hear of (ParameterStatus). */
  reported(name: string, value: string): void;
}

export class SessionSettings implements SettingsReader {
  /** Changed values in stored form, by lower-case name. */
  readonly #values = new Map<string, string>();
  /** Values a RESET goes back to: command line, startup packet, ALTER ROLE/DATABASE SET. */
  readonly #resetValues = new Map<string, string>();
  #undo: Undo[] = [];
  #inTransaction = false;
  #hooks: SettingHooks;
  readonly #reportedNow = new Map<string, string>();

  // parsed values that evaluation reads often
  dateStyle: SettingsReader['dateStyle'] = 'ISO';
  dateOrder: SettingsReader['dateOrder'] = 'MDY';
  intervalStyle: SettingsReader['intervalStyle'] = 'postgres';
  timeZone = 'Etc/UTC';
  extraFloatDigits = 1;
  byteaOutput: SettingsReader['byteaOutput'] = 'hex';
  searchPath: readonly string[] = ['$user', 'public'];
  /** Grows when the search path changes. */
  searchPathVersion = 0;
  /** Grows with every change, for plan caches. */
  version = 0;
  #statement: StatementSettings | null = null;
  /** Version at the last `report`. */
  #reportedVersion = -1;

  constructor(hooks: SettingHooks, serverDefaults: ReadonlyMap<string, string> = new Map()) {
    this.#hooks = hooks;
    for (const [name, value] of serverDefaults) this.#setReset(name, value);
    for (const name of REPORTED) this.#reportedNow.set(name, this.get(name) ?? '');
  }

  /** A value from the startup packet or ALTER ROLE ... SET: what RESET goes back to. */
  setStartup(name: string, value: string): void {
    this.#setReset(name, value);
  }

  #setReset(name: string, value: string): void {
    const stored = this.#check(name, value);
    this.#resetValues.set(name.toLowerCase(), stored);
    this.#apply(name.toLowerCase());
  }

  get(name: string): string | undefined {
    const key = name.toLowerCase();
    const definition = settingDefinition(key);
    const stored = this.stored(key);
    if (stored === undefined) return undefined;
    return definition ? displaySetting(definition, stored) : stored;
  }

  /** In base units, as pg_settings shows it. */
  stored(name: string): string | undefined {
    const key = name.toLowerCase();
    const set = this.#values.get(key) ?? this.#resetValues.get(key);
    if (set !== undefined) return set;
    const definition = settingDefinition(key);
    return definition ? (definition.bootValue ?? '') : undefined;
  }

  /** Where the value comes from, as pg_settings.source. */
  source(name: string): string {
    const key = name.toLowerCase();
    return this.#values.has(key) ? 'session' : this.#resetValues.has(key) ? 'client' : 'default';
  }

  resetValue(name: string): string {
    return this.#resetValues.get(name.toLowerCase()) ?? settingDefinition(name)?.bootValue ?? '';
  }

  /** Parsed anew only after a change. */
  get statement(): StatementSettings {
    return (this.#statement ??= {
      statementTimeoutMs: this.number('statement_timeout'),
      synchronousCommit: this.stored('synchronous_commit') !== 'off',
      defaultIsolation: this.stored('default_transaction_isolation') ?? 'read committed',
      defaultReadOnly: this.boolean('default_transaction_read_only'),
      defaultDeferrable: this.boolean('default_transaction_deferrable'),
      idleInTransactionTimeoutMs: this.number('idle_in_transaction_session_timeout'),
      idleTimeoutMs: this.number('idle_session_timeout'),
      asOf: this.stored('oxbow.as_of') ?? '',
    });
  }

  number(name: string): number {
    return Number(this.stored(name));
  }

  boolean(name: string): boolean {
    return this.stored(name) === 'on';
  }

  /** SET, SET LOCAL, set_config. Answers the value as SHOW prints it. */
  set(name: string, value: string, local: boolean, superuser: boolean): string {
    const key = name.toLowerCase();
    this.#checkChangeable(name, superuser);
    const stored = this.#check(name, value);
    this.#remember(key, local);
    this.#values.set(key, stored);
    this.#apply(key);
    return this.get(key)!;
  }

  reset(name: string, local: boolean, superuser: boolean): void {
    const key = name.toLowerCase();
    this.#checkChangeable(name, superuser);
    this.#remember(key, local);
    this.#values.delete(key);
    this.#apply(key);
  }

  resetAll(): void {
    for (const key of [...this.#values.keys()]) {
      if (settingDefinition(key)?.flags.includes('NO_RESET_ALL')) continue;
      this.#remember(key, false);
      this.#values.delete(key);
      this.#apply(key);
    }
  }

  /** Values that the session itself changes: is_superuser, session_authorization, transaction_*. */
  setInternal(name: string, value: string): void {
    const key = name.toLowerCase();
    // each transaction publishes its modes: most often nothing changes, and plans stay valid
    if (this.#values.get(key) === value) return;
    this.#values.set(key, value);
    this.#apply(key);
  }

  definitions(): Iterable<SettingDefinition> {
    return settingDefinitions().values();
  }

  /** Custom settings (with a dot) that are set. */
  customNames(): string[] {
    return [...this.#values.keys()].filter((key) => !settingDefinition(key));
  }

  #checkChangeable(name: string, superuser: boolean): void {
    const definition = settingDefinition(name);
    if (!definition) {
      if (name.includes('.')) return;
      throw new DatabaseError('42704', `unrecognized configuration parameter "${name}"`);
    }
    switch (definition.context) {
      case 'internal':
        throw new DatabaseError('55P02', `parameter "${definition.name}" cannot be changed`);
      case 'postmaster':
        throw new DatabaseError('55P02', `parameter "${definition.name}" cannot be changed without restarting the server`);
      case 'sighup':
        throw new DatabaseError('55P02', `parameter "${definition.name}" cannot be changed now`);
      case 'backend': case 'superuser-backend':
        throw new DatabaseError('55P02', `parameter "${definition.name}" cannot be set after connection start`);
      case 'superuser':
        if (!superuser) throw new DatabaseError('42501', `permission denied to set parameter "${definition.name}"`);
    }
  }

  #check(name: string, value: string): string {
    const definition = settingDefinition(name);
    if (!definition) {
      if (!name.includes('.')) throw new DatabaseError('42704', `unrecognized configuration parameter "${name}"`);
      if (!/^[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)+$/.test(name)) {
        throw new DatabaseError('42602', `invalid configuration parameter name "${name}"`, { detail: 'Custom parameter names must be two or more simple identifiers separated by dots.' });
      }
      return value;
    }
    const normal = normalizeSetting(definition, value);
    switch (definition.name) {
      case 'DateStyle': return this.#checkDateStyle(normal);
      case 'TimeZone': case 'log_timezone': {
        const zone = this.#hooks.timeZone(normal);
        if (zone === null) throw new DatabaseError('22023', `invalid value for parameter "${definition.name}": "${value}"`);
        return zone;
      }
      case 'client_encoding': {
        const name = normal.toUpperCase().replace(/[^A-Z0-9]/g, '');
        if (name === 'UTF8' || name === 'UNICODE') return 'UTF8';
        throw new DatabaseError('22023', `invalid value for parameter "client_encoding": "${value}"`, { detail: 'Oxbow serves clients in UTF8 only.' });
      }
      case 'search_path':
        if (splitIdentifierList(normal) === null) throw new DatabaseError('22023', `invalid value for parameter "search_path": "${value}"`, { detail: 'List syntax is invalid.' });
        return normal;
      case 'oxbow.as_of': return this.#hooks.asOf(normal);
      case 'application_name': case 'cluster_name':
        return normal.replace(/[^\x20-\x7e]/g, '?').slice(0, 63);
      case 'standard_conforming_strings':
        if (normal === 'off') throw new DatabaseError('0A000', 'standard_conforming_strings = off is not supported');
        return normal;
      default:
        return normal;
    }
  }

  #checkDateStyle(value: string): string {
    const words = splitIdentifierList(value);
    const bad = (): DatabaseError => new DatabaseError('22023', `invalid value for parameter "DateStyle": "${value}"`, { detail: 'Unrecognized key word: "' + value + '".' });
    if (!words) throw new DatabaseError('22023', `invalid value for parameter "DateStyle": "${value}"`, { detail: 'List syntax is invalid.' });
    let style: string = this.dateStyle;
    let order: string = this.dateOrder;
    for (const raw of words) {
      const word = raw.toLowerCase();
      if (word === 'iso') style = 'ISO';
      else if (word === 'sql') style = 'SQL';
      else if (word.startsWith('postgres')) style = 'Postgres';
      else if (word === 'german') {
        style = 'German';
        order = 'DMY';
      } else if (word === 'ymd') order = 'YMD';
      else if (word === 'dmy' || word.startsWith('euro')) order = 'DMY';
      else if (word === 'mdy' || word === 'us' || word.startsWith('noneuro')) order = 'MDY';
      else if (word === 'default') [style, order] = ['ISO', 'MDY'];
      else throw bad();
    }
    return `${style}, ${order}`;
  }

  #remember(key: string, local: boolean): void {
    if (this.#inTransaction) this.#undo.push({ name: key, before: this.#values.get(key), local });
  }

  #apply(key: string): void {
    this.version++;
    this.#statement = null;
    const value = this.stored(key) ?? '';
    switch (key) {
      case 'datestyle': {
        const [style, order] = value.split(', ');
        this.dateStyle = style as SettingsReader['dateStyle'];
        this.dateOrder = order as SettingsReader['dateOrder'];
        break;
      }
      case 'intervalstyle': this.intervalStyle = value as SettingsReader['intervalStyle']; break;
      case 'timezone': this.timeZone = value; break;
      case 'extra_float_digits': this.extraFloatDigits = Number(value); break;
      case 'bytea_output': this.byteaOutput = value as SettingsReader['byteaOutput']; break;
      case 'search_path':
        this.searchPath = splitIdentifierList(value) ?? [];
        this.searchPathVersion++;
        break;
    }
  }

  /** Sends what changed among the reported settings; called when the session becomes idle and after each statement. */
  report(): void {
    if (this.#reportedVersion === this.version) return;
    this.#reportedVersion = this.version;
    for (const name of REPORTED) {
      const value = this.get(name) ?? '';
      if (this.#reportedNow.get(name) !== value) {
        this.#reportedNow.set(name, value);
        this.#hooks.reported(name, value);
      }
    }
  }

  beginTransaction(): void {
    this.#inTransaction = true;
    if (this.#undo.length > 0) this.#undo = [];
  }

  /** Position for rollbackTo. */
  get mark(): number {
    return this.#undo.length;
  }

  rollbackTo(mark: number): void {
    while (this.#undo.length > mark) this.#restore(this.#undo.pop()!);
  }

  commit(): void {
    this.#inTransaction = false;
    if (this.#undo.length === 0) return;
    // SET LOCAL ends here: the value before the first LOCAL that no later plain SET replaced
    const finalPlain = new Map<string, number>();
    this.#undo.forEach((undo, i) => undo.local || finalPlain.set(undo.name, i));
    const restored = new Set<string>();
    this.#undo.forEach((undo, i) => {
      if (!undo.local || restored.has(undo.name)) return;
      const plainAt = finalPlain.get(undo.name) ?? -1;
      if (plainAt > i) return;
      restored.add(undo.name);
      this.#restore(undo);
    });
    this.#undo = [];
  }

  rollback(): void {
    this.rollbackTo(0);
    this.#inTransaction = false;
  }

  #restore(undo: Undo): void {
    if (undo.before === undefined) this.#values.delete(undo.name);
    else this.#values.set(undo.name, undo.before);
    this.#apply(undo.name);
  }
}

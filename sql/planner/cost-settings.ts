/** PostgreSQL's cost parameters and enable_* switches, as the session has them. */
import type { SettingsReader } from '../functions/context.js';

export const BLOCK_SIZE = 8192;
/** What a switched-off method costs beside its own. */
export const DISABLED_COST = 1e10;

export class CostSettings {
  readonly seqPage: number;
  readonly randomPage: number;
  readonly cpuTuple: number;
  readonly cpuIndexTuple: number;
  readonly cpuOperator: number;
  readonly workMemBytes: number;
  readonly cursorTupleFraction: number;
  private readonly reader: SettingsReader;

  constructor(reader: SettingsReader) {
    this.reader = reader;
    this.seqPage = this.number('seq_page_cost', 1);
    this.randomPage = this.number('random_page_cost', 4);
    this.cpuTuple = this.number('cpu_tuple_cost', 0.01);
    this.cpuIndexTuple = this.number('cpu_index_tuple_cost', 0.005);
    this.cpuOperator = this.number('cpu_operator_cost', 0.0025);
    this.workMemBytes = 4 * 1024 * 1024;
    this.cursorTupleFraction = this.number('cursor_tuple_fraction', 0.1);
  }

  private number(name: string, otherwise: number): number {
    const value = Number(this.reader.get(name));
    return Number.isFinite(value) && this.reader.get(name) !== undefined ? value : otherwise;
  }

  /** A switched-off method costs this much more, so that it is taken only when there is no other. */
  penalty(setting: string): number {
    return this.reader.get(setting) === 'off' ? DISABLED_COST : 0;
  }
}

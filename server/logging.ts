/**
 * The log: pino, JSON lines to stderr (pretty on a terminal). stdout belongs to the `oxbow ready` line.
 * Statement texts and parameter values are not logged.
 */
import { destination, pino, type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from './config.js';

export function makeLogger(config: Pick<Config, 'logLevel' | 'logFormat'>, isTerminal: boolean): Logger {
  const usePretty = config.logFormat === 'pretty' || (config.logFormat === 'auto' && isTerminal);
  const options = { level: config.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label: string) => ({ level: label }) } };
  return usePretty ? pino(options, pretty({ destination: 2, sync: true, colorize: isTerminal })) : pino(options, destination({ dest: 2, sync: true }));
}

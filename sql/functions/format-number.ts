/**
 * to_char and to_number for numbers: a port of formatting.c's NUM_processor. The template becomes a
 * list of nodes and a summary (NumberFormat); the digits of the value are then walked along it.
 */
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { Int8 } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import { f } from './define.js';
import type { SqlFunction } from './function.js';
import { mulInt8, checkInt4 } from './kernel-helpers.js';

type Key = '9' | '0' | '.' | ',' | 'D' | 'G' | 'B' | 'EEEE' | 'FM' | 'L' | 'MI' | 'PL' | 'PR' | 'RN' | 'rn' | 'SG' | 'S' | 'TH' | 'th' | 'V';
type Node = { readonly key: Key } | { readonly text: string };

const KEYWORDS: readonly [string, Key][] = [
  ['EEEE', 'EEEE'], ['eeee', 'EEEE'], ['FM', 'FM'], ['fm', 'FM'], ['MI', 'MI'], ['mi', 'MI'], ['PL', 'PL'], ['pl', 'PL'], ['PR', 'PR'], ['pr', 'PR'], ['RN', 'RN'], ['rn', 'rn'],
  ['SG', 'SG'], ['sg', 'SG'], ['SP', 'S'], ['TH', 'TH'], ['th', 'th'], ['B', 'B'], ['b', 'B'], ['C', 'L'], ['D', 'D'], ['d', 'D'], ['G', 'G'], ['g', 'G'], ['L', 'L'], ['l', 'L'], ['S', 'S'], ['s', 'S'], ['V', 'V'], ['v', 'V'],
  ['0', '0'], ['9', '9'], ['.', '.'], [',', ','],
];

interface NumberFormat {
  readonly nodes: readonly Node[];
  pre: number;
  post: number;
  multi: number;
  zeroStart: number;
  zeroEnd: number;
  preSign: number;
  lsign: 'none' | 'pre' | 'post';
  zero: boolean;
  blank: boolean;
  decimal: boolean;
  fill: boolean;
  lsignFlag: boolean;
  bracket: boolean;
  minus: boolean;
  plus: boolean;
  roman: boolean;
  multiply: boolean;
  scientific: boolean;
}

const syntax = (message: string): DatabaseError => new DatabaseError('42601', message);

function prepare(format: NumberFormat, key: Key): void {
  if (format.scientific && key !== 'EEEE') throw syntax('"EEEE" must be the last pattern used');
  switch (key) {
    case '9':
      if (format.bracket) throw syntax('"9" must be ahead of "PR"');
      if (format.multiply) format.multi++;
      else if (format.decimal) format.post++;
      else format.pre++;
      break;
    case '0':
      if (format.bracket) throw syntax('"0" must be ahead of "PR"');
      if (!format.zero && !format.decimal) {
        format.zero = true;
        format.zeroStart = format.pre + 1;
      }
      if (format.decimal) format.post++;
      else format.pre++;
      format.zeroEnd = format.pre + format.post;
      break;
    case 'B':
      if (format.pre === 0 && format.post === 0 && !format.zero) format.blank = true;
      break;
    case 'D': case '.':
      if (format.decimal) throw syntax('multiple decimal points');
      if (format.multiply) throw syntax('cannot use "V" and decimal point together');
      format.decimal = true;
      break;
    case 'FM':
      format.fill = true;
      break;
    case 'S':
      if (format.lsignFlag) throw syntax('cannot use "S" twice');
      if (format.plus || format.minus || format.bracket) throw syntax('cannot use "S" and "PL"/"MI"/"SG"/"PR" together');
      if (!format.decimal) {
        format.lsign = 'pre';
        format.preSign = format.pre;
        format.lsignFlag = true;
      } else if (format.lsign === 'none') {
        format.lsign = 'post';
        format.lsignFlag = true;
      }
      break;
    case 'MI': case 'PL': case 'SG':
      if (format.lsignFlag) throw syntax(`cannot use "S" and "${key}" together`);
      if (key !== 'PL') format.minus = true;
      if (key !== 'MI') format.plus = true;
      break;
    case 'PR':
      if (format.lsignFlag || format.plus || format.minus) throw syntax('cannot use "PR" and "S"/"PL"/"MI"/"SG" together');
      format.bracket = true;
      break;
    case 'RN': case 'rn':
      format.roman = true;
      break;
    case 'V':
      if (format.decimal) throw syntax('cannot use "V" and decimal point together');
      format.multiply = true;
      break;
    case 'EEEE':
      if (format.scientific) throw syntax('cannot use "EEEE" twice');
      if (format.blank || format.fill || format.lsignFlag || format.bracket || format.minus || format.plus || format.roman || format.multiply) {
        throw new DatabaseError('42601', '"EEEE" is incompatible with other formats', { detail: '"EEEE" may only be used together with digit and decimal point patterns.' });
      }
      format.scientific = true;
      break;
    default:
  }
}

function parse(template: string): NumberFormat {
  const nodes: Node[] = [];
  const format: NumberFormat = {
    nodes, pre: 0, post: 0, multi: 0, zeroStart: 0, zeroEnd: 0, preSign: 0, lsign: 'none', zero: false, blank: false, decimal: false, fill: false,
    lsignFlag: false, bracket: false, minus: false, plus: false, roman: false, multiply: false, scientific: false,
  };
  for (let p = 0; p < template.length;) {
    const keyword = KEYWORDS.find(([word]) => template.startsWith(word, p));
    if (keyword) {
      nodes.push({ key: keyword[1] });
      prepare(format, keyword[1]);
      p += keyword[0].length;
    } else if (template[p] === '"') {
      p++;
      let text = '';
      while (p < template.length && template[p] !== '"') {
        if (template[p] === '\\' && p + 1 < template.length) p++;
        text += template[p++];
      }
      p++;
      for (const c of text) nodes.push({ text: c });
    } else {
      if (template[p] === '\\' && template[p + 1] === '"') p++;
      const c = String.fromCodePoint(template.codePointAt(p)!);
      nodes.push({ text: c });
      p += c.length;
    }
  }
  return format;
}

const cache = new Map<string, NumberFormat>();

function formatOf(template: string): NumberFormat {
  let format = cache.get(template);
  if (!format) {
    format = parse(template);
    if (cache.size >= 100) cache.clear();
    cache.set(template, format);
  }
  return { ...format };
}

const ROMAN: readonly [number, string][] = [[1000, 'M'], [900, 'CM'], [500, 'D'], [400, 'CD'], [100, 'C'], [90, 'XC'], [50, 'L'], [40, 'XL'], [10, 'X'], [9, 'IX'], [5, 'V'], [4, 'IV'], [1, 'I']];

export function toRoman(value: number): string {
  if (!(value >= 1 && value <= 3999)) return '#'.repeat(15);
  let left = value;
  let out = '';
  for (const [amount, letters] of ROMAN) {
    while (left >= amount) {
      out += letters;
      left -= amount;
    }
  }
  return out;
}

/** "st", "nd", "rd", "th" by the last digits of a number's text. */
export function ordinalSuffix(digits: string, upper: boolean): string {
  const last = digits[digits.length - 1];
  const teen = digits.length > 1 && digits[digits.length - 2] === '1';
  const suffix = teen ? 'th' : last === '1' ? 'st' : last === '2' ? 'nd' : last === '3' ? 'rd' : 'th';
  return upper ? suffix.toUpperCase() : suffix;
}

/** NUM_processor writing: `number` is the digits without sign, '#'s on overflow. */
class Writer {
  private out = '';
  private at = 0;
  private current = 0;
  private signWritten: boolean;
  private inNumber = false;
  private count: number;
  private lastRelevant = -1;

  constructor(private readonly format: NumberFormat, private readonly number: string, private readonly preSpaces: number, private readonly sign: '+' | '-') {
    if (format.zeroStart > 0) format.zeroStart--;
    if (format.plus || format.minus) this.signWritten = !(format.plus && !format.minus);
    else {
      if (sign !== '-' && format.fill) format.bracket = false;
      this.signWritten = sign === '+' && format.fill && !format.lsignFlag;
      if (format.lsign === 'pre' && format.pre === format.preSign) format.lsign = 'post';
    }
    this.count = format.post + format.pre - 1;
    if (format.fill && format.decimal) {
      const point = number.indexOf('.');
      if (point >= 0) {
        this.lastRelevant = point;
        for (let i = point + 1; i < number.length; i++) if (number[i] !== '0') this.lastRelevant = i;
        if (format.zeroEnd > preSpaces) this.lastRelevant = Math.max(this.lastRelevant, Math.min(number.length - 1, format.zeroEnd - preSpaces));
      }
    }
    if (!this.signWritten && preSpaces === 0) this.count++;
  }

  run(): string {
    const { format } = this;
    for (const node of format.nodes) {
      if ('text' in node) {
        this.out += node.text;
        continue;
      }
      switch (node.key) {
        case '9': case '0': case '.': case 'D': this.digit(node.key); break;
        case ',': case 'G':
          if (this.inNumber) this.out += ',';
          else if (!format.fill) this.out += ' ';
          break;
        case 'L': this.out += ' '; break;
        case 'TH': case 'th':
          if (this.number[0] === '#' || this.sign === '-' || format.decimal) break;
          this.out += ordinalSuffix(this.number, node.key === 'TH');
          break;
        case 'MI':
          if (this.sign === '-') this.out += '-';
          else if (!format.fill) this.out += ' ';
          break;
        case 'PL':
          if (this.sign === '+') this.out += '+';
          else if (!format.fill) this.out += ' ';
          break;
        case 'SG': this.out += this.sign; break;
        default:
      }
    }
    return this.out;
  }

  /** A digit would be the lone zero before a point. */
  private beforePointSpace(): boolean {
    return !this.format.zero && this.at === 0 && this.number[0] === '0' && this.format.post !== 0;
  }

  private lastRelevantIsPoint(): boolean {
    return this.lastRelevant >= 0 && this.number[this.lastRelevant] === '.';
  }

  private writeSign(): void {
    const { format } = this;
    if (format.lsignFlag) {
      if (format.lsign === 'pre') {
        this.out += this.sign;
        this.signWritten = true;
      }
    } else if (format.bracket) {
      this.out += this.sign === '+' ? ' ' : '<';
      this.signWritten = true;
    } else {
      if (this.sign === '-') this.out += '-';
      else if (!format.fill) this.out += ' ';
      this.signWritten = true;
    }
  }

  private digit(key: '9' | '0' | '.' | 'D'): void {
    const { format, number, preSpaces } = this;
    this.inNumber = false;
    if (!this.signWritten && (this.current >= preSpaces || (format.zero && format.zeroStart === this.current)) && (!this.beforePointSpace() || this.lastRelevantIsPoint())) this.writeSign();
    if (this.current < preSpaces && (format.zeroStart > this.current || !format.zero)) {
      if (!format.fill) this.out += ' ';
    } else if (format.zero && this.current < preSpaces && format.zeroStart <= this.current) {
      this.out += '0';
      this.inNumber = true;
    } else {
      const c = number[this.at];
      if (c === '.') {
        if (!this.lastRelevantIsPoint() || format.fill) this.out += '.';
      } else if (this.lastRelevant >= 0 && this.at > this.lastRelevant && key !== '0') {
        // stripped
      } else if (this.beforePointSpace()) {
        if (!format.fill) this.out += ' ';
        else if (this.lastRelevantIsPoint()) this.out += '0';
      } else {
        this.out += c ?? '';
        this.inNumber = true;
      }
      if (c !== undefined) this.at++;
    }
    let end = this.count + (preSpaces ? 1 : 0) + (format.decimal ? 1 : 0);
    if (this.lastRelevant >= 0 && this.lastRelevant === this.at) end = this.current;
    if (this.current + 1 === end) {
      if (this.signWritten && format.bracket) this.out += this.sign === '+' ? ' ' : '>';
      else if (format.lsignFlag && format.lsign === 'post') this.out += this.sign;
    }
    this.current++;
  }
}

/** The template over a value's unsigned decimal text. */
function layout(format: NumberFormat, text: string): string {
  const negative = text.startsWith('-');
  let number = negative ? text.slice(1) : text;
  const point = number.indexOf('.');
  const preLength = point < 0 ? number.length : point;
  let preSpaces = 0;
  if (preLength < format.pre) preSpaces = format.pre - preLength;
  else if (preLength > format.pre) number = `${'#'.repeat(format.pre)}.${'#'.repeat(format.post)}`;
  return new Writer(format, number, preSpaces, negative ? '-' : '+').run();
}

function layoutRoman(format: NumberFormat, value: number): string {
  const roman = toRoman(value);
  let out = '';
  for (const node of format.nodes) {
    if ('text' in node) out += node.text;
    else if (node.key === 'RN' || node.key === 'rn') {
      const text = node.key === 'RN' ? roman : roman.toLowerCase();
      out += format.fill ? text : text.padStart(15);
    }
  }
  return out;
}

function exponentForm(text: string): string {
  return text.startsWith('-') ? text : ` ${text}`;
}

/** '#' all over, as values that have no digits print under EEEE. */
function unprintable(format: NumberFormat): string {
  const hashes = '#'.repeat(format.pre + format.post + 6).split('');
  hashes[0] = ' ';
  hashes[format.pre + 1] = '.';
  return hashes.join('');
}

function scientificNumeric(value: Numeric, digits: number): string {
  if (value.isZero) return `0${digits > 0 ? `.${'0'.repeat(digits)}` : ''}e+00`;
  let exponent = value.decimalExponent;
  const shifted = (e: number): Numeric => Numeric.of(value.coefficient, 0).abs().divideToScale(Numeric.parse(`1e${value.scale + e < 0 ? 0 : value.scale + e}`)!, digits + (value.scale + e < 0 ? 0 : 0));
  let mantissa = value.scale + exponent >= 0 ? shifted(exponent) : value.abs().divideToScale(Numeric.parse(`1e${Math.max(exponent, 0)}`)!, digits);
  if (mantissa.decimalExponent > 0 && !mantissa.isZero) {
    exponent++;
    mantissa = value.scale + exponent >= 0 ? shifted(exponent) : mantissa;
  }
  return `${value.sign < 0 ? '-' : ''}${mantissa.toString()}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

function numericToChar(value: Numeric, template: string): string {
  const format = formatOf(template);
  if (format.roman) return layoutRoman(format, value.isFinite ? Number(value.round(0).toString()) : 0);
  if (format.scientific) return value.isFinite ? exponentForm(scientificNumeric(value, format.post)) : unprintable(format);
  let scaled = value;
  if (format.multiply) {
    scaled = value.multiply(Numeric.parse(`1e${format.multi}`)!);
    format.pre += format.multi;
  }
  return layout(format, scaled.round(format.post).toString());
}

function integerToChar(value: Int8, template: string, narrow: boolean): string {
  const format = formatOf(template);
  if (format.roman) return layoutRoman(format, Number(value));
  if (format.scientific) return exponentForm(scientificNumeric(Numeric.fromInteger(value), format.post));
  let scaled = value;
  if (format.multiply) {
    scaled = mulInt8(value, Number(10n ** BigInt(Math.min(format.multi, 18))));
    if (narrow) scaled = checkInt4(Number(scaled));
    format.pre += format.multi;
  }
  return layout(format, String(scaled) + (format.post > 0 ? `.${'0'.repeat(format.post)}` : ''));
}

function floatToChar(value: number, template: string, precision: number): string {
  const format = formatOf(template);
  if (format.roman) return layoutRoman(format, Math.round(value));
  if (format.scientific) {
    if (!Number.isFinite(value)) return unprintable(format);
    const [mantissa, exponent] = value.toExponential(format.post).split('e') as [string, string];
    return exponentForm(`${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`);
  }
  let scaled = value;
  if (format.multiply) {
    scaled = value * 10 ** format.multi;
    format.pre += format.multi;
  }
  if (!Number.isFinite(scaled)) return layout(format, scaled !== scaled ? 'NaN' : scaled > 0 ? 'Infinity' : '-Infinity');
  const digits = fixedText(Math.abs(scaled), 0).length;
  if (digits >= precision) format.post = 0;
  else if (digits + format.post > precision) format.post = precision - digits;
  return layout(format, fixedText(scaled, format.post));
}

/** %.*f of any size, correctly rounded. */
function fixedText(value: number, digits: number): string {
  if (Math.abs(value) < 1e21 && digits <= 100) {
    const text = value.toFixed(digits);
    return text;
  }
  return BigInt(Math.trunc(value)).toString() + (digits > 0 ? `.${'0'.repeat(digits)}` : '');
}

/** NUM_processor reading: digits and signs are taken where the template expects them. */
function toNumber(text: string, template: string): Numeric | null {
  if (template === '' || text === '') return null;
  const format = formatOf(template);
  if (format.roman) throw notSupported('"RN" for input');
  if (format.scientific) throw notSupported('"EEEE" for input');
  let p = 0;
  let negative = false;
  let signRead = false;
  let integer = '';
  let fraction = '';
  let point = false;
  let postRead = 0;
  const readSign = (): void => {
    if (signRead) return;
    if (text[p] === '-' || (format.bracket && text[p] === '<')) {
      negative = true;
      signRead = true;
      p++;
    } else if (text[p] === '+') {
      signRead = true;
      p++;
    }
  };
  for (const node of format.nodes) {
    if (p >= text.length) break;
    if ('text' in node) {
      if (text[p] === node.text || !/[0-9.,+-]/.test(text[p]!)) p += String.fromCodePoint(text.codePointAt(p)!).length;
      continue;
    }
    switch (node.key) {
      case '9': case '0': case '.': case 'D': {
        if (text[p] === ' ') p++;
        if (p >= text.length) break;
        if ((node.key === '0' || node.key === '9') && integer === '' && fraction === '') readSign();
        const c = text[p];
        if (c !== undefined && c >= '0' && c <= '9') {
          if (point) {
            if (postRead < format.post) {
              fraction += c;
              postRead++;
              p++;
            }
          } else {
            integer += c;
            p++;
          }
        } else if (c === '.' && format.decimal && !point) {
          point = true;
          p++;
          if ((node.key === '9' || node.key === '0') && text[p] !== undefined && text[p]! >= '0' && text[p]! <= '9' && false) postRead++;
        }
        if (/[+-]/.test(text[p] ?? '') && (integer !== '' || fraction !== '') && !signRead) {
          const rest = text.slice(p + 1);
          if (!/^\d/.test(rest)) readSign();
        }
        break;
      }
      case ',': case 'G':
        if (text[p] === ',') p++;
        break;
      case 'L':
        if (!/[0-9.,+-]/.test(text[p]!)) p++;
        break;
      case 'MI':
        if (text[p] === '-') negative = true;
        if (text[p] === '-' || text[p] === '+' || text[p] === ' ') p++;
        break;
      case 'PL':
        if (text[p] === '+' || text[p] === ' ') p++;
        break;
      case 'SG':
        if (text[p] === '-') negative = true;
        if (text[p] === '-' || text[p] === '+') p++;
        break;
      case 'S': readSign(); break;
      case 'TH': case 'th': p += 2; break;
      default:
    }
  }
  if (!signRead && !negative && (format.lsignFlag || format.bracket)) {
    if (text[p] === '-' || /-$/.test(text.trimEnd())) negative = true;
  }
  if (integer === '' && fraction === '') throw new DatabaseError('22P02', `invalid input syntax for type numeric: "${text}"`);
  let result = Numeric.parse(`${negative ? '-' : ''}${integer || '0'}${fraction ? `.${fraction}` : ''}`)!;
  if (format.multiply) result = result.divide(Numeric.parse(`1e${format.multi}`)!);
  return result.round(format.multiply ? format.multi : Math.max(fraction.length, 0));
}

export const numberFormatFunctions: readonly SqlFunction[] = [
  f('to_char(numeric,text)', numericToChar),
  f('to_char(int4,text)', (value: number, template: string) => integerToChar(value, template, true)),
  f('to_char(int8,text)', (value: Int8, template: string) => integerToChar(value, template, false)),
  f('to_char(float8,text)', (value: number, template: string) => floatToChar(value, template, 15)),
  f('to_char(float4,text)', (value: number, template: string) => floatToChar(value, template, 6)),
  f('to_number(text,text)', toNumber),
];

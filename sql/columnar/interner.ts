/**
 * Texts of one execution, each with a number: kernels compare, group and join numbers. A text that is only
 * carried along goes by a place instead, its dictionary and code in one number, and becomes a string when it leaves.
 */
import type { Dictionary } from './dictionary.js';

/** Numbers of texts that the executions of one plan share: numbering the same small dictionaries anew took longer than reading them. */
class SharedTexts {
  readonly ids = new Map<string, number>();
  readonly texts: string[] = [];
  readonly refs = new WeakMap<Dictionary, Int32Array>();
}

/** A plan that numbers more texts begins anew with each execution. */
const MAX_SHARED_TEXTS = 4096;
const shared = new WeakMap<object, SharedTexts>();

/** In memory that threads share. */
function unnumbered(texts: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(texts * 4)).fill(-1);
}

/** Where a large dictionary's texts stand among all, and their numbers once one is asked for. */
interface Placed { readonly first: number; refs: Int32Array | null }

function numbersOf(placed: Placed, dictionary: Dictionary): Int32Array {
  return (placed.refs ??= unnumbered(dictionary.length));
}

function sharedTexts(plan: object): SharedTexts {
  let found = shared.get(plan);
  if (!found || found.texts.length > MAX_SHARED_TEXTS) shared.set(plan, (found = new SharedTexts()));
  return found;
}

export class Interner {
  private readonly ids: Map<string, number>;
  readonly texts: string[];
  private readonly sharedRefs: WeakMap<Dictionary, Int32Array>;
  private readonly placed = new Map<Dictionary, Placed>();
  private readonly starts: number[] = [];
  private readonly dictionaries: Dictionary[] = [];
  private places = 0;

  /** `plan`: what executions have in common that may share numbers. */
  constructor(plan: object = {}) {
    const { ids, texts, refs } = sharedTexts(plan);
    this.ids = ids;
    this.texts = texts;
    this.sharedRefs = refs;
  }

  id(text: string): number {
    let id = this.ids.get(text);
    if (id === undefined) {
      id = this.texts.push(text) - 1;
      this.ids.set(text, id);
    }
    return id;
  }

  /** Numbers of a dictionary's texts by code, -1 where none was asked for yet. */
  refs(dictionary: Dictionary): Int32Array {
    if (dictionary.length <= MAX_SHARED_TEXTS) {
      let refs = this.sharedRefs.get(dictionary);
      if (!refs) this.sharedRefs.set(dictionary, (refs = unnumbered(dictionary.length)));
      return refs;
    }
    return numbersOf(this.place(dictionary), dictionary);
  }

  /** Place of the dictionary's first text. */
  firstPlace(dictionary: Dictionary): number {
    return this.place(dictionary).first;
  }

  /** Number of the text at a place. */
  readonly idAt = (place: number): number => {
    const dictionary = this.dictionaries[this.find(place)]!;
    const placed = this.placed.get(dictionary)!;
    const refs = numbersOf(placed, dictionary);
    const code = place - placed.first;
    const known = refs[code]!;
    return known >= 0 ? known : (refs[code] = this.id(dictionary.get(code)));
  };

  readonly textAt = (place: number): string => {
    const at = this.find(place);
    return this.dictionaries[at]!.get(place - this.starts[at]!);
  };

  /** Order of the text at a place beside one that is given both ways. */
  readonly compareAt = (place: number, text: string, bytes: Buffer): number => {
    const at = this.find(place);
    return this.dictionaries[at]!.compare(place - this.starts[at]!, text, bytes);
  };

  private place(dictionary: Dictionary): Placed {
    let found = this.placed.get(dictionary);
    if (!found) {
      this.placed.set(dictionary, (found = { first: this.places, refs: null }));
      if (dictionary.length > 0) {
        this.starts.push(this.places);
        this.dictionaries.push(dictionary);
        this.places += dictionary.length;
      }
    }
    return found;
  }

  private find(place: number): number {
    const { starts } = this;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

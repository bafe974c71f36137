import { expect, test } from 'vitest';
import { ByteTexts } from './byte-texts.js';
import { MAX_STRINGS } from './dictionary.js';

function codes(texts: ByteTexts, values: readonly string[], most = Infinity): number[] {
  return values.map((value) => {
    // As in a row: between other bytes.
    const bytes = Buffer.from(`<${value}>`);
    return texts.code(bytes, 1, bytes.length - 1, most);
  });
}

test('equal texts have one code, in order of appearance, and the dictionary gives them back', () => {
  const texts = new ByteTexts();
  expect(codes(texts, ['b', 'a', 'b', '', 'é😀', '', 'a', 'é😀', 'é'])).toEqual([0, 1, 0, 2, 3, 2, 1, 3, 4]);
  const dictionary = texts.dictionary();
  expect([0, 1, 2, 3, 4].map((code) => dictionary.get(code))).toEqual(['b', 'a', '', 'é😀', 'é']);
  expect(dictionary.characters).toBe(-1);
});

test('many texts, of one length and of several', () => {
  for (const [make, characters] of [[(i: number) => `é${String(i).padStart(6, '0')}`, 7], [(i: number) => `text ${i}`, -1]] as const) {
    const values = Array.from({ length: MAX_STRINGS * 3 }, (_, i) => make(i % (MAX_STRINGS * 2)));
    const texts = new ByteTexts();
    expect(codes(texts, values)).toEqual(values.map((_, i) => i % (MAX_STRINGS * 2)));
    const dictionary = texts.dictionary();
    expect(dictionary.length).toBe(MAX_STRINGS * 2);
    expect(dictionary.characters).toBe(characters);
    for (let code = 0; code < dictionary.length; code += 97) expect(dictionary.get(code)).toBe(make(code));
  }
});

test('one too many is refused, and those that are there are still found', () => {
  const texts = new ByteTexts();
  expect(codes(texts, ['a', 'b', 'c', 'a', 'b'], 2)).toEqual([0, 1, -1, 0, 1]);
});

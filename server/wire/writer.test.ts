import { expect, test } from 'vitest';
import { WireWriter } from './writer.js';

test('a message that was not ended is dropped by the next one', () => {
  // a value whose output function raised in the middle of a row once corrupted the stream
  const writer = new WireWriter();
  writer.begin(0x44);
  writer.int16(2);
  writer.textField('first');
  writer.begin(0x45);
  writer.byte(0);
  writer.end();
  expect([...writer.take()]).toEqual([0x45, 0, 0, 0, 5, 0]);
});

test('fields: ASCII, longer and wider text, NULL', () => {
  const writer = new WireWriter();
  writer.begin(0x44);
  writer.textField('ab');
  writer.textField('é');
  writer.nullField();
  writer.textField('x'.repeat(5000));
  writer.end();
  const bytes = writer.take();
  expect(bytes.readInt32BE(1)).toBe(bytes.length - 1);
  expect([...bytes.subarray(5, 21)]).toEqual([0, 0, 0, 2, 97, 98, 0, 0, 0, 2, 0xc3, 0xa9, 255, 255, 255, 255]);
  expect(bytes.readInt32BE(21)).toBe(5000);
});

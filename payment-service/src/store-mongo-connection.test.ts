import { describe, expect, test } from '@jest/globals';
import mongoose from 'mongoose';
import { isOutage, isRefusal } from './store-mongo-connection.ts';

const { MongoBulkWriteError, MongoInvalidArgumentError, MongoServerError } = mongoose.mongo;
/** As the driver gives it: with the code of the first. */
const bulkError = (...codes: number[]) =>
  new MongoBulkWriteError(
    { message: 'refused', code: codes[0] ?? 0, writeErrors: codes.map((code) => ({ code })) as never },
    { getWriteConcernError: () => undefined } as never,
  );
const serverError = (code: number) => new MongoServerError({ message: 'refused', code });

describe('an error of the database', () => {
  test.each([
    ['writes that are blocked for users', serverError(371), true],
    ['the same of one among others', bulkError(11_000, 371), true],
    ['not primary', serverError(10_107), true],
    ['a key that is there', serverError(11_000), false],
    ['keys that are there, and a document that breaks a rule', bulkError(11_000, 121), false],
    ['a code that nobody knows', serverError(8), false],
    ['what the driver refuses to send', new MongoInvalidArgumentError('no'), false],
    ['a bug', new TypeError('x is undefined'), false],
  ])('%s: an outage or not', (_name, error, expected) => {
    expect(isOutage(error)).toBe(expected);
  });

  test('is a refusal whatever code the server gives, and nothing that is ours', () => {
    expect([serverError(8), bulkError(8)].map(isRefusal)).toEqual([true, true]);
    expect([new MongoInvalidArgumentError('no'), new TypeError('x')].map(isRefusal)).toEqual([false, false]);
  });
});

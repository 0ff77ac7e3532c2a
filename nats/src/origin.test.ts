import { describe, expect, test } from '@jest/globals';
import { actions, subjectOf } from './messages.ts';
import { backlogSubject, copiedHeaders, type Headers, originId, originOf } from './origin.ts';

const headersOf = (values: Record<string, string[]>): Headers => new Map(Object.entries(values));
const message = {
  subject: 'payments.new',
  headers: headersOf({ 'Nats-Msg-Id': ['id-1'], Colour: ['red', 'green'] }),
  storedAt: new Date('2026-01-02T03:04:05.678Z'),
  sequence: 12,
};
const origin = { 'Paystream-Stored-At': ['2026-01-02T03:04:05.678Z'], 'Paystream-Sequence': ['12'] };

describe('a copy', () => {
  test('has the headers of the message and where it was, and nothing by which the broker would act on it', () => {
    const headers = headersOf({
      'Nats-Msg-Id': ['id-1'],
      'Nats-Expected-Stream': ['payment'],
      'nats-ttl': ['1s'],
      Colour: ['red', 'green'],
    });

    expect(Object.fromEntries(copiedHeaders({ ...message, headers }))).toEqual({
      ...origin,
      Colour: ['red', 'green'],
      'Paystream-Message-Id': ['id-1'],
      'Paystream-Subject': ['payments.new'],
    });
  });

  test('is read as the message that it was', () => {
    const copy = new Map(copiedHeaders(message)).set('Nats-Msg-Id', ['of the copy']);

    expect(originOf('backlog.payments.new', copy)).toEqual(message);
  });

  test('of a copy is the same again', () => {
    const once = originOf('backlog.payments.new', copiedHeaders(message));

    expect(once && copiedHeaders(once)).toEqual(copiedHeaders(message));
    expect(once && originId(once)).toBe(originId(message));
  });

  test('of a message without an id gets none', () => {
    const copy = new Map(copiedHeaders({ ...message, headers: new Map() })).set('Nats-Msg-Id', [
      'of the copy',
    ]);

    expect(originOf('backlog.payments.new', copy)?.headers).toEqual(new Map());
  });

  test('without the subject in a header has the one on which it lies', () => {
    expect(originOf('backlog.payments.draft', headersOf(origin))?.subject).toBe('payments.draft');
  });
});

describe('what does not say where it was:', () => {
  test.each<[string, Record<string, string[]>]>([
    ['nothing at all', {}],
    ['a time alone', { 'Paystream-Stored-At': origin['Paystream-Stored-At'] }],
    ['a sequence alone', { 'Paystream-Sequence': ['12'] }],
    ['a time that is none', { ...origin, 'Paystream-Stored-At': ['yesterday'] }],
    ['a time of another form', { ...origin, 'Paystream-Stored-At': ['2026-01-02'] }],
    ['a day that does not exist', { ...origin, 'Paystream-Stored-At': ['2026-02-31T00:00:00.000Z'] }],
    ['a sequence of zero', { ...origin, 'Paystream-Sequence': ['0'] }],
    ['a negative sequence', { ...origin, 'Paystream-Sequence': ['-1'] }],
    ['a sequence with more behind it', { ...origin, 'Paystream-Sequence': ['12 '] }],
    ['a sequence beyond all counting', { ...origin, 'Paystream-Sequence': ['9'.repeat(16)] }],
    ['an empty sequence', { ...origin, 'Paystream-Sequence': [] }],
  ])('%s', (_what, headers) => {
    expect(originOf('backlog.payments.new', headersOf(headers))).toBeUndefined();
  });
});

test('every subject of the queue has its own in the backlog, and others share one', () => {
  for (const action of actions)
    expect(backlogSubject(subjectOf(action))).toBe(`backlog.${subjectOf(action)}`);
  for (const other of ['payments.a.b', 'orders.new', 'payments'])
    expect(backlogSubject(other)).toBe('backlog.payments.unknown');
});

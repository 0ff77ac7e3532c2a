import { describe, expect, test } from '@jest/globals';
import { createObserver } from './observer.ts';

let sequence = 0;
const settled = (more: Record<string, unknown>) => {
  sequence += 1;
  const line = { msg: 'message.settled', txId: 'a', outcome: 'applied', deliveries: 1, lagMs: 5, sequence };
  return JSON.stringify({ ...line, ...more });
};

describe('the observer', () => {
  test('counts what the services say, of each and of all', () => {
    const observer = createObserver();

    observer.onLine('payments-1', settled({}));
    observer.onLine('payments-1', settled({ deliveries: 2, outcome: 'duplicate', lagMs: 30_000 }));
    observer.onLine('payments-2', settled({ deliveries: 3, txId: 'b' }));
    observer.onLine('payments-2', JSON.stringify({ msg: 'messages.released', count: 7 }));
    observer.onLine('payments-2', JSON.stringify({ msg: 'backlog.set-aside', count: 20 }));
    observer.onLine('gateway-1', JSON.stringify({ msg: 'broker.away' }));
    observer.onLine('payments-1', JSON.stringify({ msg: 'database.away' }));

    expect(observer.totals()).toEqual({
      redelivered: 2,
      recognised: 1,
      late: 1,
      'given-back': 7,
      'broker-away': 1,
      'database-away': 1,
      'set-aside': 20,
    });
    expect(observer.count('redelivered', 'payments-2')).toBe(1);
    expect([observer.isApplied('a'), observer.isApplied('c')]).toEqual([true, false]);
  });

  test('knows a message that was set aside between two deliveries by its sequence', () => {
    const observer = createObserver();

    observer.onLine('payments-1', settled({ sequence: 42 }));
    observer.onLine('payments-2', settled({ sequence: 42, outcome: 'duplicate' }));

    expect(observer.totals()).toMatchObject({ redelivered: 1, recognised: 1 });
  });

  test('is not disturbed by half a line, or by what is no log line', () => {
    const observer = createObserver();

    observer.onLine('payments-1', '{"msg":"message.settl');
    observer.onLine('payments-1', '(node:1) Warning: something');

    expect(observer.totals().redelivered).toBe(0);
  });
});

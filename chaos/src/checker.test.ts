import { describe, expect, test } from '@jest/globals';
import { createSteps } from './check-steps.ts';
import { check, count } from './checker.ts';
import type { Attempt, History, RecordedEntry, RecordedTransaction, Webhook } from './history.ts';
import { invariants, type ViolationKind } from './violation.ts';

const txId = '2f1c7a1e-6a51-4c5e-9d4e-0c1b8f6d2a90';
const storedAt = Date.parse('2026-01-02T03:04:05.678Z');

const webhooks: Webhook[] = [
  { label: 'w000001', txId, action: 'NEW', amount: 100, note: 'w000001 order', webhookId: undefined },
  { label: 'w000002', txId, action: 'UPDATE', amount: 250, note: 'w000002 order', webhookId: 'evt-2' },
  { label: 'w000003', txId, action: 'UPDATE', amount: 300, note: 'w000003 order', webhookId: 'evt-2' },
];

const attempt = (label: string, more: Partial<Attempt> = {}): Attempt => ({
  label,
  gateway: 'gateway-1',
  sentAtMs: 1_000,
  endedAtMs: 1_020,
  answer: { kind: 'stored', duplicate: false, sequence: 1 },
  ...more,
});

const entry = (n: number, more: Partial<RecordedEntry> = {}): RecordedEntry => ({
  n,
  eventId: n === 1 ? 'a-fingerprint' : 'evt-2',
  action: n === 1 ? 'NEW' : 'UPDATE',
  amount: n === 1 ? 100 : 250,
  note: `w00000${n} order`,
  source: 'x-payment',
  at: storedAt + n,
  storedAt: storedAt + n,
  receivedAt: storedAt,
  sequence: n,
  ...more,
});

const transaction = (more: Partial<RecordedTransaction> = {}): RecordedTransaction => ({
  txId,
  version: 2,
  source: 'x-payment',
  status: 'updated',
  action: 'UPDATE',
  amount: 250,
  note: 'w000002 order',
  captured: 0,
  hasNew: true,
  anomalies: [],
  actionHistory: [entry(1), entry(2)],
  conflicts: [{ ...entry(3), note: 'w000003 order', amount: 300, eventId: 'evt-2' }],
  ...more,
});

/** A run in which everything went as it must: two events, one of them sent twice, a conflict, a dead letter. */
const good: History = {
  webhooks,
  attempts: [
    attempt('w000001'),
    attempt('w000002', { answer: { kind: 'none', detail: 'reset' }, gateway: 'gateway-2' }),
    attempt('w000002'),
    attempt('w000002', { answer: { kind: 'stored', duplicate: true, sequence: 2 } }),
    attempt('w000003'),
  ],
  poisons: [{ label: 'p000001', reason: 'not-json' }],
  windows: [{ gateway: 'gateway-2', kind: 'gateway-away', fromMs: 900, toMs: 1_100 }],
  stops: [{ process: 'payments-1', code: 0, signal: null, tookMs: 200 }],
  crashes: [],
  unhealed: [],
  beganAtMs: 0,
  left: [],
  memory: [{ process: 'payments-1', rssMiB: 150 }],
  hasUniqueIndex: true,
  steps: [],
  record: [transaction()],
  deadLetters: [{ label: 'p000001', reason: 'not-json', sequence: '7' }],
};

const recorded = (more: Partial<RecordedTransaction>): Partial<History> => ({ record: [transaction(more)] });
const away = { gateway: 'gateway-1', kind: 'broker-away', fromMs: 900, toMs: 1_100 } as const;
const stranger = 'b0a2c0e5-51a4-4d0c-8f0e-0a4b8f2f6b11';

/** What went wrong, and what the checker must call it. At least one history for each kind. */
const bad: [string, ViolationKind, Partial<History>][] = [
  [
    'an answered webhook that is nowhere',
    'lost',
    recorded({ actionHistory: [entry(1)], conflicts: [], version: 1 }),
  ],
  ['the whole transaction is nowhere', 'lost', { record: [] }],
  ['a conflict that was dropped', 'lost', recorded({ conflicts: [] })],
  [
    'an event that nobody sent',
    'invented',
    recorded({ conflicts: [...transaction().conflicts, { ...entry(3), note: 'w000009 order' }] }),
  ],
  ['an event without a label', 'invented', recorded({ actionHistory: [entry(1), entry(2, { note: '' })] })],
  [
    'a dead letter of nothing that was sent',
    'invented',
    { deadLetters: [...good.deadLetters, { label: '', reason: 'not-json', sequence: '8' }] },
  ],
  [
    'a webhook that was never sent by anybody',
    'invented',
    { attempts: good.attempts.filter(({ label }) => label !== 'w000003') },
  ],
  ['another amount', 'changed', recorded({ actionHistory: [entry(1, { amount: 101 }), entry(2)] })],
  ['another note', 'changed', recorded({ actionHistory: [entry(1, { note: 'w000001 oRder' }), entry(2)] })],
  ['another action', 'changed', recorded({ actionHistory: [entry(1, { action: 'DRAFT' }), entry(2)] })],
  ['another identity', 'changed', recorded({ actionHistory: [entry(1), entry(2, { eventId: 'evt-3' })] })],
  ['another transaction', 'changed', { record: [transaction({ txId: stranger })] }],
  [
    'one event applied twice',
    'twice',
    recorded({ actionHistory: [entry(1), entry(2), entry(3, { note: 'w000002 order' })], version: 3 }),
  ],
  [
    'one event applied, and kept as a conflict too',
    'twice',
    recorded({ conflicts: [...transaction().conflicts, { ...entry(2) }] }),
  ],
  ['two documents of one transaction', 'two-documents', { record: [transaction(), transaction()] }],
  ['no unique index', 'no-unique-index', { hasUniqueIndex: false }],
  ['a 200 while the broker was away', 'answered-without-broker', { windows: [...good.windows, away] }],
  ['poison that is gone', 'poison-not-kept', { deadLetters: [] }],
  [
    'poison with another reason',
    'poison-not-kept',
    { deadLetters: [{ label: 'p000001', reason: 'not-utf8', sequence: '7' }] },
  ],
  ['one poison kept twice', 'poison-not-kept', { deadLetters: [...good.deadLetters, ...good.deadLetters] }],
  [
    'a good one among the dead letters',
    'good-one-put-aside',
    { deadLetters: [...good.deadLetters, { label: 'w000001', reason: 'not-json', sequence: '1' }] },
  ],
  [
    'an answer after more than 5 s',
    'slow-answer',
    { attempts: [...good.attempts, attempt('w000001', { endedAtMs: 6_001 })] },
  ],
  [
    'no answer of a gateway that lives',
    'no-answer',
    { attempts: [...good.attempts, attempt('w000001', { answer: { kind: 'none', detail: 'reset' } })] },
  ],
  [
    'a request that was in time, cut off by a stop',
    'no-answer',
    {
      attempts: [...good.attempts, attempt('w000001', { answer: { kind: 'none', detail: 'reset' } })],
      windows: [
        ...good.windows,
        { gateway: 'gateway-1', kind: 'gateway-stopping', fromMs: 1_101, toMs: 2_000 },
      ],
    },
  ],
  ['another status', 'wrong-state', recorded({ status: 'new' })],
  ['money that nobody captured', 'wrong-state', recorded({ captured: 250 })],
  ['an anomaly that is none', 'wrong-state', recorded({ anomalies: [{ n: 2, code: 'after-approved' }] })],
  ['a NEW that was not noticed', 'wrong-state', recorded({ hasNew: false })],
  ['a transaction without a history', 'wrong-state', recorded({ actionHistory: [] })],
  ['the amount of the older event', 'stale-won', recorded({ amount: 100 })],
  ['the note of the older event', 'stale-won', recorded({ note: 'w000001 order' })],
  [
    'two events in one place',
    'history-broken',
    recorded({ actionHistory: [entry(1), { ...entry(2), n: 1 }] }),
  ],
  ['more versions than writes', 'history-broken', recorded({ version: 4 })],
  ['a backlog that does not end', 'not-drained', { left: ['3 messages in payment'] }],
  ['a fault that does not heal', 'not-healed', { unhealed: ['kill-broker broker'] }],
  ['a process as large as a house', 'too-large', { memory: [{ process: 'payments-1', rssMiB: 301 }] }],
  [
    'a stop with exit code 1',
    'bad-stop',
    { stops: [{ process: 'gateway-1', code: 1, signal: null, tookMs: 9_000 }] },
  ],
  [
    'a stop that had to be a kill',
    'bad-stop',
    { stops: [{ process: 'gateway-1', code: null, signal: 'SIGKILL', tookMs: 12_000 }] },
  ],
  ['a slow stop', 'bad-stop', { stops: [{ process: 'gateway-1', code: 0, signal: null, tookMs: 10_001 }] }],
  ['a process that ended by itself', 'crashed', { crashes: [{ process: 'payments-1', how: 'exit code 1' }] }],
  [
    'the clock of the gateway in the order',
    'clock-trusted',
    recorded({ actionHistory: [entry(1), entry(2, { at: storedAt + 3_600_000 })] }),
  ],
  [
    'the clock of the gateway as the time of storing',
    'clock-trusted',
    recorded({
      actionHistory: [entry(1), entry(2, { at: storedAt + 3_600_000, storedAt: storedAt + 3_600_000 })],
    }),
  ],
];

/** What a transaction was, and is in the next dump. */
const badSteps: [string, ViolationKind, RecordedTransaction, RecordedTransaction][] = [
  ['a version lower than before', 'went-back', transaction({ version: 3 }), transaction()],
  [
    'a transaction that is not approved any more',
    'went-back',
    transaction({ captured: 250, status: 'approved' }),
    transaction(),
  ],
  ['a transaction that has disappeared', 'went-back', transaction({ txId: stranger }), transaction()],
  [
    'a fact that was written over',
    'fact-changed',
    transaction({ actionHistory: [entry(1, { receivedAt: 1 })], version: 1 }),
    transaction(),
  ],
  [
    'a conflict that was written over',
    'fact-changed',
    transaction({ conflicts: [{ ...entry(3), amount: 301 }] }),
    transaction(),
  ],
];

describe('the checker', () => {
  test('has nothing to say of a good history', () => {
    expect(check(good)).toEqual([]);
  });

  test.each(bad)('sees %s', (_what, kind, broken) => {
    const kinds = new Set(check({ ...good, ...broken }).map((violation) => violation.kind));

    expect(kinds).toContain(kind);
  });

  test('has a bad history for everything that it can report', () => {
    expect(new Set([...bad, ...badSteps].map(([, kind]) => kind))).toEqual(new Set(Object.keys(invariants)));
  });

  test('excuses a gateway that was away, and one that was stopping for those who came too late', () => {
    const late = attempt('w000001', { answer: { kind: 'none', detail: 'refused' }, endedAtMs: 8_000 });
    const during = (kind: 'gateway-away' | 'gateway-stopping', fromMs: number) => ({
      ...good,
      attempts: [...good.attempts, late],
      windows: [...good.windows, { gateway: 'gateway-1', kind, fromMs, toMs: 9_000 }],
    });

    expect(check(during('gateway-away', 7_000))).toEqual([]);
    expect(check(during('gateway-stopping', 900))).toEqual([]);
    expect(check(during('gateway-stopping', 7_000)).map(({ kind }) => kind)).toEqual([
      'slow-answer',
      'no-answer',
    ]);
  });

  test('tells of a late answer when it was asked for, and what it was', () => {
    const attempts = [...good.attempts, attempt('w000001', { sentAtMs: 2_500, endedAtMs: 7_520 })];

    expect(check({ ...good, attempts, beganAtMs: 1_000 }).map(({ what }) => what)).toEqual([
      'w000001 from gateway-1, sent at 1.5 s: 200 after 5020 ms',
    ]);
  });

  test('allows a 200 for a repeat while the broker was away', () => {
    const repeats = good.attempts.map((one) =>
      one.answer.kind === 'stored' ? { ...one, answer: { ...one.answer, duplicate: true } } : one,
    );

    expect(check({ ...good, attempts: repeats, windows: [...good.windows, away] })).toEqual([]);
  });

  test('allows a 200 for what was sent before the broker was away, or answered after it was back', () => {
    const windows = [
      { ...away, fromMs: 1_010 },
      { ...away, toMs: 1_010 },
    ];

    for (const window of windows) expect(check({ ...good, windows: [...good.windows, window] })).toEqual([]);
  });
});

describe('the steps of the record', () => {
  test('are none when facts were only added', async () => {
    const steps = createSteps();

    await steps.take([transaction({ actionHistory: [entry(1)], conflicts: [], version: 1 })]);

    expect(await steps.take([transaction()])).toEqual([transaction()]);
    expect(steps.violations).toEqual([]);
  });

  test.each(badSteps)('show %s', async (_what, kind, then, next) => {
    const steps = createSteps();

    await steps.take([then]);
    await steps.take([next]);

    expect(steps.violations.map((violation) => violation.kind)).toContain(kind);
    expect(check({ ...good, steps: steps.violations })).toEqual(steps.violations);
  });

  test('compare with the last whole dump when the database goes away in the middle of one', async () => {
    const steps = createSteps();
    async function* broken() {
      yield transaction({ version: 1 });
      throw new Error('the database is away');
    }

    await steps.take([transaction({ version: 2 })]);
    await expect(steps.take(broken())).rejects.toThrow('the database is away');
    expect(steps.violations).toEqual([]);
    await steps.take([transaction({ version: 1 })]);

    expect(steps.violations.map(({ kind }) => kind)).toEqual(['went-back']);
  });
});

describe('the numbers', () => {
  test('are those of the history', () => {
    expect(count(good, check(good))).toEqual({
      sent: 3,
      requests: 5,
      answered200: 4,
      answered503: 0,
      unknown: 1,
      applied: 2,
      duplicates: 1,
      conflicts: 1,
      anomalies: 0,
      deadLetters: 1,
      lost: 0,
      invented: 0,
      twice: 0,
      longestAnswerMs: 20,
    });
  });

  test('count what was lost and what is there twice', () => {
    const history = {
      ...good,
      ...recorded({ actionHistory: [entry(1), entry(2, { note: 'w000001 order' })] }),
    };

    expect(count(history, check(history))).toMatchObject({ lost: 1, twice: 1 });
  });
});

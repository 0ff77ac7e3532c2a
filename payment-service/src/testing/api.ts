import type { DeadLetters } from '@paystream/nats';
import { createDoor, createRegistry, listen, type OperatorToken } from '@paystream/runtime';
import { createOpenapiCheck } from '../../../runtime/src/testing/openapi-check.ts';
import { createPaymentApp } from '../app.ts';
import { createDecide } from '../decide.ts';
import { openapi } from '../openapi.ts';
import { createRedriver, type Redriver } from '../redrive.ts';
import type { RedriveStore } from '../redrive-store.ts';
import type { ReplayChange } from '../replay-store.ts';
import type { Replay, ReplayState } from '../replay-types.ts';
import type { TransactionStore } from '../store.ts';
import type { WebhookRoutesOptions } from '../webhook-routes.ts';
import type { WebhookStore } from '../webhook-store.ts';
import { collectLog } from './fixture.ts';
import { createMemoryWebhookStore } from './memory-webhook-store.ts';

export interface ApiAnswer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the body is what the test asserts
  body: any;
  ms: number;
}

export interface TestApi {
  url: string;
  /** Sends the request; throws when the answer is not what the OpenAPI document promises. */
  call(path: string, init?: RequestInit): Promise<ApiAnswer>;
  /** The statuses seen so far: `get /transactions 200`. */
  seen: Set<string>;
  lines: Record<string, unknown>[];
  /** As SIGTERM does. */
  beginStop(): void;
  close(): Promise<void>;
}

export interface ApiOptions {
  tokens?: OperatorToken[];
  /** As where only this machine can ask. */
  open?: boolean;
  replay?: Replay;
  brokerPaces?: boolean;
  letters?: DeadLetters;
  redrives?: RedriveStore;
  redriver?: Redriver;
  webhooks?: WebhookStore;
  translate?: WebhookRoutesOptions['translate'];
}

const noLetters: DeadLetters = {
  find: async () => ({ letters: [], next: undefined }),
  get: async () => undefined,
  remove: async () => undefined,
};
const noRedrives: RedriveStore = {
  begin: async () => '',
  finish: async () => undefined,
  latestOf: async () => new Map(),
  list: async () => ({ items: [], next: undefined }),
};

export const openapiCheck = createOpenapiCheck(openapi);

/** The HTTP side in this process, on a free port. */
export async function startApi(
  store: TransactionStore,
  {
    tokens = [],
    open = tokens.length === 0,
    replay = fakeReplay(),
    brokerPaces = false,
    letters = noLetters,
    redrives = noRedrives,
    redriver,
    webhooks = createMemoryWebhookStore(),
    translate = async () => ({ kind: 'unavailable', detail: 'there is no gateway' }),
  }: ApiOptions = {},
): Promise<TestApi> {
  const { log, lines } = collectLog();
  const stopping = new AbortController();
  const now = () => new Date();
  const readiness = () => ({ ready: store.state().ok, parts: { database: store.state() } });
  const app = createPaymentApp({
    log,
    store,
    webhooks,
    translate,
    readiness,
    registry: createRegistry(readiness),
    stopping: stopping.signal,
    door: createDoor({ tokens, open }),
    replay,
    brokerPaces,
    letters,
    redrives,
    redriver:
      redriver ??
      createRedriver({ letters, decide: createDecide({ store, webhooks, now }), redrives, log, now }),
    now,
  });
  const server = await listen(app, { port: 0, host: '127.0.0.1' });
  const url = `http://127.0.0.1:${server.port}`;
  const seen = new Set<string>();

  return {
    url,
    seen,
    lines,
    call: async (path, init = {}) => {
      const startedAt = performance.now();
      const answer = await fetch(`${url}${path}`, init);
      const { status, headers } = answer;
      const text = await answer.text();
      const ms = performance.now() - startedAt;
      const method = (init.method ?? 'get').toLowerCase();
      const template = templateOf(path);
      // HEAD and what is not taken are not in the document.
      if (template !== undefined && method !== 'head' && status !== 405) {
        seen.add(`${method} ${template} ${status}`);
        const differences = openapiCheck.compare({ method, template, status, headers, text });
        if (differences.length > 0) throw new Error(`${status} ${text}\n${differences.join('\n')}`);
      }
      const isJson = (headers.get('content-type') ?? '').includes('json') && text !== '';
      return { status, headers, text, body: isJson ? JSON.parse(text) : undefined, ms };
    },
    beginStop: () => stopping.abort(),
    close: async () => {
      stopping.abort();
      await server.close(1_000);
    },
  };
}

const plainPaths = new Set([
  '/transactions',
  '/replay',
  '/dead-letters',
  '/dead-letters/redrive',
  '/redrives',
  '/metrics',
]);

function templateOf(path: string): string | undefined {
  const [address = ''] = path.split('?');
  if (/^\/transactions\/[^/]+$/.test(address)) return '/transactions/{txId}';
  if (/^\/dead-letters\/[^/]+\/redrive$/.test(address)) return '/dead-letters/{sequence}/redrive';
  if (/^\/dead-letters\/(?!redrive$)[^/]+$/.test(address)) return '/dead-letters/{sequence}';
  if (/^\/webhooks-received\/[^/]+$/.test(address)) return '/webhooks-received/{id}';
  if (/^\/webhooks-received\/[^/]+\/translate$/.test(address)) return '/webhooks-received/{id}/translate';
  return plainPaths.has(address) ? address : undefined;
}

/** Nothing to replay unless told otherwise; a change is kept. */
export function fakeReplay({
  now = {},
  change = async () => undefined,
}: {
  now?: Partial<ReplayState>;
  change?: (change: ReplayChange) => Promise<void>;
} = {}): Replay {
  const defaults = { mode: 'original', speed: 1, finishWithinMs: null, paused: 'none' } as const;
  let changed: ReplayChange | undefined;
  return {
    begin: () => undefined,
    sift: async (deliveries) => deliveries,
    followOnce: async () => undefined,
    run: async () => undefined,
    stop: async () => undefined,
    change: async (to, by) => {
      const next = { setting: to(changed?.setting ?? defaults), ...by };
      await change(next);
      changed = next;
    },
    state: () => ({
      change: changed,
      setting: changed?.setting ?? defaults,
      state: 'live',
      leads: true,
      backlog: { messages: 0, oldestStoredAt: undefined, newestStoredAt: undefined },
      speed: changed?.setting.speed ?? 1,
      guard: false,
      doneAt: undefined,
      ...now,
    }),
  };
}

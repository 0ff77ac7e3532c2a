import { describeError, type Log, pause } from '@paystream/runtime';
import type { BrokerConnection } from './connection.ts';
import { type Finding, findingLine } from './preflight.ts';
import { isSafe, type ProvisionMode, type ProvisionReport, provision } from './provision.ts';
import type { StreamOptions } from './streams.ts';

export interface BrokerCheckState {
  /** True when the broker is there and its streams and consumers are as they must be. */
  ok: boolean;
  detail: string;
  report: ProvisionReport | undefined;
}

export interface BrokerCheckOptions {
  broker: BrokerConnection;
  /** `create` provisions what is missing (one machine); `check` only compares. */
  mode: Extract<ProvisionMode, 'create' | 'check'>;
  streams: StreamOptions;
  /** `warn` runs all the same on unsafe settings. */
  preflight: 'strict' | 'warn';
  log: Log;
  /** Called when the first look at what is there finds settings that can lose a payment and `preflight` is strict. */
  onUnsafe: (reason: Error) => void;
}

// A deleted stream must be seen within 10 s.
const lookEveryMs = 5_000;
const firstLookEveryMs = 50;

/**
 * Compares the broker with what the system needs, after every connect and every few seconds, and says so. What vanishes
 * later is first told, with readiness red, and made anew by the next look where this process provisions: a consumer
 * without loss, and a stream only since what it held is gone anyway. A person must know, so it is an error in the log.
 */
export function watchBroker({ broker, mode, streams, preflight, log, onUnsafe }: BrokerCheckOptions) {
  let state: BrokerCheckState = { ok: false, detail: 'not looked at yet', report: undefined };
  let looked = false;
  // Known to be missing since the look before; at the first one whatever is not there.
  let missing = true;
  // Something that could lose a payment once it is there.
  let incomplete = true;
  let lines = '';
  let looking: Promise<void> | undefined;

  const change = (next: BrokerCheckState, findings: readonly Finding[]) => {
    state = next;
    const now = [next.detail, ...findings.map(findingLine)].join('\n');
    if (now === lines) return;
    lines = now;
    for (const finding of findings) {
      const { severity, resource, setting, problem, mend } = finding;
      log[severity === 'unsafe' ? 'error' : 'warn']({ resource, setting, problem, mend }, 'broker.finding');
    }
  };

  const lookOnce = async () => {
    const connection = broker.current();
    if (connection === undefined) {
      change({ ...state, ok: false, detail: broker.state().detail }, []);
      return;
    }
    let report: ProvisionReport;
    try {
      report = await provision(connection, { mode: missing ? mode : 'check', streams });
    } catch (error) {
      change({ ...state, ok: false, detail: describeError(error) }, []);
      return;
    }
    for (const line of report.done) {
      if (looked) log.error({ done: line, lost: lostWith(line) }, 'broker.made-anew');
      else log.info({ done: line }, 'broker.provisioned');
    }
    missing = report.findings.some((finding) => finding.setting === 'existence');
    const wasIncomplete = incomplete;
    const unsafe = report.findings.filter((finding) => finding.severity === 'unsafe');
    incomplete = unsafe.some((finding) => finding.setting === 'existence');
    const [first] = unsafe;
    const tolerated = preflight === 'warn' && unsafe.every((finding) => finding.setting !== 'existence');
    const detail = first === undefined ? `nats-server ${report.serverVersion}` : findingLine(first);
    change({ ok: isSafe(report) || tolerated, detail, report }, report.findings);
    // What does not exist yet cannot lose anything: that is waited for, and looked at like the first time when it is there.
    const losing = unsafe.filter((finding) => finding.setting !== 'existence');
    if (wasIncomplete && losing.length > 0 && preflight === 'strict') onUnsafe(new Error(unsafeReason));
    looked = true;
  };

  const look = () => {
    looking ??= lookOnce().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const stopListening = broker.onChange(() => void look());
  const timer = setInterval(() => void look(), lookEveryMs);
  void look();

  return {
    state: () => state,
    look,
    /** Resolves when the settings were compared once, so that nothing is taken from a broker that could lose it. */
    whenLookedAt: async (signal: AbortSignal) => {
      while (!looked && !signal.aborted) await pause(firstLookEveryMs, signal);
    },
    stop: () => {
      clearInterval(timer);
      stopListening();
    },
  };
}

const unsafeReason = 'the broker has settings that can lose a payment; PREFLIGHT=warn runs all the same';

const lostWith = (line: string) =>
  line.startsWith('stream ') ? 'what the stream held is gone' : 'nothing; what was in hand comes again';

/** What a publish acknowledgement is worth, for `/readyz`. How the broker syncs is not told to clients, so it is stated. */
export function durabilityOf({
  sync,
  replicas,
}: {
  sync: 'always' | 'unknown';
  replicas: number | undefined;
}) {
  return {
    broker:
      sync === 'always'
        ? 'every publish is synced to disk before it is acknowledged (sync_interval: always, as BROKER_SYNC says)'
        : 'unknown: set BROKER_SYNC=always where nats-server runs with sync_interval: always',
    replicas: replicas === undefined ? 'unknown' : String(replicas),
  };
}

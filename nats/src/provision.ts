import { describeError } from '@paystream/runtime';
import {
  type JetStreamManager,
  type NatsConnection,
  NatsError,
  type StreamConfig,
  type StreamInfo,
} from 'nats';
import { compareConsumer, modeFor } from './consumer-findings.ts';
import { mendedStream } from './mend.ts';
import { applyCommand, createCommand, type Finding } from './preflight.ts';
import { hasAtomicBatches, isAtLeast, oldestServer, versionOf } from './server-version.ts';
import { compareStream } from './stream-findings.ts';
import {
  type ConsumerDefinition,
  consumerDefinitions,
  holdsPromises,
  paymentStreamName,
  type StreamDefinition,
  type StreamOptions,
  streamDefaults,
  streamDefinitions,
} from './streams.ts';

export type ProvisionMode =
  /** Compare only. */
  | 'check'
  /** Create what is missing, compare the rest. */
  | 'create'
  /** Create what is missing and change what differs: an operator asked for it by name. */
  | 'apply';

export interface ProvisionReport {
  serverVersion: string;
  /** nats-server 2.12 or newer publishes batches atomically. */
  atomicBatches: boolean;
  replicas: number | undefined;
  done: string[];
  findings: Finding[];
}

interface Provisioning {
  manager: JetStreamManager;
  mode: ProvisionMode;
  streams: StreamOptions;
  report: ProvisionReport;
}

/** Compares the broker with what the system needs and, as far as the mode allows, brings it there. */
export async function provision(
  connection: NatsConnection,
  { mode, streams = streamDefaults }: { mode: ProvisionMode; streams?: StreamOptions | undefined },
): Promise<ProvisionReport> {
  const serverVersion = versionOf(connection);
  const report: ProvisionReport = {
    serverVersion,
    atomicBatches: hasAtomicBatches(connection),
    replicas: undefined,
    done: [],
    findings: [],
  };
  if (!isAtLeast(serverVersion, oldestServer)) {
    report.findings.push({
      severity: 'unsafe',
      resource: 'nats-server',
      setting: 'version',
      problem: `${serverVersion} is too old: 2.11.0 or newer is needed (an old one takes settings it does not know without a word)`,
      mend: 'install nats-server 2.12 or newer',
    });
    return report;
  }
  // Without the check of the account, which needs a permission that the services do not have.
  const manager = await connection.jetstreamManager({ checkAPI: false });
  for (const definition of streamDefinitions(streams)) {
    await provisionStream(definition, { manager, mode, streams, report });
  }
  for (const definition of consumerDefinitions(streams)) {
    await provisionConsumer(definition, { manager, mode, streams, report });
  }
  return report;
}

/** Whether a service may run on this broker. */
export function isSafe(report: ProvisionReport): boolean {
  return report.findings.every((finding) => finding.severity !== 'unsafe');
}

async function provisionStream(
  definition: StreamDefinition,
  { manager, mode, report }: Provisioning,
): Promise<void> {
  const { name } = definition;
  const resource = `stream ${name}`;
  const wanted = forServer(definition, report);
  let found: StreamInfo | undefined;
  try {
    found = await found404(manager.streams.info(name));
  } catch (error) {
    if (holdsPromises(name) || !isForbidden(error)) throw error;
    report.findings.push(notAllowed(resource));
    return;
  }
  if (found === undefined) {
    if (mode === 'check') {
      report.findings.push(missingStream(name));
      return;
    }
    const refused = await refusalOf(name, manager.streams.add(wanted));
    if (refused === undefined) report.done.push(`${resource}: created`);
    else report.findings.push({ ...notCreated(resource, refused), severity: severityOf(name) });
    if (name === paymentStreamName && refused === undefined) report.replicas = definition.num_replicas;
    return;
  }
  if (name === paymentStreamName) report.replicas = found.config.num_replicas;
  const findings = compareStream(definition, found.config, report.atomicBatches);
  const fixable = findings.every((finding) => finding.mend.includes(applyCommand));
  if (mode !== 'apply' || findings.length === 0 || !fixable) {
    report.findings.push(...findings);
    return;
  }
  const refused = await refusalOf(name, manager.streams.update(name, mendedStream(wanted, found.config)));
  if (refused === undefined) {
    report.done.push(`${resource}: changed ${findings.map((finding) => finding.setting).join(', ')}`);
  } else {
    report.findings.push(...findings.map((finding) => ({ ...finding, mend: refused.mend })));
  }
}

async function provisionConsumer(
  definition: ConsumerDefinition,
  { manager, mode, streams, report }: Provisioning,
): Promise<void> {
  const { stream, ...wanted } = definition;
  const resource = `consumer ${stream} ${definition.durable_name}`;
  const found = await found404(manager.consumers.info(stream, definition.durable_name));
  const findings = found === undefined ? [] : compareConsumer(definition, found.config, streams);
  if (found === undefined ? mode === 'check' : mode !== 'apply' || findings.length === 0) {
    report.findings.push(...(found === undefined ? [missing(resource, modeFor(definition))] : findings));
    return;
  }
  // Made anew and not edited: some settings cannot be edited, and a message that ran out of deliveries is
  // handed out again by a new consumer only. A work queue keeps what was not acknowledged, so nothing is lost.
  if (found !== undefined) await manager.consumers.delete(stream, definition.durable_name);
  const refused = await refusalOf(stream, manager.consumers.add(stream, wanted));
  if (refused !== undefined) {
    report.findings.push(notCreated(resource, refused));
    return;
  }
  const settings = findings.map((finding) => finding.setting).join(', ');
  report.done.push(`${resource}: ${found === undefined ? 'created' : `made anew, for ${settings}`}`);
}

/** Without the settings that an older server would refuse. */
function forServer(definition: StreamDefinition, { atomicBatches }: ProvisionReport): Partial<StreamConfig> {
  const { allow_atomic, ...settings } = definition;
  return atomicBatches ? { ...settings, ...{ allow_atomic } } : settings;
}

const missing = (resource: string, mode = ''): Finding => ({
  severity: 'unsafe',
  resource,
  setting: 'existence',
  problem: 'is missing, so nothing can be stored or applied',
  mend: `${mode}${createCommand}`,
});

const isForbidden = (error: unknown) => /permissions violation/i.test(describeError(error));

/** The broker's configuration is older than the stream: nothing that was promised is lost by that. */
const notAllowed = (resource: string): Finding => ({
  severity: 'warning',
  resource,
  setting: 'permission',
  problem: 'to look at it is missing, so refused webhooks are not kept',
  mend: `replace the configuration of the broker by nats/nats-server.conf, then: ${createCommand}`,
});

const severityOf = (stream: string): Finding['severity'] => (holdsPromises(stream) ? 'unsafe' : 'warning');

/** A service without it does all that it promises, so it is told and waited for by nobody. */
function missingStream(name: string): Finding {
  const finding = missing(`stream ${name}`);
  if (holdsPromises(name)) return finding;
  return { ...finding, severity: severityOf(name), problem: 'is missing, so refused webhooks are not kept' };
}

interface Refusal {
  message: string;
  mend: string;
}

const notCreated = (resource: string, { message, mend }: Refusal): Finding => ({
  severity: 'unsafe',
  resource,
  setting: 'existence',
  problem: `cannot be created, the broker refuses it (${message})`,
  mend,
});

const room = `set STREAM_MAX_BYTES lower, or give the broker more room (max_file_store, a larger disk), then: ${createCommand}`;
const onlyConsumer = `see who reads it (nats consumer ls <stream>) and remove that consumer: a work queue has one reader; then: ${createCommand}`;
/** What a person must change first, by the server's error code. Any other error may pass by itself and is thrown. */
const refusals: ReadonlyMap<number, string> = new Map([
  [10023, room],
  [10047, room],
  [
    10052,
    `change what it names (DUPLICATE_WINDOW is at most the 7 days of the stream), then: ${createCommand}`,
  ],
  // Its stream was refused a moment ago.
  [10059, createCommand],
  [
    10065,
    `see which stream has its subjects (nats stream ls --subject '<subject>') and remove it, then: ${createCommand}`,
  ],
  [10074, `set STREAM_REPLICAS=1, or run a cluster of three nats-servers, then: ${createCommand}`],
  [10099, onlyConsumer],
  [10100, onlyConsumer],
]);

async function refusalOf(stream: string, work: Promise<unknown>): Promise<Refusal | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    const code = error instanceof NatsError ? error.api_error?.err_code : undefined;
    const mend = code === undefined ? undefined : refusals.get(code);
    if (mend === undefined || !(error instanceof NatsError)) throw error;
    const [subject = ''] = streamDefinitions().find(({ name }) => name === stream)?.subjects ?? [];
    return { message: error.message, mend: mend.replace('<stream>', stream).replace('<subject>', subject) };
  }
}

async function found404<T>(looked: Promise<T>): Promise<T | undefined> {
  try {
    return await looked;
  } catch (error) {
    const notFound = error instanceof NatsError && error.api_error?.code === 404;
    if (notFound) return undefined;
    throw error;
  }
}

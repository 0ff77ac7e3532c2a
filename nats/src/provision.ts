import { type JetStreamManager, type NatsConnection, NatsError, type StreamConfig } from 'nats';
import { applyCommand, compareConsumer, compareStream, createCommand, type Finding } from './preflight.ts';
import {
  type ConsumerDefinition,
  consumerDefinitions,
  type StreamDefinition,
  type StreamOptions,
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

const oldestServer = { major: 2, minor: 11 };
const atomicBatchServer = { major: 2, minor: 12 };

/** Compares the broker with what the system needs and, as far as the mode allows, brings it there. */
export async function provision(
  connection: NatsConnection,
  { mode, streams = undefined }: { mode: ProvisionMode; streams?: StreamOptions | undefined },
): Promise<ProvisionReport> {
  const serverVersion = connection.info?.version ?? '0.0.0';
  const report: ProvisionReport = {
    serverVersion,
    atomicBatches: isAtLeast(serverVersion, atomicBatchServer),
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
    await provisionStream(manager, definition, mode, report);
  }
  for (const definition of consumerDefinitions()) {
    await provisionConsumer(manager, definition, mode, report);
  }
  return report;
}

/** Whether a service may run on this broker. */
export function isSafe(report: ProvisionReport): boolean {
  return report.findings.every((finding) => finding.severity !== 'unsafe');
}

async function provisionStream(
  manager: JetStreamManager,
  definition: StreamDefinition,
  mode: ProvisionMode,
  report: ProvisionReport,
): Promise<void> {
  const { allow_atomic, ...settings } = definition;
  const wanted: Partial<StreamConfig> = report.atomicBatches
    ? { ...settings, ...{ allow_atomic } }
    : settings;
  const resource = `stream ${definition.name}`;
  const found = await found404(manager.streams.info(definition.name));
  if (found === undefined) {
    if (mode === 'check') {
      report.findings.push(missing(resource));
      return;
    }
    await manager.streams.add(wanted);
    report.done.push(`${resource}: created`);
    if (definition.name === 'payment') report.replicas = definition.num_replicas;
    return;
  }
  if (definition.name === 'payment') report.replicas = found.config.num_replicas;
  const findings = compareStream(definition, found.config, report.atomicBatches);
  const fixable = findings.every((finding) => finding.mend.includes(applyCommand));
  if (mode === 'apply' && findings.length > 0 && fixable) {
    await manager.streams.update(definition.name, { ...found.config, ...wanted });
    report.done.push(`${resource}: changed ${findings.map((finding) => finding.setting).join(', ')}`);
    return;
  }
  report.findings.push(...findings);
}

async function provisionConsumer(
  manager: JetStreamManager,
  definition: ConsumerDefinition,
  mode: ProvisionMode,
  report: ProvisionReport,
): Promise<void> {
  const { stream, ...wanted } = definition;
  const resource = `consumer ${stream} ${definition.durable_name}`;
  const found = await found404(manager.consumers.info(stream, definition.durable_name));
  if (found === undefined) {
    if (mode === 'check') {
      report.findings.push(missing(resource));
      return;
    }
    await manager.consumers.add(stream, wanted);
    report.done.push(`${resource}: created`);
    return;
  }
  const findings = compareConsumer(definition, found.config);
  if (mode === 'apply' && findings.length > 0) {
    // Made anew and not edited: some settings cannot be edited, and a message that ran out of deliveries is
    // handed out again by a new consumer only. A work queue keeps what was not acknowledged, so nothing is lost.
    await manager.consumers.delete(stream, definition.durable_name);
    await manager.consumers.add(stream, wanted);
    report.done.push(`${resource}: made anew, for ${findings.map((finding) => finding.setting).join(', ')}`);
    return;
  }
  report.findings.push(...findings);
}

const missing = (resource: string): Finding => ({
  severity: 'unsafe',
  resource,
  setting: 'existence',
  problem: 'fails: it does not exist, so nothing can be stored or applied',
  mend: createCommand,
});

function isAtLeast(version: string, wanted: { major: number; minor: number }): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > wanted.major || (major === wanted.major && minor >= wanted.minor);
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

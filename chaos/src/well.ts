import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Webhook } from './history.ts';
import type { Observer } from './observer.ts';
import type { Sender } from './sender.ts';
import { gatewayNames, isUp, type System } from './system.ts';

export interface WellOptions {
  system: System;
  sender: Sender;
  observer: Observer;
  signal: AbortSignal;
}

const withinMs = 60_000;
const lookEveryMs = 100;

/**
 * Waits until the system is well: every service says that it is ready, and a webhook sent from now on through each
 * gateway is applied. Gives the milliseconds that it took, or undefined when a minute was not enough.
 */
export function createWell({ system, sender, observer, signal }: WellOptions) {
  let probes = 0;

  const until = async (isSo: () => boolean | Promise<boolean>, deadline: number) => {
    while (!(await isSo())) {
      if (performance.now() > deadline) return false;
      await sleep(lookEveryMs, undefined, { signal });
    }
    return true;
  };
  const untilApplied = async (gateway: number, deadline: number) => {
    probes += 1;
    const webhook = probe(probes);
    const isStored = async () => (await sender.attempt(webhook, gateway)).answer.kind === 'stored';
    return (await until(isStored, deadline)) && until(() => observer.isApplied(webhook.txId), deadline);
  };

  return async (): Promise<number | undefined> => {
    const startedAt = performance.now();
    const deadline = startedAt + withinMs;
    const all = await Promise.all([
      ...[...gatewayNames.keys()].map((gateway) => untilApplied(gateway, deadline)),
      ...[...system.serviceUrls.values()].map((url) => until(() => isUp(`${url}/readyz`), deadline)),
    ]);
    return all.every((isWell) => isWell) ? performance.now() - startedAt : undefined;
  };
}

/** Above the labels of the load, which count from 1. */
function probe(count: number): Webhook {
  const label = `w${900_000 + count}`;
  return {
    label,
    txId: randomUUID(),
    action: 'NEW',
    amount: 1,
    note: `${label} probe`,
    webhookId: undefined,
  };
}

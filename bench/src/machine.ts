import { cpus, loadavg, totalmem } from 'node:os';
import { MongoClient } from 'mongodb';
import type { Rig } from './rig.ts';

/** Where and when the numbers were measured: without it they say nothing. */
export interface Machine {
  at: string;
  cpu: string;
  cores: number;
  memoryGiB: number;
  platform: string;
  node: string;
  natsServer: string;
  mongod: string;
  /** Of mongod. */
  cacheGiB: number;
  /** Before the bench began: what else was going on. */
  load1m: number;
}

export async function describeMachine({ nats, mongoUri }: Rig, load1m: number): Promise<Machine> {
  const mongo = await MongoClient.connect(mongoUri);
  try {
    const { version, wiredTiger } = await mongo.db('admin').command({ serverStatus: 1 });
    return {
      at: new Date().toISOString(),
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      platform: `${process.platform} ${process.arch}`,
      node: process.versions.node,
      natsServer: nats.info?.version ?? 'unknown',
      mongod: String(version),
      cacheGiB: Math.round((wiredTiger.cache['maximum bytes configured'] / 2 ** 30) * 100) / 100,
      load1m,
    };
  } finally {
    await mongo.close();
  }
}

/** The load of the last minute; to be asked before the bench makes its own. */
export function loadNow(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

export function machineLine(machine: Machine): string {
  const { at, cpu, cores, memoryGiB, platform, node, natsServer, mongod, cacheGiB, load1m } = machine;
  return (
    `${at.slice(0, 10)}, ${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}, all on one machine. Node ${node}, ` +
    `nats-server ${natsServer} (every acknowledgement synced), mongod ${mongod} (one node, journaled majority writes, a cache of ` +
    `${cacheGiB} GiB). ` +
    `Load before the run: ${load1m}.`
  );
}

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { resolveServer, startChild, startMongod } from '@paystream/local';
import mongoose, { type mongo } from 'mongoose';
import { read } from './compose-file.ts';
import { eventually, throwAwayFolder } from './harness.ts';

export interface GuardedMongod {
  /** Where it listens, with the name of its replica set; a user comes in front of it. */
  uriAs(user: string, database: string): string;
  /** Of the user who may do everything. */
  admin(): Promise<mongoose.mongo.MongoClient>;
  close(): Promise<void>;
}

const adminPassword = 'admins';
export const paymentsPassword = 'p4a5';
// What a replica set with access control demands, and TLS where a test asks for it.
type GuardOptions = { args?: readonly string[]; host?: string; options?: string };

/** A mongod with access control on, with the administrator and the user that payment-service/mongo/user.js makes. */
export async function startGuardedMongod({
  args = [],
  host = '127.0.0.1',
  options = '',
}: GuardOptions = {}): Promise<GuardedMongod> {
  const folder = throwAwayFolder('guarded-mongod');
  const binary = resolveServer('mongod');
  const open = await startMongod({ binary, dataDir: folder.path });
  const client = await new mongoose.mongo.MongoClient(open.uri).connect();
  await client.db('admin').command({ createUser: 'admin', pwd: adminPassword, roles: ['root'] });
  // Twice: an operator may run it again.
  for (const _time of ['first', 'second']) await runUserScript(client);
  await client.close();
  await open.stop();

  const keyFile = join(folder.path, 'key');
  writeFileSync(keyFile, randomBytes(48).toString('base64'), { mode: 0o400 });
  const place = ['--port', String(open.port), '--bind_ip', '127.0.0.1', '--dbpath', folder.path];
  const ours = [
    '--replSet',
    'rs0',
    '--keyFile',
    keyFile,
    '--nounixsocket',
    '--wiredTigerCacheSizeGB',
    '0.25',
  ];
  const child = startChild({ command: binary, args: [...place, ...ours, ...args], stopWithinMs: 10_000 });
  const uriAs = (user: string, database: string) =>
    `mongodb://${user}@${host}:${open.port}/${database}?replicaSet=rs0&directConnection=true${options}`;
  const clients: mongoose.mongo.MongoClient[] = [];
  const admin = async () => {
    const asAdmin = new mongoose.mongo.MongoClient(uriAs(`admin:${adminPassword}`, 'admin'), {
      serverSelectionTimeoutMS: 1_000,
    });
    clients.push(asAdmin);
    return asAdmin.connect();
  };
  await eventually(
    () =>
      admin()
        .then((asAdmin) => asAdmin.db('admin').command({ hello: 1 }))
        .then(({ isWritablePrimary }) => isWritablePrimary)
        .catch((error: unknown) => String(error)),
    { within: 30_000, until: (seen) => seen === true },
  );
  return {
    uriAs,
    admin,
    close: async () => {
      await Promise.all(clients.map((one) => one.close()));
      await child.stop();
      folder.remove();
    },
  };
}

/** The shipped script, word for word. What it asks of mongosh's `db` is answered by the server, one command at a time. */
async function runUserScript(client: mongoose.mongo.MongoClient): Promise<void> {
  const source = read('payment-service/mongo/user.js');
  const info = async (command: mongo.Document) => client.db('paystream').command(command);
  const known = { rolesInfo: await info({ rolesInfo: 1 }), usersInfo: await info({ usersInfo: 1 }) };
  const commands: { database: string; command: mongo.Document }[] = [];
  runInNewContext(source, {
    process: { env: { MONGO_PAYMENTS_PASSWORD: paymentsPassword } },
    print: () => undefined,
    db: {
      getSiblingDB: (database: string) => ({
        runCommand: (command: mongo.Document) => {
          const [name = ''] = Object.keys(command);
          if (name === 'rolesInfo' || name === 'usersInfo') return known[name];
          commands.push({ database, command: JSON.parse(JSON.stringify(command)) });
          return { ok: 1 };
        },
      }),
    },
  });
  for (const { database, command } of commands) await client.db(database).command(command);
}

/** The script without a password, as nobody should run it. */
export function runUserScriptWithoutPassword(): void {
  runInNewContext(readFileSync(new URL('../payment-service/mongo/user.js', import.meta.url), 'utf8'), {
    process: { env: {} },
  });
}

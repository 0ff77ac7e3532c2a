import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { operatorEntry } from '@paystream/runtime';
import { sendJson } from './demo-http.ts';
import { outageEnv, playOutage } from './demo-outage.ts';
import { tellStory } from './demo-story.ts';
import { freePort } from './ports.ts';
import { readSettled, type Settled } from './settled.ts';
import { createStack, type Stack } from './stack.ts';

// Shown by the demo itself, and of no use when it has failed.
const everyDay = /"msg":"(request\.answered|webhook\.accepted|message\.settled)"/;

process.exitCode = await main();

async function main(): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'paystream-demo-'));
  const log: string[] = [];
  const listeners = new Set<(settled: Settled) => void>();
  const token = randomBytes(24).toString('base64url');
  const stack = createStack({
    ...(await freePorts()),
    dataDir,
    env: {
      ...outageEnv,
      OPERATOR_TOKENS: operatorEntry({ name: 'demo', role: 'operator', token }),
    },
    say: (line) => log.push(line),
    onLine: (service, line) => {
      if (!everyDay.test(line)) log.push(`${service} | ${line}`);
      const settled = readSettled(line);
      if (settled !== undefined) for (const listener of listeners) listener(settled);
    },
  });
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => reject(new Error('stopped')));
  });
  const onSettled = (listener: (settled: Settled) => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  try {
    await Promise.race([play({ stack, token, onSettled }), interrupted]);
    return 0;
  } catch (error) {
    console.error(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
    for (const line of log.slice(-15)) console.error(`  ${line}`);
    return 1;
  } finally {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

interface Play {
  stack: Stack;
  token: string;
  onSettled: (listener: (settled: Settled) => void) => () => void;
}

async function play({ stack, token, onSettled }: Play): Promise<void> {
  const colours = process.stdout.isTTY && !process.env.NO_COLOR;
  console.log('\nStarting a broker, a database and both services on free ports, in a throw-away folder.\n');
  await stack.start();

  console.log('1. The story of one transaction\n');
  await tellStory(stack);

  console.log('2. An outage of the payment-service, replayed at the rate at which it came\n');
  await playOutage({ stack, speed: 1, onSettled, colours });

  console.log('3. The same again, four times as fast\n');
  await setSpeed(stack, token, 4);
  await playOutage({ stack, speed: 4, onSettled, colours });
}

/** What an operator would do; the setting survives the outage that follows. */
async function setSpeed({ paymentUrl }: Stack, token: string, speed: number): Promise<void> {
  const body = { speed, reason: 'the demo' };
  const answer = await sendJson(`${paymentUrl}/replay`, body, { method: 'PUT', token });
  console.log(`  PUT ${paymentUrl}/replay ${JSON.stringify(body)}: ${answer.status}\n`);
  if (answer.status !== 200)
    throw new Error(`PUT /replay was answered ${answer.status} ${JSON.stringify(answer.body)}`);
}

async function freePorts() {
  const [gatewayPort, paymentPort, natsPort, mongoPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  return { gatewayPort, paymentPort, natsPort, mongoPort };
}

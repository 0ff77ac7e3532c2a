import { describeError, type Log } from '@paystream/runtime';
import type { Msg } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { verdicts } from './delivery.ts';
import { openPull, type Pull } from './pull.ts';
import { paymentConsumerName } from './streams.ts';
import { type Bell, createBell } from './waiting.ts';

// A pull that was lost without a word (a consumer that moved to another server) is missed for no longer than this.
const pullForMs = 2_000;
const lookAgainMs = 500;
export const giveBackAfterMs = 1_000;

/** What lies between the broker and the taker: an open pull and the messages that came of it. */
export interface Intake {
  broker: BrokerConnection;
  log: Log;
  heldMax: number;
  mode: 'pulling' | 'paused' | 'stopped';
  pulling: boolean;
  /** What it does, or why it waits. */
  detail: string;
  /** Delivered by the broker and not taken yet, oldest first. */
  held: Msg[];
  pull: Pull | undefined;
  changed: Bell;
  stopping: AbortController;
  stopListening: () => void;
}

export function createIntake(options: { broker: BrokerConnection; log: Log; heldMax: number }): Intake {
  const intake: Intake = {
    ...options,
    mode: 'pulling',
    pulling: false,
    detail: 'not started',
    held: [],
    pull: undefined,
    changed: createBell(),
    stopping: new AbortController(),
    stopListening: options.broker.onChange(({ up, detail }) => {
      if (!up) {
        intake.pull?.abandon();
        if (intake.mode === 'pulling') report(intake, { pulling: false, detail });
      }
      intake.changed.ring();
    }),
  };
  return intake;
}

/** Resolves when it was stopped; every failure is reported and tried again. */
export async function pullUntilStopped(intake: Intake): Promise<void> {
  const isIn = (mode: Intake['mode']) => intake.mode === mode;
  // Half of the room at least, so that a slow taker does not cause a pull for every message.
  const isFull = () => intake.held.length > intake.heldMax / 2;
  while (!isIn('stopped')) {
    try {
      await pullOnce(intake);
      while (isIn('paused') || (isIn('pulling') && isFull())) await intake.changed.next();
    } catch (error) {
      if (isIn('stopped')) return;
      report(intake, { pulling: false, detail: describeError(error) });
      await intake.changed.next(lookAgainMs);
    }
  }
}

export async function pullOnce(intake: Intake): Promise<void> {
  const { broker, held, heldMax, stopping } = intake;
  const isPulling = () => intake.mode === 'pulling';
  if (!isPulling()) return;
  if (!broker.state().up) report(intake, { pulling: false, detail: broker.state().detail });
  const connection = await broker.whenUp(stopping.signal);
  const room = heldMax - held.length;
  if (room <= 0 || !isPulling()) return;
  const pull = openPull({
    connection,
    inboxPrefix: broker.inboxPrefix,
    batch: room,
    expiresMs: pullForMs,
    onMessage: (message) => arrive(intake, message),
  });
  intake.pull = pull;
  void pull.accepted.then((accepted) => {
    if (accepted && isPulling())
      report(intake, { pulling: true, detail: `pulling from ${paymentConsumerName}` });
  });
  const end = await pull.ended;
  intake.pull = undefined;
  if (end.kind === 'failed') throw new Error(end.detail);
}

/** At least one message and at most `max`, or none when it was paused or stopped. */
export async function takeHeld(intake: Intake, max: number): Promise<Msg[]> {
  while (intake.held.length === 0) {
    if (intake.mode !== 'pulling') return [];
    await intake.changed.next();
  }
  const messages = intake.held.splice(0, max);
  intake.changed.ring();
  return messages;
}

function arrive(intake: Intake, message: Msg): void {
  if (intake.mode === 'pulling') intake.held.push(message);
  else reply(intake, message, verdicts.nak(giveBackDelayMs(intake)));
  intake.changed.ring();
}

export function pauseIntake(intake: Intake, detail: string): void {
  if (intake.mode !== 'pulling') return;
  intake.mode = 'paused';
  report(intake, { pulling: false, detail });
  giveBack(intake);
}

export function resumeIntake(intake: Intake): void {
  if (intake.mode !== 'paused') return;
  intake.mode = 'pulling';
  intake.changed.ring();
}

/** Resolves when nothing more can arrive. */
export async function stopIntake(intake: Intake): Promise<void> {
  intake.mode = 'stopped';
  intake.stopping.abort();
  report(intake, { pulling: false, detail: 'stopped' });
  giveBack(intake);
  await intake.pull?.ended;
  intake.stopListening();
}

/** Ends the pull first: messages given back while it is open would come straight back to us. */
function giveBack(intake: Intake): void {
  intake.pull?.end();
  for (const message of intake.held.splice(0)) reply(intake, message, verdicts.nak(giveBackDelayMs(intake)));
  intake.changed.ring();
}

// A paused service's messages wait a little for it; those of one that goes away are for the others, now.
const giveBackDelayMs = (intake: Intake) => (intake.mode === 'paused' ? giveBackAfterMs : 0);

/** False when the broker cannot hear it: the message then comes again after the ack wait. */
export function reply({ broker }: Intake, message: Msg, verdict: string): boolean {
  // While the client reconnects it would take the words, drop them, and say nothing.
  if (!broker.state().up) return false;
  try {
    return message.respond(verdict);
  } catch {
    return false;
  }
}

function report(intake: Intake, { pulling, detail }: { pulling: boolean; detail: string }): void {
  if (intake.pulling === pulling && intake.detail === detail) return;
  intake.pulling = pulling;
  intake.detail = detail;
  // Waiting on purpose is no reason to worry anybody.
  const level = pulling || intake.mode !== 'pulling' ? 'info' : 'warn';
  intake.log[level]({ detail }, pulling ? 'consumer.pulling' : 'consumer.waiting');
}

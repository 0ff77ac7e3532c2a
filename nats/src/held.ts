import { type Bell, createBell, describeError, type Log } from '@paystream/runtime';
import type { Msg } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { type Placed, placeOf, verdicts } from './delivery.ts';
import { openPull, type Pull } from './pull.ts';
import type { WorkQueue } from './streams.ts';

// A pull that was lost without a word (a consumer that moved to another server) is missed for no longer than this.
const pullForMs = 2_000;
const lookAgainMs = 500;
export const giveBackAfterMs = 1_000;

export interface IntakeOptions {
  broker: BrokerConnection;
  log: Log;
  queue: WorkQueue;
  heldMax: number;
  /** Of all that is held; what is taken at one time is half of it at most. */
  heldBytesMax: number;
  /** That of the consumer: what is held longer than a third of it is reported to be in work. */
  ackWaitMs: number;
}

interface Held extends Placed {
  /** When the broker last heard of it, on a clock that only grows. */
  heardAt: number;
}

/** What lies between the broker and the taker: an open pull and the messages that came of it. */
export interface Intake extends IntakeOptions {
  stopped: boolean;
  /** Why nothing is pulled, and whether each lets us keep what is held. */
  reasons: Map<string, { keepHeld: boolean }>;
  pulling: boolean;
  /** What it does, or why it waits. */
  detail: string;
  /** Delivered by the broker and not taken yet, oldest first. */
  held: Held[];
  /** What is held or taken and not settled yet. */
  inHand: Set<string>;
  pull: Pull | undefined;
  /** Resolves when the broker has forgotten the pull that was ended last: before that, nothing is given back. */
  quiet: Promise<unknown>;
  changed: Bell;
  stopping: AbortController;
  stopListening: () => void;
}

export function createIntake(options: IntakeOptions): Intake {
  const thirdMs = options.ackWaitMs / 3;
  const beat = setInterval(() => sayWorking(intake, intake.held, thirdMs), thirdMs);
  beat.unref();
  const stopListening = options.broker.onChange(({ up, detail }) => {
    if (!up) {
      intake.pull?.abandon();
      if (isPulling(intake)) report(intake, { pulling: false, detail });
    }
    // While the connection was lost the broker heard nothing of what is held.
    else sayWorking(intake, intake.held, 0);
    intake.changed.ring();
  });
  const intake: Intake = {
    ...options,
    stopped: false,
    reasons: new Map(),
    pulling: false,
    detail: 'not started',
    held: [],
    inHand: new Set(),
    pull: undefined,
    quiet: Promise.resolve(),
    changed: createBell(),
    stopping: new AbortController(),
    stopListening: () => {
      clearInterval(beat);
      stopListening();
    },
  };
  return intake;
}

export const isPulling = ({ stopped, reasons }: Intake) => !stopped && reasons.size === 0;
const isPaused = ({ stopped, reasons }: Intake) => !stopped && reasons.size > 0;
const keepsHeld = ({ stopped, reasons }: Intake) =>
  !stopped && [...reasons.values()].every(({ keepHeld }) => keepHeld);

/** Resolves when it was stopped; every failure is reported and tried again. */
export async function pullUntilStopped(intake: Intake): Promise<void> {
  // Half of the room at least, so that a slow taker does not cause a pull for every message.
  const isFull = () => intake.held.length > intake.heldMax / 2 || heldBytes(intake) > intake.heldBytesMax / 2;
  while (!intake.stopped) {
    try {
      await pullOnce(intake);
      while (isPaused(intake) || (isPulling(intake) && isFull())) await intake.changed.next();
    } catch (error) {
      if (intake.stopped) return;
      if (isPulling(intake)) report(intake, { pulling: false, detail: describeError(error) });
      await intake.changed.next(lookAgainMs);
    }
  }
}

export async function pullOnce(intake: Intake): Promise<void> {
  const { broker, queue, held, heldMax, heldBytesMax, stopping } = intake;
  if (!isPulling(intake)) return;
  if (!broker.state().up) report(intake, { pulling: false, detail: broker.state().detail });
  const connection = await broker.whenUp(stopping.signal);
  const room = heldMax - held.length;
  if (room <= 0 || !isPulling(intake)) return;
  const pull = openPull({
    connection,
    inboxPrefix: broker.inboxPrefix,
    queue,
    batch: room,
    bytesMax: heldBytesMax - heldBytes(intake),
    expiresMs: pullForMs,
    onMessage: (message) => arrive(intake, message),
  });
  intake.pull = pull;
  void pull.accepted.then((accepted) => {
    if (accepted && isPulling(intake))
      report(intake, { pulling: true, detail: `pulling from ${queue.consumer}` });
  });
  const end = await pull.ended;
  intake.pull = undefined;
  if (end.kind === 'failed') throw new Error(end.detail);
}

/** At least one message and at most `max`, or none when it was paused or stopped. */
export async function takeHeld(intake: Intake, max: number): Promise<Placed[]> {
  while (isPulling(intake) && intake.held.length === 0) await intake.changed.next();
  if (!isPulling(intake)) return [];
  const taken = intake.held.splice(0, countWithin(intake, max));
  // So the taker has two thirds of the ack wait at least.
  sayWorking(intake, taken, intake.ackWaitMs / 3);
  intake.changed.ring();
  return taken;
}

const heldBytes = ({ held }: Intake) => held.reduce((sum, { message }) => sum + message.data.length, 0);

/** How many of the oldest fit into half of the bytes, and one at least. */
function countWithin({ held, heldBytesMax }: Intake, max: number): number {
  let bytes = 0;
  const tooMany = held.slice(0, max).findIndex(({ message }) => {
    bytes += message.data.length;
    return bytes > heldBytesMax / 2;
  });
  return tooMany === -1 ? max : Math.max(1, tooMany);
}

/** Resolves when nothing holds it back, or it was stopped. */
export async function whenResumed(intake: Intake): Promise<void> {
  while (isPaused(intake)) await intake.changed.next();
}

function arrive(intake: Intake, message: Msg): void {
  const place = placeOf(message);
  if (place === undefined) {
    intake.log.warn({ subject: message.subject }, 'consumer.stranger');
    return;
  }
  // Handed out again because the broker had not heard of it in time: it is in hand still, and settled from there.
  if (intake.inHand.has(place.key)) return;
  intake.inHand.add(place.key);
  intake.held.push({ message, place, heardAt: performance.now() });
  intake.changed.ring();
}

/** It is settled, or given back: when it comes again it is wanted again. */
export function letGo(intake: Intake, { place }: Placed): void {
  intake.inHand.delete(place.key);
}

export function pauseIntake(intake: Intake, reason: string, { keepHeld }: { keepHeld: boolean }): void {
  if (intake.stopped) return;
  intake.reasons.set(reason, { keepHeld });
  report(intake, { pulling: false, detail: [...intake.reasons.keys()].join('; ') });
  endPull(intake);
}

export function resumeIntake(intake: Intake, reason: string): void {
  if (!intake.reasons.delete(reason) || intake.stopped) return;
  const others = [...intake.reasons.keys()];
  intake.detail = others.length > 0 ? others.join('; ') : 'about to pull';
  intake.changed.ring();
}

/** Resolves when nothing more can arrive. */
export async function stopIntake(intake: Intake): Promise<void> {
  intake.stopped = true;
  intake.stopping.abort();
  report(intake, { pulling: false, detail: 'stopped' });
  endPull(intake);
  await intake.quiet;
  intake.stopListening();
}

/** Ends the pull first: messages given back while it is open would come straight back to us. */
function endPull(intake: Intake): void {
  const { pull } = intake;
  pull?.end();
  if (pull !== undefined) intake.quiet = pull.ended;
  // In the order in which it came, with what was still on its way.
  if (!keepsHeld(intake)) void intake.quiet.then(() => giveBack(intake));
  intake.changed.ring();
}

function giveBack(intake: Intake): void {
  // Resumed meanwhile.
  if (keepsHeld(intake)) return;
  for (const held of intake.held.splice(0)) {
    reply(intake, held, verdicts.nak(giveBackDelayMs(intake)));
    letGo(intake, held);
  }
}

// A paused service's messages wait a little for it; those of one that goes away are for the others, now.
const giveBackDelayMs = (intake: Intake) => (isPaused(intake) ? giveBackAfterMs : 0);

/** Tells the broker of what is held, so that waiting here is no reason to hand it out again. */
function sayWorking(intake: Intake, messages: Held[], unheardForMs: number): void {
  const now = performance.now();
  for (const held of messages) {
    if (now - held.heardAt >= unheardForMs && reply(intake, held, verdicts.working)) held.heardAt = now;
  }
}

/** False when the broker cannot hear it: the message then comes again after the ack wait. */
export function reply({ broker }: Intake, { message }: Placed, verdict: string): boolean {
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
  const level = pulling || !isPulling(intake) ? 'info' : 'warn';
  intake.log[level]({ detail }, pulling ? 'consumer.pulling' : 'consumer.waiting');
}

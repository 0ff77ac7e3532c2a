// Loaded before a service by `node --import`: its wall clock jumps, a few seconds after it began, by
// CHAOS_CLOCK_SHIFT_MS. The monotonic clock runs on, as it does when somebody sets the time of a machine.
const shiftMs = Number(process.env.CHAOS_CLOCK_SHIFT_MS ?? 0);
const jumpAfterMs = 2_500;
const RealDate = Date;
const now = () => RealDate.now() + (performance.now() > jumpAfterMs ? shiftMs : 0);

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
});

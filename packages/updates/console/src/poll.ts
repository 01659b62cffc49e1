/** Waiting and looking again. */

import type { Live, Told } from "./live.ts";

const FIRST_MILLISECONDS = 1_000;
const LONGEST_MILLISECONDS = 10_000;
const SLOWER = 1.25;
const TOGETHER_MILLISECONDS = 200;
const BETWEEN_MILLISECONDS = 1_000;

/** Resolves after so long; rejects when the signal is aborted. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** Resolves when somebody looks at the page. */
function seen(signal: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve, reject) => {
    document.addEventListener("visibilitychange", () => resolve(), { once: true, signal });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/**
 * Looks when an event says so, at most once a second, and now and then for what no event tells; where there are no events it
 * polls. Until `look` says "done" or the signal is aborted.
 */
export async function follow(look: () => Promise<"changed" | "same" | "done">, live: Live, wanted: (told: Told) => boolean, signal: AbortSignal): Promise<void> {
  let wait = FIRST_MILLISECONDS;
  let stale = false;
  let waiting = new AbortController();
  live.hear((told) => {
    if (told && !wanted(told)) return;
    stale = true;
    waiting.abort();
  }, signal);
  for (;;) {
    stale = false;
    const began = Date.now();
    const found = await look();
    if (found === "done" || signal.aborted) return;
    wait = live.tells("job") ? LONGEST_MILLISECONDS : found === "changed" ? FIRST_MILLISECONDS : Math.min(wait * SLOWER, LONGEST_MILLISECONDS);
    waiting = new AbortController();
    if (!stale) await pause(wait, AbortSignal.any([signal, waiting.signal])).catch(() => undefined);
    signal.throwIfAborted();
    // What ends on many devices at once is looked at once.
    if (stale) await pause(gap(began), signal);
    await seen(signal);
  }
}

/** Acts soon after events that are wanted, and after a time in which some may have been missed; at most once a second. */
export function whenever(live: Live, wanted: (told: Told) => boolean, act: () => void, signal: AbortSignal): void {
  let timer = 0;
  let began = 0;
  live.hear((told) => {
    if (timer || (told && !wanted(told))) return;
    timer = setTimeout(() => {
      timer = 0;
      began = Date.now();
      act();
    }, gap(began));
  }, signal);
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
}

function gap(began: number): number {
  return Math.max(TOGETHER_MILLISECONDS, began + BETWEEN_MILLISECONDS - Date.now());
}

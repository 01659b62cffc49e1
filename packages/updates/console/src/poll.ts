/** Waiting and looking again. */

const FIRST_MILLISECONDS = 1_000;
const LONGEST_MILLISECONDS = 10_000;
const SLOWER = 1.25;

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
 * Looks again and again until `look` says "done" or the signal is aborted: quickly while things change, slower while
 * they do not, not at all while the page is hidden.
 */
export async function poll(look: () => Promise<"changed" | "same" | "done">, signal: AbortSignal): Promise<void> {
  let wait = FIRST_MILLISECONDS;
  for (;;) {
    const found = await look();
    if (found === "done" || signal.aborted) return;
    wait = found === "changed" ? FIRST_MILLISECONDS : Math.min(wait * SLOWER, LONGEST_MILLISECONDS);
    await pause(wait, signal);
    await seen(signal);
  }
}

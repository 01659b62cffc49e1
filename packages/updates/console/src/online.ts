/**
 * Who is connected, from the fleet index: 250 names a call. Where an account has no index, or it does not know
 * connectivity, nothing is said of it.
 */

import type { Fleet } from "./fleet.ts";
import { Trouble } from "./troubles.ts";

const PAGES_MAX = 20;

export class Online {
  readonly #names = new Set<string>();
  #whole = false;

  /** Whether there is an index that tells. */
  offered = false;

  constructor(private readonly fleet: Fleet) {}

  /** Reads the index; `learnt` after each page. */
  async learn(learnt: () => void, signal: AbortSignal): Promise<void> {
    let next: string | undefined;
    try {
      for (let page = 0; page < PAGES_MAX; page++) {
        const found = await this.fleet.connected(next, signal);
        for (const name of found.items) this.#names.add(name);
        this.offered = true;
        next = found.next;
        this.#whole = !next;
        learnt();
        if (!next) return;
      }
    } catch (error) {
      if (!(error instanceof Trouble) || error.kind === "lost") throw error;
    }
  }

  /** A device came or went. */
  set(name: string, online: boolean): void {
    if (online) this.#names.add(name);
    else this.#names.delete(name);
  }

  /** "online", "offline", or undefined for what is not known. */
  of(name: string): "online" | "offline" | undefined {
    if (this.#names.has(name)) return "online";
    return this.#whole ? "offline" : undefined;
  }
}

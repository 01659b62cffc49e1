/**
 * Who is connected, from the fleet index: 250 names a call. Where an account has no index, or it does not know
 * connectivity, nothing is said of it.
 */

import type { Fleet } from "./fleet.ts";
import type { Told } from "./live.ts";
import { Trouble } from "./troubles.ts";

const PAGES_MAX = 20;

export class Online {
  readonly #names = new Set<string>();
  readonly #versions = new Map<string, number>();
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

  /** An event says that a device came or went; events may overtake each other. */
  heard({ name, operation, body }: Told): void {
    const version = Number(body["versionNumber"] ?? 0);
    if (version < (this.#versions.get(name) ?? 0)) return;
    this.#versions.set(name, version);
    if (operation === "connected") this.#names.add(name);
    else this.#names.delete(name);
  }

  /** "online", "offline", or undefined for what is not known. */
  of(name: string): "online" | "offline" | undefined {
    if (this.#names.has(name)) return "online";
    return this.#whole ? "offline" : undefined;
  }
}

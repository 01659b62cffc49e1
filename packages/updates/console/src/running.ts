/**
 * What runs where: told by the jobs, newest first, a page of 250 executions at a time, so that a thousand devices cost
 * a handful of calls and not a thousand. A device runs the version of the last installation that SUCCEEDED on it.
 */

import { type Execution, FINAL, type Fleet, PAGE_MAX, type State } from "./fleet.ts";
import type { Told } from "./live.ts";

const JOBS_MAX = 30;
const PAGES_PER_JOB_MAX = 8;

export interface Known {
  last?: Execution;
  /** Name and version, such as "pump 1.4.0". */
  software?: string;
  installed?: number;
}

export class Running {
  readonly known = new Map<string, Known>();

  constructor(private readonly fleet: Fleet) {}

  of(thing: string): Known {
    let known = this.known.get(thing);
    if (!known) this.known.set(thing, (known = {}));
    return known;
  }

  /** Reads on until it knows what runs on these devices or has seen the newest jobs; `learnt` after each page. */
  async learn(things: ReadonlySet<string>, learnt: () => void, signal: AbortSignal): Promise<void> {
    const jobs = (await this.fleet.jobs(undefined, signal, PAGE_MAX)).items;
    jobs.sort((one, other) => (other.createdAt ?? 0) - (one.createdAt ?? 0));
    const missing = new Set(things);
    for (const { jobId } of jobs.slice(0, JOBS_MAX)) {
      let next: string | undefined;
      for (let page = 0; page < PAGES_PER_JOB_MAX; page++) {
        const found = await this.fleet.executions(jobId, undefined, next, signal, PAGE_MAX);
        await this.#take(found.items, missing);
        learnt();
        next = found.next;
        if (!next || !missing.size) break;
      }
      if (!missing.size) return;
    }
  }

  /** An event says that an execution has ended. */
  async heard({ name, body }: Told): Promise<void> {
    const thing = String(body["thingArn"] ?? "").split(":thing/")[1];
    const state = body["status"] as State;
    if (!thing || !FINAL.has(state)) return;
    await this.#take([{ thing, job: name, number: Number(body["executionNumber"] ?? 1), state, updated: Number(body["timestamp"] ?? 0) }], new Set());
  }

  async #take(executions: Execution[], missing: Set<string>): Promise<void> {
    const successful = executions.some((each) => each.state === "SUCCEEDED");
    const document = successful && executions[0] ? await this.fleet.document(executions[0].job) : {};
    const installs = document.operation === "install";
    for (const each of executions) {
      const known = this.of(each.thing);
      if (!known.last || known.last.updated <= each.updated) known.last = each;
      if (!installs || each.state !== "SUCCEEDED") continue;
      missing.delete(each.thing);
      if ((known.installed ?? 0) > each.updated) continue;
      known.installed = each.updated;
      known.software = `${document.name ?? ""} ${document.version ?? ""}`.trim();
    }
  }
}

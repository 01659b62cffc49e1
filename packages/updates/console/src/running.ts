/**
 * What runs where: told by the jobs, newest first, a page of 250 executions at a time, so that a thousand devices cost
 * a handful of calls and not a thousand. A device runs the version of the last installation that SUCCEEDED on it.
 */

import { type Execution, FINAL, type Fleet, PAGE_MAX, type State } from "./fleet.ts";
import type { Live, Told } from "./live.ts";
import { whenever } from "./poll.ts";

const JOBS_MAX = 30;
const PAGES_PER_JOB_MAX = 8;
const ONE_SECOND_SHORT = 0.999;

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

  /** Learns what a device runs from its own executions, the newest first. */
  async learnOf(thing: string, executions: Execution[]): Promise<void> {
    for (const each of executions.filter(({ state }) => state === "SUCCEEDED").slice(0, JOBS_MAX)) {
      await this.#take([each], new Set());
      if ((this.of(thing).installed ?? 0) >= each.updated) return;
    }
  }

  /** Learns of the ends of executions as they are told; `learnt` at most once a second, when it knows what they mean. */
  follow(live: Live, learnt: () => void, report: (error: unknown) => void, signal: AbortSignal): void {
    const waiting: Told[] = [];
    const learn = async (): Promise<void> => {
      await Promise.all(waiting.splice(0).map((told) => this.#hear(told)));
      learnt();
    };
    live.hear((told) => {
      if (told?.kind === "jobExecution") waiting.push(told);
    }, signal);
    whenever(live, (told) => told.kind === "jobExecution", () => void learn().catch(report), signal);
  }

  /** An event says that an execution has ended. */
  async #hear({ name, body }: Told): Promise<void> {
    const thing = String(body["thingArn"] ?? "").split(":thing/")[1];
    const state = body["status"] as State;
    if (!thing || !FINAL.has(state)) return;
    // Events tell whole seconds, lists their fractions too: it is no older than what was listed within its second.
    const updated = Number(body["timestamp"] ?? 0) + ONE_SECOND_SHORT;
    await this.#take([{ thing, job: name, number: Number(body["executionNumber"] ?? 1), state, updated }], new Set());
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

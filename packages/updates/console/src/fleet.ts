/** The operations of AWS IoT that the page uses, typed. */

import { type Calls, path } from "./calls.ts";

export interface Page<T> {
  readonly items: T[];
  readonly next?: string | undefined;
}

export interface Device {
  readonly thingName: string;
  readonly thingTypeName?: string;
  readonly attributes?: Record<string, string>;
}

export type State = "QUEUED" | "IN_PROGRESS" | "SUCCEEDED" | "FAILED" | "REJECTED" | "TIMED_OUT" | "REMOVED" | "CANCELED";

export interface Execution {
  readonly thing: string;
  readonly job: string;
  readonly number: number;
  readonly state: State;
  /** Seconds since the epoch. */
  readonly updated: number;
}

export interface JobSummary {
  readonly jobId: string;
  readonly status: string;
  readonly targetSelection?: string;
  readonly createdAt?: number;
  readonly completedAt?: number;
}

export interface Job extends JobSummary {
  readonly description?: string;
  readonly comment?: string;
  readonly targets?: string[];
  readonly jobProcessDetails?: Record<string, unknown>;
}

export interface JobDocument {
  readonly operation?: string;
  readonly name?: string;
  readonly version?: string;
}

export interface Version {
  readonly versionName: string;
  readonly status: string;
}

interface Summary {
  readonly status: State;
  readonly lastUpdatedAt?: number;
  readonly queuedAt?: number;
  readonly executionNumber?: number;
}

interface Listing {
  readonly nextToken?: string;
}

export const COUNTERS: ReadonlyArray<readonly [State, string]> = [
  ["FAILED", "numberOfFailedThings"],
  ["REJECTED", "numberOfRejectedThings"],
  ["TIMED_OUT", "numberOfTimedOutThings"],
  ["IN_PROGRESS", "numberOfInProgressThings"],
  ["QUEUED", "numberOfQueuedThings"],
  ["SUCCEEDED", "numberOfSucceededThings"],
  ["CANCELED", "numberOfCanceledThings"],
  ["REMOVED", "numberOfRemovedThings"],
];
export const PAGE_MAX = 250;
const PAGES_MAX = 50;
export const FINAL: ReadonlySet<State> = new Set(["SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "REMOVED", "CANCELED"]);
const EVENT_TYPES = ["JOB", "JOB_EXECUTION"];

export class Fleet {
  readonly #documents = new Map<string, Promise<JobDocument>>();

  constructor(private readonly calls: Calls) {}

  /** Fails when the key is wrong or nobody answers. */
  async greet(): Promise<void> {
    await this.calls.get("/thing-groups", { maxResults: 1 });
  }

  async devices(next?: string, signal?: AbortSignal, maxResults = 100): Promise<Page<Device>> {
    const told = await this.calls.get<Listing & { things: Device[] }>("/things", { maxResults, nextToken: next }, signal);
    return { items: told.things, next: told.nextToken };
  }

  device(name: string, signal?: AbortSignal): Promise<Device> {
    return this.calls.get(path("things", name), {}, signal);
  }

  /** One page of the names of devices that are connected, from the fleet index. */
  async connected(next?: string, signal?: AbortSignal): Promise<Page<string>> {
    const query = { queryString: "connectivity.connected:true", maxResults: PAGE_MAX, ...(next ? { nextToken: next } : {}) };
    const told = await this.calls.ask<Listing & { things?: Device[] }>("/indices/search", query, signal);
    return { items: (told.things ?? []).map((thing) => thing.thingName), next: told.nextToken };
  }

  /** Whether a device is connected; undefined when the fleet index does not know. */
  async isConnected(name: string, signal?: AbortSignal): Promise<boolean | undefined> {
    const query = { queryString: `thingName:${name}`, maxResults: 1 };
    const told = await this.calls.ask<{ things?: { connectivity?: { connected?: boolean } }[] }>("/indices/search", query, signal);
    return told.things?.[0]?.connectivity?.connected;
  }

  async groupsOf(name: string, signal?: AbortSignal): Promise<string[]> {
    const told = await this.calls.get<{ thingGroups: { groupName: string }[] }>(path("things", name, "thing-groups"), {}, signal);
    return told.thingGroups.map((group) => group.groupName);
  }

  async groups(next?: string, signal?: AbortSignal): Promise<Page<string>> {
    const query = { maxResults: PAGE_MAX, nextToken: next };
    const told = await this.calls.get<Listing & { thingGroups: { groupName: string }[] }>("/thing-groups", query, signal);
    return { items: told.thingGroups.map((group) => group.groupName), next: told.nextToken };
  }

  async members(group: string, next?: string, signal?: AbortSignal): Promise<Page<string>> {
    const query = { recursive: true, maxResults: 100, nextToken: next };
    const told = await this.calls.get<Listing & { things: string[] }>(path("thing-groups", group, "things"), query, signal);
    return { items: told.things, next: told.nextToken };
  }

  /** A page of the names of software. */
  async software(next?: string, signal?: AbortSignal): Promise<Page<string>> {
    const query = { maxResults: 100, nextToken: next };
    const told = await this.calls.get<Listing & { packageSummaries: { packageName: string }[] }>("/packages", query, signal);
    return { items: told.packageSummaries.map((each) => each.packageName), next: told.nextToken };
  }

  /** The versions of one software, newest first: all, as a listing begins with any of them. */
  async versions(name: string, signal?: AbortSignal): Promise<Version[]> {
    const found = await all(async (nextToken) => {
      const query = { maxResults: 100, nextToken };
      const told = await this.calls.get<Listing & { packageVersionSummaries: Version[] }>(path("packages", name, "versions"), query, signal);
      return { items: told.packageVersionSummaries, next: told.nextToken };
    });
    const order = new Intl.Collator("en", { numeric: true });
    return found.sort((one, other) => order.compare(other.versionName, one.versionName));
  }

  async jobs(next?: string, signal?: AbortSignal, maxResults = 50): Promise<Page<JobSummary>> {
    const told = await this.calls.get<Listing & { jobs: JobSummary[] }>("/jobs", { maxResults, nextToken: next }, signal);
    return { items: told.jobs, next: told.nextToken };
  }

  async job(id: string, signal?: AbortSignal): Promise<Job> {
    return (await this.calls.get<{ job: Job }>(path("jobs", id), {}, signal)).job;
  }

  /** The job's document; it never changes, and is asked for once. */
  document(id: string): Promise<JobDocument> {
    const known = this.#documents.get(id);
    if (known) return known;
    const asked = this.calls.get<{ document: string }>(path("jobs", id, "job-document")).then((told) => JSON.parse(told.document) as JobDocument);
    asked.catch(() => this.#documents.delete(id));
    this.#documents.set(id, asked);
    return asked;
  }

  async executions(job: string, state?: State, next?: string, signal?: AbortSignal, maxResults = 100): Promise<Page<Execution>> {
    const told = await this.calls.get<Listing & { executionSummaries: { thingArn: string; jobExecutionSummary: Summary }[] }>(
      path("jobs", job, "things"),
      { maxResults, status: state, nextToken: next },
      signal,
    );
    const items = told.executionSummaries.map((each) =>
      execution(each.thingArn.slice(each.thingArn.indexOf(":thing/") + 7), job, each.jobExecutionSummary),
    );
    return { items, next: told.nextToken };
  }

  async executionsOf(thing: string, next?: string, signal?: AbortSignal): Promise<Page<Execution>> {
    const told = await this.calls.get<Listing & { executionSummaries: { jobId: string; jobExecutionSummary: Summary }[] }>(
      path("things", thing, "jobs"),
      { maxResults: 50, nextToken: next },
      signal,
    );
    return { items: told.executionSummaries.map((each) => execution(thing, each.jobId, each.jobExecutionSummary)), next: told.nextToken };
  }

  /** What the device told last with this execution. */
  async details(of: Execution, signal?: AbortSignal): Promise<Record<string, string>> {
    const told = await this.calls.get<{ execution: { statusDetails?: { detailsMap?: Record<string, string> } } }>(
      path("things", of.thing, "jobs", of.job),
      { executionNumber: of.number },
      signal,
    );
    return told.execution.statusDetails?.detailsMap ?? {};
  }

  async cancel(job: string, force: boolean, comment: string): Promise<void> {
    const body = { reasonCode: "CANCELED_BY_USER", ...(comment ? { comment } : {}) };
    await this.calls.put(path("jobs", job, "cancel"), force ? { force: true } : {}, body);
  }

  /** Whether the account publishes events of jobs and of their executions. */
  async eventsPublished(): Promise<boolean> {
    const told = await this.calls.get<{ eventConfigurations?: Record<string, { Enabled?: boolean }> }>("/event-configurations");
    return EVENT_TYPES.every((type) => told.eventConfigurations?.[type]?.Enabled);
  }

  /** From now on it does. */
  async publishEvents(): Promise<void> {
    await this.calls.patch("/event-configurations", { eventConfigurations: Object.fromEntries(EVENT_TYPES.map((type) => [type, { Enabled: true }])) });
  }

  /** Asks the function for a job; its id. */
  async order(request: object): Promise<string> {
    return (await this.calls.order<{ jobId: string }>(request)).jobId;
  }
}

/** The items of each page, up to a limit that no listing should reach. */
export async function all<T>(read: (next?: string) => Promise<Page<T>>): Promise<T[]> {
  const found: T[] = [];
  let next: string | undefined;
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const page = await read(next);
    found.push(...page.items);
    next = page.next;
    if (!next) break;
  }
  return found;
}

function execution(thing: string, job: string, told: Summary): Execution {
  return { thing, job, number: told.executionNumber ?? 1, state: told.status, updated: told.lastUpdatedAt ?? told.queuedAt ?? 0 };
}

/** How many devices of a job are in each state, and in all. */
export function counts(job: Job): { total: number; done: number; by: Map<State, number> } {
  const by = new Map<State, number>();
  for (const [state, name] of COUNTERS) by.set(state, Number(job.jobProcessDetails?.[name] ?? 0));
  const total = [...by.values()].reduce((sum, count) => sum + count, 0);
  return { total, done: total - (by.get("QUEUED") ?? 0) - (by.get("IN_PROGRESS") ?? 0), by };
}

/** Whether nothing more will happen by itself. */
export function isSettled(job: Job): boolean {
  const { total, done } = counts(job);
  if (job.status === "COMPLETED") return true;
  return ["CANCELED", "DELETION_IN_PROGRESS"].includes(job.status) && total === done;
}

/**
 * What the service tells by itself, as it happens: lifecycle events of jobs and of their executions, and who comes and goes. One
 * WebSocket for as long as somebody is signed in, with a fresh signature each time. Where it is not there, or the account does
 * not publish these events, views ask again by themselves, and `why` says so.
 */

import type { Calls } from "./calls.ts";
import type { Fleet } from "./fleet.ts";
import { Listening } from "./mqtt.ts";
import { pause } from "./poll.ts";
import { Trouble } from "./troubles.ts";

export type Kind = "job" | "jobExecution" | "presence";

export interface Told {
  readonly kind: Kind;
  /** The job, or the client that came or went. */
  readonly name: string;
  /** What happened: the last or, of presence, the third level of the topic. */
  readonly operation: string;
  readonly body: Record<string, unknown>;
}

const PREFIX = "$aws/events/";
const KINDS: Kind[] = ["job", "jobExecution", "presence"];
const FIRST_MILLISECONDS = 500;
const LONGEST_MILLISECONDS = 30_000;
const STEADY_MILLISECONDS = 10_000;

export class Live {
  readonly #over = new AbortController();
  readonly #hearing = new Set<(told: Told | undefined) => void>();
  readonly #kinds = new Set<Kind>();
  #granted = new Set<Kind>();
  #published = false;
  #known = true;
  #listening: Listening | undefined;
  #why = "connecting";
  #off = false;

  /** `changed` is called when `why` is another, `lost` when nobody answers. */
  constructor(
    private readonly calls: Calls,
    private readonly fleet: Fleet,
    private readonly changed: () => void,
    private readonly lost: (trouble: Trouble) => void,
  ) {
    void this.#stay();
  }

  /** Whether what happens of this kind is told. */
  tells(kind: Kind): boolean {
    return this.#kinds.has(kind);
  }

  /** Why the views of jobs have to ask; empty when they are told. */
  get why(): string {
    return this.#why;
  }

  /** Whether it would be told if the account published it. */
  get off(): boolean {
    return this.#off;
  }

  /** Hears each event until the signal is aborted; undefined when something may have been missed, or telling begins or ends. */
  hear(hearing: (told: Told | undefined) => void, signal: AbortSignal): void {
    this.#hearing.add(hearing);
    signal.addEventListener("abort", () => this.#hearing.delete(hearing), { once: true });
  }

  /** Lets the account publish the events of jobs. */
  async switchOn(): Promise<void> {
    await this.fleet.publishEvents();
    await this.#look();
    this.#listen();
  }

  close(): void {
    this.#over.abort();
    this.#listening?.close();
  }

  async #stay(): Promise<void> {
    const { signal } = this.#over;
    for (let wait = FIRST_MILLISECONDS; !signal.aborted; ) {
      await this.#look();
      const began = Date.now();
      const trouble = this.#known ? await this.#listenUntilClosed().catch(() => "there is no address for it") : "";
      if (signal.aborted) return;
      this.#granted.clear();
      this.#listen(trouble);
      wait = Date.now() - began > STEADY_MILLISECONDS ? FIRST_MILLISECONDS : Math.min(wait * 2, LONGEST_MILLISECONDS);
      await pause(wait * (0.75 + Math.random() / 4), signal).catch(() => undefined);
    }
  }

  /** Which events the account publishes. A service that does not know the question publishes none. */
  async #look(): Promise<void> {
    try {
      this.#published = await this.fleet.eventsPublished();
      this.#known = true;
    } catch (error) {
      // While nobody answers, what was known before counts.
      if (!(error instanceof Trouble)) return;
      if (error.kind === "refused") this.#known = this.#published = false;
      if (error.kind === "lost" && !this.#over.signal.aborted) this.lost(error);
    }
  }

  /** Connects and listens; why it ended. */
  async #listenUntilClosed(): Promise<string> {
    const address = await this.calls.socket();
    if (this.#over.signal.aborted) return "";
    return new Promise((resolve) => {
      const filters = KINDS.map((kind) => `${PREFIX}${kind}/#`);
      this.#listening = new Listening(address, `console-${crypto.randomUUID()}`, filters, {
        ready: (granted) => {
          this.#granted = new Set(KINDS.filter((_, index) => granted[index]));
          this.#listen();
        },
        message: (topic, payload) => this.#tell(topic, payload),
        closed: resolve,
      });
    });
  }

  /** Works out what is told now, and lets everybody know. */
  #listen(trouble = ""): void {
    const jobs = this.#granted.has("job") && this.#granted.has("jobExecution");
    this.#off = jobs && !this.#published;
    this.#kinds.clear();
    for (const kind of this.#granted) if (kind === "presence" || (jobs && this.#published)) this.#kinds.add(kind);
    if (this.#kinds.has("job")) this.#why = "";
    else if (this.#off) this.#why = "this account does not publish the events of jobs";
    else if (!this.#known) this.#why = "this service does not tell whether it publishes events";
    else this.#why = this.#granted.size ? "this key may not subscribe to events" : `there is no WebSocket${trouble ? `: ${trouble}` : ""}`;
    for (const hearing of this.#hearing) hearing(undefined);
    this.changed();
  }

  #tell(topic: string, payload: Uint8Array): void {
    const [kind = "", ...levels] = topic.slice(PREFIX.length).split("/");
    const presence = kind === "presence";
    const operation = (presence ? levels.shift() : levels.pop()) ?? "";
    let body: unknown;
    try {
      body = JSON.parse(new TextDecoder().decode(payload));
    } catch {
      return;
    }
    if (!topic.startsWith(PREFIX) || !KINDS.includes(kind as Kind) || typeof body !== "object" || !body) return;
    const told: Told = { kind: kind as Kind, name: levels.join("/"), operation, body: body as Record<string, unknown> };
    for (const hearing of this.#hearing) hearing(told);
  }
}

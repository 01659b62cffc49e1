/** One job: how far it is, each device's state and reason, and how to stop it. */

import { account } from "./account.ts";
import type { Context } from "./context.ts";
import { badge, fill, h, link, moment, more, say, table, to, word } from "./dom.ts";
import { type Execution, FINAL, type Job, type JobDocument, type State, counts, isSettled } from "./fleet.ts";
import { follow } from "./poll.ts";
import { Trouble } from "./troubles.ts";

const ROWS = 100;
const DETAILS_MAX = 20;

export async function job(context: Context): Promise<void> {
  const { fleet, live, name, signal } = context;
  const [first, document] = await Promise.all([fleet.job(name, signal), fleet.document(name)]);
  const view = new JobView(context, document);
  view.draw(first);
  await follow(() => view.look(), live, (told) => told.kind !== "presence" && told.name === name, signal);
}

class JobView {
  readonly #progress = h("progress", { max: 1, value: 0, "aria-label": "Devices done" });
  readonly #summary = h("p", { role: "status" });
  readonly #facts = h("dl");
  readonly #chips = h("div", { class: "chips", role: "group", "aria-label": "Only devices in this state" });
  readonly #list = table("Devices of this job", ["Device", "State", "Step", "Reason or proof", "Updated", ""]);
  readonly #more: HTMLButtonElement;
  readonly #cancel = h("button", { type: "button", class: "danger", onclick: () => this.#askToCancel() }, "Cancel this job");
  readonly #asked = new Set<string>();
  readonly #title: HTMLHeadingElement;
  readonly #details = new Map<string, Record<string, string>>();
  #only: State | undefined;
  #rows = ROWS;
  #shown: Execution[] = [];
  #seen = "";
  #job: Job | undefined;

  constructor(
    private readonly context: Context,
    private readonly document: JobDocument,
  ) {
    this.#more = more(async () => {
      this.#rows += ROWS;
      await this.#list_executions().catch(context.report);
      return this.#more.hidden === false;
    });
    this.#more.hidden = true;
    const { main, name } = context;
    this.#title = h("h1", {}, name);
    const told = h("details", {}, h("summary", {}, "Job document"), h("pre", {}, JSON.stringify(document, null, 2)));
    fill(main, this.#title, this.#facts, this.#progress, this.#summary, h("p", { class: "actions" }, this.#cancel), this.#chips, this.#list.element, this.#more, told);
  }

  /** Asks again; whether anything was new. A lost server or a busy one is no end: it is asked again later. */
  async look(): Promise<"changed" | "same" | "done"> {
    try {
      const { fleet, name, signal } = this.context;
      const found = await fleet.job(name, signal);
      const before = this.#seen;
      this.draw(found);
      await this.#list_executions();
      if (isSettled(found)) return "done";
      return this.#seen === before ? "same" : "changed";
    } catch (error) {
      if (!(error instanceof Trouble) || !["lost", "busy"].includes(error.kind)) throw error;
      this.context.report(error);
      return "same";
    }
  }

  draw(found: Job): void {
    this.#job = found;
    const { total, done, by } = counts(found);
    this.#seen = JSON.stringify([found.status, [...by]]);
    this.#progress.max = Math.max(total, 1);
    this.#progress.value = done;
    say(this.#summary, total ? `${done} of ${total} devices done` : "No devices yet");
    this.#cancel.hidden = found.status !== "IN_PROGRESS" && found.status !== "SCHEDULED";
    fill(this.#title, found.description ?? found.jobId);
    fill(
      this.#facts,
      fact("Status", badge(found.status)),
      fact("Job", found.jobId),
      fact("Target", ...targets(found.targets ?? [])),
      fact("Kind", found.targetSelection === "CONTINUOUS" ? "continuous: also devices that join later" : "once"),
      fact("Created", moment(found.createdAt)),
      found.completedAt ? fact("Completed", moment(found.completedAt)) : null,
      found.comment ? fact("Comment", found.comment) : null,
    );
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["state"] : undefined;
    fill(this.#chips, this.#chip(undefined, total), ...[...by].filter(([state, count]) => count || state === this.#only).map(([state, count]) => this.#chip(state, count)));
    if (focused !== undefined) this.#chips.querySelector<HTMLElement>(`[data-state="${focused}"]`)?.focus();
  }

  #chip(state: State | undefined, count: number): HTMLElement {
    const choose = (): void => {
      this.#only = state;
      this.#rows = ROWS;
      if (this.#job) this.draw(this.#job);
      this.#list_executions().catch(this.context.report);
    };
    const pressed = String(this.#only === state);
    return h("button", { type: "button", class: `chip ${state?.toLowerCase() ?? ""}`, "aria-pressed": pressed, "data-state": state ?? "", onclick: choose }, `${count} ${state ? word(state) : "all"}`);
  }

  async #list_executions(): Promise<void> {
    const { fleet, name, signal } = this.context;
    const found: Execution[] = [];
    const only = this.#only;
    let next: string | undefined;
    do {
      const page = await fleet.executions(name, only, next, signal, ROWS);
      found.push(...page.items);
      next = page.next;
    } while (next && found.length < this.#rows);
    if (only !== this.#only) return;
    this.#more.hidden = !next;
    this.#shown = found.sort((one, other) => urgency(one) - urgency(other) || one.thing.localeCompare(other.thing));
    const telling = this.#tell(this.#shown.filter((each) => each.state !== "QUEUED" && each.state !== "SUCCEEDED").slice(0, DETAILS_MAX));
    this.#draw_executions();
    await telling;
  }

  /** Asks what devices told; what is final is asked once. */
  async #tell(executions: Execution[]): Promise<void> {
    const asked = executions.filter((each) => !FINAL.has(each.state) || !this.#details.has(id(each)));
    for (const each of asked) this.#asked.add(id(each));
    await Promise.all(asked.map(async (each) => this.#details.set(id(each), await this.context.fleet.details(each, this.context.signal))));
    if (asked.length) this.#draw_executions();
  }

  #draw_executions(): void {
    this.#list.set(
      this.#shown.map((each) => {
        const known = this.#details.get(id(each));
        const wanting = !known && !this.#asked.has(id(each)) && each.state !== "QUEUED";
        const what = each.state === "SUCCEEDED" ? "Proof" : "Ask";
        const ask = h("button", { type: "button", class: "fine", onclick: () => void this.#tell([each]).catch(this.context.report) }, what);
        const percent = known?.["percent"] && !FINAL.has(each.state) ? ` ${known["percent"]} %` : "";
        return [
          link(to("devices", each.thing), each.thing),
          badge(each.state),
          `${known?.["step"] ?? ""}${percent}`,
          wanting ? ask : known ? account(each.state, known) : "",
          moment(each.updated),
          this.#onward(each),
        ];
      }),
    );
  }

  /** A configuration that was fetched can go on to other devices. */
  #onward(each: Execution): HTMLElement | string {
    if (this.document.operation !== "config-upload" || each.state !== "SUCCEEDED") return "";
    return link(to("start", "", { operation: "config-download", source: each.thing, job: each.job }), "Apply to others", "button plain");
  }

  #askToCancel(): void {
    const { fleet, name, main, report } = this.context;
    const force = h("input", { type: "checkbox", id: "force" });
    const comment = h("input", { id: "comment", maxlength: 200, autocomplete: "off" });
    const close = (): void => dialog.close();
    const cancel = async (): Promise<void> => {
      close();
      await fleet.cancel(name, force.checked, comment.value.trim());
      await this.look();
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question", onclose: () => dialog.remove() },
      h("h2", { id: "question" }, "Cancel this job?"),
      h("p", {}, "Devices that have not begun will not begin."),
      h("label", { class: "check" }, force, " Also stop devices that are in the middle of it"),
      h("label", { for: "comment" }, "Why, for those who look later"),
      comment,
      h(
        "p",
        { class: "actions" },
        h("button", { type: "button", class: "danger", onclick: () => void cancel().catch(report) }, "Cancel the job"),
        " ",
        h("button", { type: "button", class: "plain", onclick: close }, "Let it go on"),
      ),
    );
    main.append(dialog);
    dialog.showModal();
  }
}

function fact(title: string, ...value: (Node | string)[]): HTMLElement {
  return h("div", {}, h("dt", {}, title), h("dd", {}, ...value));
}

function targets(arns: string[]): (Node | string)[] {
  return arns.flatMap((arn) => {
    const [, kind = "", name = ""] = /:(thing|thinggroup)\/(.+)$/.exec(arn) ?? [];
    return [kind ? link(to(kind === "thing" ? "devices" : "groups", name), name) : arn, " "];
  });
}

function id(each: Execution): string {
  return `${each.thing} ${each.number} ${each.state}`;
}

/** What went wrong first, then what is under way, what waits, what is done. */
function urgency(each: Execution): number {
  const order: Partial<Record<State, number>> = { IN_PROGRESS: 1, QUEUED: 2, SUCCEEDED: 3 };
  return order[each.state] ?? 0;
}

/** Devices: all of them, and one. */

import type { Context } from "./context.ts";
import { badge, fill, h, link, moment, more, table, to } from "./dom.ts";
import { type Device, type Execution, FINAL } from "./fleet.ts";
import { Online } from "./online.ts";
import { follow, whenever } from "./poll.ts";
import { Trouble } from "./troubles.ts";

const REASONS_MAX = 10;

export async function devices({ fleet, running, live, main, signal, report }: Context): Promise<void> {
  const online = new Online(fleet);
  const list = table("Devices", ["Device", "Online", "Type", "Software", "Last job"]);
  const wanted = h("input", { type: "search", id: "filter", placeholder: "Part of a name", autocomplete: "off", oninput: () => draw() });
  const told = h("p", { role: "status", class: "quiet" });
  const found: Device[] = [];
  let next: string | undefined;

  const draw = (): void => {
    const part = wanted.value.trim().toLowerCase();
    const shown = part ? found.filter((device) => device.thingName.toLowerCase().includes(part)) : found;
    list.set(
      shown.map((device) => {
        const { software, last } = running.of(device.thingName);
        return [link(to("devices", device.thingName), device.thingName), state(online.of(device.thingName)), device.thingTypeName ?? "–", software ?? "–", last ? lastJob(last) : "–"];
      }),
    );
    list.element.classList.toggle("without-online", !online.offered);
    fill(told, part ? `${shown.length} of ${found.length} loaded devices` : `${found.length} devices${next ? ", and more" : ""}`);
    if (part && !shown.length) fill(told, `None of the ${found.length} loaded devices has that in its name. `, link(to("devices", wanted.value.trim()), `Open ${wanted.value.trim()}`));
  };
  const load = async (): Promise<boolean> => {
    const page = await fleet.devices(next, signal);
    found.push(...page.items);
    next = page.next;
    draw();
    const unknown = new Set(page.items.map((device) => device.thingName).filter((name) => !running.of(name).software));
    running.learn(unknown, draw, signal).catch(report);
    return Boolean(next);
  };
  const another = more(() => load().catch((error: unknown) => (report(error), true)));
  online.learn(draw, signal).catch(report);
  live.hear((told) => {
    if (told?.kind === "presence") online.heard(told);
  }, signal);
  whenever(live, (told) => told.kind === "presence", draw, signal);
  running.follow(live, draw, report, signal);
  another.hidden = !(await load());
  if (!found.length)
    return fill(main, h("h1", {}, "Devices"), empty("No devices yet.", "outfitter device add NAME --out FOLDER", "makes the first one."));
  fill(main, h("h1", {}, "Devices"), h("div", { class: "bar" }, h("label", { for: "filter" }, "Find"), wanted, told), list.element, another);
}

function state(online: "online" | "offline" | undefined): HTMLElement | string {
  return online ? badge(online) : "–";
}

function lastJob(last: Execution): HTMLElement {
  return h("span", {}, badge(last.state), " ", link(to("jobs", last.job), last.job, "fine"));
}

/** A sentence in the place of a list, with the command that helps. */
export function empty(sentence: string, command: string, ending: string): HTMLElement {
  return h("p", { class: "empty" }, `${sentence} `, h("code", {}, command), ` ${ending}`);
}

export async function device({ fleet, running, live, main, name, signal, report }: Context): Promise<void> {
  const [found, groups, first] = await Promise.all([fleet.device(name, signal), fleet.groupsOf(name, signal), fleet.executionsOf(name, undefined, signal)]);
  const list = table(`Jobs of ${name}`, ["Job", "State", "Step", "Reason", "Updated"]);
  const details = new Map<string, Record<string, string>>();
  let jobs = first.items;
  let next = first.next;
  let indexed = true;
  const draw = (): void =>
    list.set(
      jobs.map((each) => {
        const known = details.get(id(each));
        const { step = "", reason = "" } = known ?? {};
        const ask = h("button", { type: "button", class: "fine", onclick: () => void tell(each).catch(report) }, "Ask");
        return [link(to("jobs", each.job), each.job), badge(each.state), step, known ? reason : ask, moment(each.updated)];
      }),
    );
  const tell = async (each: Execution): Promise<void> => {
    details.set(id(each), await fleet.details(each, signal));
    draw();
  };
  const another = more(async () => {
    const page = await fleet.executionsOf(name, next, signal).catch(report);
    if (!page) return true;
    jobs = joined(jobs, page.items);
    next = page.next;
    draw();
    return Boolean(next);
  });
  another.hidden = !next;
  const online = h("dd");
  const presence = h("div", { hidden: true }, h("dt", {}, "Online"), online);
  const software = h("dd", {}, running.of(name).software ?? "–");
  const none = h("p", { class: "empty" }, "No job has come to this device yet.");
  const attributes = Object.entries(found.attributes ?? {});
  fill(
    main,
    h("h1", {}, name),
    h(
      "dl",
      {},
      h("div", {}, h("dt", {}, "Software"), software),
      presence,
      h("div", {}, h("dt", {}, "Type"), h("dd", {}, found.thingTypeName ?? "–")),
      h("div", {}, h("dt", {}, "Groups"), h("dd", {}, ...(groups.length ? groups.flatMap((group) => [link(to("groups", group), group), " "]) : ["–"]))),
      ...attributes.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value))),
    ),
    h(
      "p",
      { class: "actions" },
      link(to("start", "", { thing: name }), "Update", "button"),
      " ",
      link(to("start", "", { thing: name, operation: "config-upload" }), "Fetch configuration", "button plain"),
    ),
    h("h2", {}, "Jobs"),
    none,
    list.element,
    another,
  );
  live.hear((told) => {
    if (told?.kind !== "presence" || told.name !== name) return;
    presence.hidden = false;
    fill(online, badge(told.operation === "connected" ? "online" : "offline"));
  }, signal);

  const renew = async (): Promise<void> => {
    const connected = indexed ? await fleet.isConnected(name, signal).catch(unlessIndexed) : undefined;
    indexed = connected !== undefined;
    if (indexed) fill(online, connected ? badge("online") : badge("offline"));
    if (indexed) presence.hidden = false;
    jobs = joined((await fleet.executionsOf(name, undefined, signal)).items, jobs);
    none.hidden = jobs.length > 0;
    list.element.hidden = !jobs.length;
    draw();
    await running.learnOf(name, jobs);
    fill(software, running.of(name).software ?? "–");
    const telling = jobs.filter((each) => each.state !== "SUCCEEDED" && each.state !== "QUEUED").slice(0, REASONS_MAX);
    await Promise.all(telling.filter((each) => !FINAL.has(each.state) || !details.has(id(each))).map(tell));
  };
  const look = async (): Promise<"changed" | "same"> => {
    const before = JSON.stringify(jobs);
    await renew().catch(unlessAway(report));
    return JSON.stringify(jobs) === before ? "same" : "changed";
  };
  await follow(look, live, (told) => told.kind === "jobExecution" && String(told.body["thingArn"]).endsWith(`:thing/${name}`), signal);
}

/** What is known of executions: the newer ones as they are now, behind them those that were known before and are not among them. */
function joined(newer: Execution[], older: Execution[]): Execution[] {
  const known = new Set(newer.map(({ job, number }) => `${job} ${number}`));
  return [...newer, ...older.filter(({ job, number }) => !known.has(`${job} ${number}`))];
}

function id(each: Execution): string {
  return `${each.job} ${each.number} ${each.state}`;
}

/** A lost server or a busy one is told, and asked again later. */
function unlessAway(report: (error: unknown) => void): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof Trouble) || !["lost", "busy"].includes(error.kind)) throw error;
    report(error);
  };
}

/** A refused search means that the account has no fleet index: nothing is known then. */
function unlessIndexed(error: unknown): undefined {
  if (!(error instanceof Trouble) || error.kind === "lost") throw error;
}

/** Groups, software and jobs: lists that lead on. */

import type { Context } from "./context.ts";
import { empty } from "./devices.ts";
import { badge, fill, h, link, moment, more, table, to } from "./dom.ts";
import { type JobSummary, all } from "./fleet.ts";
import { whenever } from "./poll.ts";

export async function groups({ fleet, main, signal, report }: Context): Promise<void> {
  const list = table("Groups", ["Group", ""]);
  const found: string[] = [];
  let next: string | undefined;
  const load = async (): Promise<boolean> => {
    const page = await fleet.groups(next, signal);
    found.push(...page.items);
    next = page.next;
    list.set(found.map((name) => [link(to("groups", name), name), link(to("start", "", { group: name }), "Update", "button plain")]));
    return Boolean(next);
  };
  const another = more(() => load().catch((error: unknown) => (report(error), true)));
  another.hidden = !(await load());
  if (!found.length) return fill(main, h("h1", {}, "Groups"), empty("No groups yet.", "outfitter group create NAME", "makes the first one."));
  fill(main, h("h1", {}, "Groups"), list.element, another);
}

export async function group({ fleet, running, live, main, name, signal, report }: Context): Promise<void> {
  const list = table(`Devices of ${name}`, ["Device", "Software", "Last job"]);
  const found: string[] = [];
  let next: string | undefined;
  const draw = (): void =>
    list.set(
      found.map((each) => {
        const { software, last } = running.of(each);
        return [link(to("devices", each), each), software ?? "–", last ? h("span", {}, badge(last.state), " ", link(to("jobs", last.job), last.job, "fine")) : "–"];
      }),
    );
  const load = async (): Promise<boolean> => {
    const page = await fleet.members(name, next, signal);
    found.push(...page.items);
    next = page.next;
    draw();
    running.learn(new Set(page.items.filter((each) => !running.of(each).software)), draw, signal).catch(report);
    return Boolean(next);
  };
  running.follow(live, draw, report, signal);
  const another = more(() => load().catch((error: unknown) => (report(error), true)));
  another.hidden = !(await load());
  const members = found.length ? list.element : empty("No device is in this group.", `outfitter group add ${name} DEVICE`, "puts one there.");
  fill(main, h("h1", {}, name), h("p", { class: "actions" }, link(to("start", "", { group: name }), "Update this group", "button")), members, another);
}

export async function software({ fleet, main, signal, report }: Context): Promise<void> {
  const items = await all((next) => fleet.software(next, signal));
  if (!items.length) return fill(main, h("h1", {}, "Software"), empty("No software yet.", "outfitter software upload FILE", "brings some."));
  const parts = items.map((name) => {
    const list = table(`Versions of ${name}`, ["Version", "Status", ""]);
    const opened = async (event: Event): Promise<void> => {
      if (!(event.target as HTMLDetailsElement).open) return;
      const versions = await fleet.versions(name, signal);
      list.set(
        versions.map(({ versionName, status }) => [
          versionName,
          badge(status),
          status === "DRAFT" ? "" : link(to("start", "", { software: name, version: versionName }), "Install", "button plain"),
        ]),
      );
    };
    return h("details", { ontoggle: (event) => void opened(event).catch(report), open: items.length === 1 }, h("summary", {}, name), list.element);
  });
  fill(main, h("h1", {}, "Software"), ...parts);
}

export async function jobs({ fleet, live, main, signal, report }: Context): Promise<void> {
  const list = table("Jobs", ["Job", "Status", "Kind", "Created", "Completed"]);
  const found: JobSummary[] = [];
  let next: string | undefined;
  const draw = (): void =>
    list.set(
      found.map((job) => [
        link(to("jobs", job.jobId), job.jobId),
        badge(job.status),
        job.targetSelection === "CONTINUOUS" ? "continuous" : "once",
        moment(job.createdAt),
        moment(job.completedAt),
      ]),
    );
  const load = async (): Promise<boolean> => {
    const page = await fleet.jobs(next, signal);
    found.push(...page.items);
    next = page.next;
    draw();
    return Boolean(next);
  };
  /** What the newest jobs are by now; one that is gone stays until the view is opened again. */
  const renew = async (): Promise<void> => {
    const known = new Map((await fleet.jobs(undefined, signal)).items.map((job) => [job.jobId, job]));
    for (const [index, job] of found.entries()) found[index] = known.get(job.jobId) ?? job;
    const fresh = [...known.values()].filter((job) => !found.some(({ jobId }) => jobId === job.jobId));
    found.unshift(...fresh);
    draw();
  };
  whenever(live, (told) => told.kind === "job", () => void renew().catch(report), signal);
  const another = more(() => load().catch((error: unknown) => (report(error), true)));
  another.hidden = !(await load());
  const title = h("h1", {}, "Jobs");
  if (!found.length) return fill(main, title, h("p", { class: "empty" }, "No jobs yet. ", link(to("start"), "Start an update.")));
  fill(main, title, list.element, another);
}

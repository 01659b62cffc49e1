/** The page: signing in, the views and the way between them, and what is said when the server is lost. */

import { Calls, type Key } from "./calls.ts";
import type { View } from "./context.ts";
import { device, devices } from "./devices.ts";
import { fill, h, link, to } from "./dom.ts";
import { Fleet } from "./fleet.ts";
import { job } from "./job.ts";
import { Live } from "./live.ts";
import { group, groups, jobs, software } from "./lists.ts";
import { pause } from "./poll.ts";
import { Running } from "./running.ts";
import { type Settings, readSettings } from "./settings.ts";
import { start } from "./start.ts";
import { Trouble } from "./troubles.ts";

const VIEWS: Record<string, { title: string; all: View; one?: View }> = {
  devices: { title: "Devices", all: devices, one: device },
  groups: { title: "Groups", all: groups, one: group },
  software: { title: "Software", all: software },
  jobs: { title: "Jobs", all: jobs, one: job },
  start: { title: "New job", all: start },
};
const RETRY_FIRST_SECONDS = 2;
const RETRY_LONGEST_SECONDS = 30;

const main = h("main", { id: "main", tabindex: -1 });
const banner = h("div", { class: "banner", role: "alert", hidden: true });
const navigation = h("nav", { "aria-label": "Views", hidden: true });
const liveness = h("footer", { class: "quiet", role: "status", hidden: true });
const leave = h("button", { type: "button", class: "plain", hidden: true }, "Sign out");

let fleet: Fleet | undefined;
let running: Running | undefined;
let live: Live | undefined;
let leaving = new AbortController();
let retrying = false;

function signIn(settings: Settings): void {
  const id = h("input", { id: "key", required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const secret = h("input", { id: "secret", type: "password", required: true, autocomplete: "off" });
  const token = h("input", { id: "token", autocomplete: "off", spellcheck: "false" });
  const trouble = h("p", { role: "alert", class: "trouble" });
  const submit = h("button", { type: "submit" }, "Sign in");
  const enter = async (): Promise<void> => {
    submit.disabled = true;
    fill(trouble);
    const session = token.value.trim();
    const key: Key = { accessKeyId: id.value.trim(), secretAccessKey: secret.value.trim(), ...(session ? { sessionToken: session } : {}) };
    const calls = new Calls(settings, key);
    const made = new Fleet(calls);
    try {
      await made.greet();
      fleet = made;
      running = new Running(made);
      live = new Live(calls, made, tellLiveness, (trouble) => tell(trouble, leaving.signal));
      navigation.hidden = leave.hidden = false;
      if (location.hash.length < 3) history.replaceState(null, "", to("devices"));
      await show();
    } catch (error) {
      const advice = error instanceof Trouble && error.kind === "lost" ? " Is the server running? Try again." : "";
      fill(trouble, words(error) + advice);
      submit.disabled = false;
    }
  };
  fill(
    main,
    h("h1", {}, "Sign in"),
    h(
      "form",
      { class: "signin", onsubmit: (event) => (event.preventDefault(), void enter()) },
      h("label", { for: "key" }, "Access key ID"),
      id,
      h("label", { for: "secret" }, "Secret access key"),
      secret,
      h("details", {}, h("summary", {}, "Session token"), h("label", { for: "token" }, "For temporary credentials"), token),
      trouble,
      h("p", { class: "actions" }, submit),
      h("p", { class: "quiet" }, `The key stays in this tab's memory until you sign out, reload or close it. Region ${settings.region}, ${settings.iot.host}.`),
    ),
  );
  document.title = "Sign in - Outfitter";
  id.focus();
}

/** Shows what the address says. */
async function show(): Promise<void> {
  if (!fleet || !running || !live) return;
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [where = "", asked = ""] = location.hash.slice(2).split("?");
  const [view = "", encoded = ""] = where.split("/");
  const found = VIEWS[view] ?? VIEWS["devices"];
  if (!found) return;
  let name = "";
  try {
    name = decodeURIComponent(encoded);
  } catch {
    // A name that cannot be decoded is nobody's.
  }
  for (const each of navigation.querySelectorAll("a"))
    if (each.hash === to(view)) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  document.title = `${name || found.title} - Outfitter`;
  fill(main, h("p", { class: "quiet", role: "status" }, "Loading…"));
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
  const report = (error: unknown): void => tell(error, signal);
  try {
    const draw = name && found.one ? found.one : found.all;
    await draw({ fleet, running, live, main, name, query: new URLSearchParams(asked), signal, report });
  } catch (error) {
    report(error);
  }
}

/** Says whether what is shown is told as it happens, or asked for. */
function tellLiveness(): void {
  const told = live;
  if (!told) return;
  liveness.hidden = false;
  if (!told.why) return fill(liveness, "Live: what happens to jobs is shown as it happens.");
  const on = h("button", { type: "button", class: "fine", onclick: () => void told.switchOn().catch((error: unknown) => tell(error, leaving.signal)) }, "Publish them");
  fill(liveness, `Not live: ${told.why}. An open job is asked for every 1 to 10 seconds. `, told.off && on);
}

/** Says what went wrong: in the banner, which retries by itself when the server was lost. */
function tell(error: unknown, signal: AbortSignal): void {
  if (signal.aborted) return;
  if (error instanceof Trouble && error.kind === "lost") {
    void retry(error);
    return;
  }
  fill(banner, h("span", {}, words(error)), " ", h("button", { type: "button", class: "plain", onclick: () => (hide(), void show()) }, "Try again"));
  banner.hidden = false;
  if (main.querySelector("[role=status]")?.textContent === "Loading…") fill(main);
}

function hide(): void {
  banner.hidden = true;
  fill(banner);
}

/** Asks for the server until it answers, less and less often; then draws the view again. */
async function retry(lost: Trouble): Promise<void> {
  if (retrying) return;
  retrying = true;
  const text = h("span", {});
  let hurry = new AbortController();
  fill(banner, text, " ", h("button", { type: "button", class: "plain", onclick: () => hurry.abort() }, "Try now"));
  banner.hidden = false;
  for (let seconds = RETRY_FIRST_SECONDS; ; seconds = Math.min(seconds * 1.5, RETRY_LONGEST_SECONDS)) {
    fill(text, `${lost.message} What you see may be old. Trying again every ${Math.round(seconds)} seconds.`);
    hurry = new AbortController();
    await pause(seconds * 1000, hurry.signal).catch(() => undefined);
    if (!fleet) break;
    try {
      await fleet.greet();
      break;
    } catch (error) {
      if (!(error instanceof Trouble) || error.kind !== "lost") break;
    }
  }
  retrying = false;
  hide();
  await show();
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function signOut(settings: Settings): void {
  leaving.abort();
  fleet = undefined;
  running = undefined;
  live?.close();
  live = undefined;
  liveness.hidden = true;
  navigation.hidden = leave.hidden = true;
  hide();
  history.replaceState(null, "", location.pathname);
  signIn(settings);
}

async function begin(): Promise<void> {
  const header = h("header", {}, h("strong", { class: "brand" }, "Outfitter"), navigation, leave);
  document.body.replaceChildren(h("a", { href: "#main", class: "skip", onclick: (event) => (event.preventDefault(), main.focus()) }, "To the content"), header, banner, main, liveness);
  try {
    const settings = await readSettings();
    navigation.append(...Object.entries(VIEWS).map(([key, { title }]) => link(to(key), title, key === "start" ? "button" : "")));
    leave.addEventListener("click", () => signOut(settings));
    // The banner of a lost server stays until the server answers, whichever view is turned to.
    addEventListener("hashchange", () => (retrying || hide(), void show()));
    signIn(settings);
  } catch (error) {
    fill(main, h("h1", {}, "Not set up"), h("p", { role: "alert", class: "trouble" }, words(error)));
  }
}

void begin();

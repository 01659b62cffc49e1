/** Elements without a framework. Texts are always texts, never markup. */

type Child = Node | string | number | null | undefined | false;
type Value = string | number | boolean | ((event: Event) => void) | undefined;

/** An element: `on…` members listen, true and false are boolean attributes, undefined is left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  members: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(members)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...shown(children));
  return element;
}

function shown(children: Child[]): (Node | string)[] {
  return children.filter((child) => child !== null && child !== undefined && child !== false).map((child) => (typeof child === "number" ? String(child) : (child as Node | string)));
}

export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(...shown(children));
}

/** A table that narrow screens show as cards; the roles keep it a table for screen readers then. */
export function table(caption: string, headings: string[]): { element: HTMLTableElement; set(rows: Child[][]): void } {
  const body = h("tbody", { role: "rowgroup" });
  const head = h("tr", { role: "row" }, ...headings.map((each) => h("th", { scope: "col", role: "columnheader" }, each)));
  const element = h(
    "table",
    { role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, head),
    body,
  );
  const set = (rows: Child[][]): void => {
    const drawn = h("tbody", {}, ...rows.map((cells) => row(headings, cells)));
    // What looks the same stays, so that neither the focus nor a selection is lost when nothing happened.
    if (drawn.innerHTML === body.innerHTML) return;
    const focused = body.contains(document.activeElement) ? place(document.activeElement) : undefined;
    body.replaceChildren(...drawn.children);
    if (focused) [...body.querySelectorAll<HTMLElement>("a, button")].find((each) => place(each) === focused)?.focus();
  };
  return { element, set };
}

function row(headings: string[], cells: Child[]): HTMLElement {
  const made = cells.map((cell, column) => {
    const label = { "data-label": headings[column] };
    return column ? h("td", { role: "cell", ...label }, cell) : h("th", { role: "rowheader", scope: "row", ...label }, cell);
  });
  return h("tr", { role: "row" }, ...made);
}

/** What tells a link or button from the others of its table. */
function place(element: Element | null): string {
  return `${element?.closest("tr")?.firstElementChild?.textContent ?? ""} ${element?.textContent ?? ""}`;
}

/** Says something that screen readers announce, once. */
export function say(status: HTMLElement, text: string): void {
  if (status.textContent !== text) status.textContent = text;
}

const WORDS: Record<string, string> = { IN_PROGRESS: "in progress", TIMED_OUT: "timed out", DELETION_IN_PROGRESS: "being deleted" };

/** A state in a word and a colour. */
export function badge(state: string): HTMLElement {
  return h("span", { class: `badge ${state.toLowerCase()}` }, word(state));
}

export function word(state: string): string {
  return WORDS[state] ?? state.toLowerCase();
}

/** A time as the person's clock shows it; `seconds` since the epoch. */
export function moment(seconds: number | undefined): HTMLElement | string {
  if (!seconds) return "–";
  const when = new Date(seconds * 1000);
  const local = new Date(when.getTime() - when.getTimezoneOffset() * 60_000).toISOString();
  return h("time", { datetime: when.toISOString() }, local.slice(0, 19).replace("T", " "));
}

export function link(href: string, text: string, kind?: string): HTMLAnchorElement {
  return h("a", { href, class: kind }, text);
}

/** An address within the page. */
export function to(view: string, name = "", query: Record<string, string> = {}): string {
  const asked = new URLSearchParams(query).toString();
  return `#/${view}${name ? `/${encodeURIComponent(name)}` : ""}${asked ? `?${asked}` : ""}`;
}

/** A button that loads the next page of a listing; goes away when there is none. */
export function more(load: () => Promise<boolean>): HTMLButtonElement {
  const button: HTMLButtonElement = h("button", { type: "button", class: "more", onclick: () => void go() }, "Show more");
  const go = async (): Promise<void> => {
    button.disabled = true;
    try {
      button.hidden = !(await load());
    } finally {
      button.disabled = false;
    }
  };
  return button;
}

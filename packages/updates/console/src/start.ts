/** A form for a new job; the function decides what the job is. */

import type { Context } from "./context.ts";
import { fill, h, to } from "./dom.ts";
import { all } from "./fleet.ts";

const OPERATIONS: Record<string, string> = {
  install: "Install software",
  "config-upload": "Fetch the configuration of a device",
  "config-download": "Apply a fetched configuration",
};

export async function start({ fleet, main, query, signal, report }: Context): Promise<void> {
  const asked = query.get("operation") ?? "install";
  const source = { thing: query.get("source") ?? "", jobId: query.get("job") ?? "" };
  const operation = h("select", { id: "operation", onchange: () => arrange() });
  const offered = Object.entries(OPERATIONS).filter(([key]) => key !== "config-download" || source.jobId);
  operation.append(...offered.map(([key, title]) => h("option", { value: key, selected: key === asked }, title)));
  const kind = h("select", { id: "kind", onchange: () => arrange() }, h("option", { value: "group" }, "group"), h("option", { value: "thing", selected: query.has("thing") }, "device"));
  const known = h("datalist", { id: "names" });
  const target = h("input", { id: "target", list: "names", required: true, autocomplete: "off", maxlength: 128, value: query.get("thing") ?? query.get("group") ?? "" });
  const software = h("select", { id: "software", onchange: () => void offerVersions().catch(report) });
  const version = h("select", { id: "version" });
  const forced = h("input", { type: "checkbox", id: "forced" });
  const continuous = h("input", { type: "checkbox", id: "continuous" });
  const trouble = h("p", { role: "alert", class: "trouble" });
  const submit = h("button", { type: "submit" }, "Start");
  const installing = h(
    "fieldset",
    {},
    h("legend", {}, "Software"),
    h("label", { for: "software" }, "Name"),
    software,
    h("label", { for: "version" }, "Version"),
    version,
    h("label", { class: "check" }, forced, " Install it although it is not newer (a downgrade)"),
  );
  const continuing = h("label", { class: "check" }, continuous, " Also on devices that join the group later");

  const arrange = (): void => {
    installing.hidden = operation.value !== "install";
    continuing.hidden = kind.value !== "group" || operation.value === "config-upload";
    known.replaceChildren();
    void offerNames().catch(report);
  };
  const offerNames = async (): Promise<void> => {
    const wanted = kind.value;
    const names = wanted === "group" ? (await fleet.groups(undefined, signal)).items : (await fleet.devices(undefined, signal)).items.map((each) => each.thingName);
    if (wanted === kind.value) known.replaceChildren(...names.map((value) => h("option", { value })));
  };
  const offerVersions = async (): Promise<void> => {
    const name = software.value;
    const found = name ? await fleet.versions(name, signal) : [];
    if (name !== software.value) return;
    version.replaceChildren(
      ...found.map((each) =>
        h("option", { value: each.versionName, disabled: each.status === "DRAFT", selected: each.versionName === query.get("version") }, each.versionName + (each.status === "PUBLISHED" ? "" : ` (${each.status.toLowerCase()})`)),
      ),
    );
  };
  const send = async (): Promise<void> => {
    submit.disabled = true;
    fill(trouble);
    try {
      const request = {
        operation: operation.value,
        target: { [kind.value]: target.value.trim() },
        ...(continuing.hidden || !continuous.checked ? {} : { continuous: true }),
        ...(operation.value === "install" ? { software: software.value, version: version.value, forced: forced.checked } : {}),
        ...(operation.value === "config-download" ? { source } : {}),
      };
      location.hash = to("jobs", await fleet.order(request));
    } catch (error) {
      fill(trouble, error instanceof Error ? error.message : String(error));
      submit.disabled = false;
    }
  };

  const form = h(
    "form",
    { onsubmit: (event) => (event.preventDefault(), void send()) },
    h("label", { for: "operation" }, "What"),
    operation,
    source.jobId ? h("p", { class: "quiet" }, `The configuration that ${source.thing} handed over in ${source.jobId}`) : null,
    h("div", { class: "pair" }, h("div", {}, h("label", { for: "kind" }, "For a"), kind), h("div", {}, h("label", { for: "target" }, "Name"), target, known)),
    installing,
    continuing,
    trouble,
    h("p", { class: "actions" }, submit),
  );
  fill(main, h("h1", {}, "New job"), form);
  arrange();
  const items = await all((next) => fleet.software(next, signal));
  software.replaceChildren(...items.map((name) => h("option", { value: name, selected: name === query.get("software") }, name)));
  if (!items.length) fill(trouble, "There is no software yet: outfitter software upload FILE brings some.");
  await offerVersions();
}

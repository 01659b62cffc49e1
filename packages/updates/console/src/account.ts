/** What a device told of its end: its proof, or its reason with the end of the log of what failed. */

import { h } from "./dom.ts";
import type { State } from "./fleet.ts";

const LOG = ["log_1", "log_2", "log_3"];
const LINE = " | ";
const PROOF: [string, string][] = [["version", "version"], ["slot", "slot"], ["sha256", "sha256"], ["boot_id", "boot"], ["health", "health:"]];
const SHOWN = 40;

export function account(state: State, told: Record<string, string>): HTMLElement | string {
  if (state === "SUCCEEDED") {
    return PROOF.flatMap(([key, name]) => (told[key] ? [`${name} ${told[key].slice(0, SHOWN)}`] : [])).join(", ") || "no proof was told";
  }
  const reason = told["reason"] ?? "";
  const log = LOG.map((key) => told[key] ?? "").join("");
  if (!log) return reason;
  return h("details", {}, h("summary", {}, reason || "Log"), h("pre", {}, log.split(LINE).join("\n")));
}

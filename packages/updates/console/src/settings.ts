/** What the page knows of where it is: config.json beside it, as `outfitter deploy` writes it. */

export interface Settings {
  readonly region: string;
  /** The management API. */
  readonly iot: URL;
  /** Whether the page comes from the service itself: all endpoints are its own origin then. */
  readonly own: boolean;
  /** What makes jobs. */
  readonly functionUrl: URL;
}

/** Reads config.json; an empty endpoint, or a path, is meant relative to the page's own origin. */
export async function readSettings(): Promise<Settings> {
  const answer = await fetch("config.json", { cache: "no-cache" });
  if (!answer.ok) throw new Error(`config.json beside this page cannot be read (${answer.status}). Run outfitter deploy again.`);
  const told = (await answer.json()) as { region?: unknown; endpoints?: { iot?: unknown }; functionUrl?: unknown };
  const { region, functionUrl } = told;
  const iot = told.endpoints?.iot;
  if (typeof region !== "string" || typeof iot !== "string" || typeof functionUrl !== "string")
    throw new Error("config.json lacks region, endpoints or functionUrl. Run outfitter deploy again.");
  return { region, iot: new URL(iot || "/", location.origin), own: !iot, functionUrl: new URL(functionUrl, location.origin) };
}
